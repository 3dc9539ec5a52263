"""Words of keys: any text, in the letters that a key may have."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import Final

__all__ = ["text_of", "word_of"]

_USUAL: Final = bytes.maketrans(b"-_+/=", b"+/   ")  # the letters that are read
_PADS: Final = b"", b"===", b"==", b"="
_LAST: Final = b"", b"", b"AQgw", b"AEIMQUYcgkosw048"  # letters without bits that mean nothing


def word_of(text: str) -> str:
    """Return the word of a key that stands for a text.

    Raises `UnicodeEncodeError` if the text is no Unicode.

    >>> word_of("shop")
    'c2hvcA'
    """
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def text_of(word: str) -> str:
    """Return the text that a word of a key stands for.

    Raises `ValueError` if it is not the one that stands for that text.

    >>> text_of("c2hvcA")
    'shop'
    """
    letters = word.encode("ascii").translate(_USUAL)
    odd = len(letters) & 3
    text = a2b_base64(letters + _PADS[odd], strict_mode=True)
    if odd and letters[-1] not in _LAST[odd]:
        raise ValueError(f"expected a word of a key, got {word!r}")
    return text.decode()
