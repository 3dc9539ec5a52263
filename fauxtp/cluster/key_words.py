"""Words of keys: any text, in the letters that a key may have."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

__all__ = ["text_of", "word_of"]


def word_of(text: str) -> str:
    """Return the word of a key that stands for a text.

    Raises `UnicodeEncodeError` if the text is no Unicode.

    >>> word_of("shop")
    'c2hvcA'
    """
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def text_of(word: str) -> str:
    """Return the text that a word of a key stands for.

    Raises `ValueError` if it stands for none; else, it may be another that does for the same.

    >>> text_of("c2hvcA")
    'shop'
    """
    if "+" in word or "/" in word:  # letters of another alphabet, which are read all the same
        raise ValueError(f"expected a word of a key, got {word!r}")
    return urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()
