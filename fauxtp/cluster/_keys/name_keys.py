"""Names as keys, and who has them as values."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from fauxtp._base.arguments import expect_text
from fauxtp.cluster._engines.checks import LONGEST, check_key, check_token
from fauxtp.cluster._keys.key_words import text_of, word_of
from fauxtp.cluster._nodes.peers import parsed

__all__ = ["Holding", "check_name", "holding", "key_of", "name_of"]

EMPTY = "="


class Holding(NamedTuple):
    """What a name's key holds: a node, its incarnation, and the number of a process there."""

    node: str
    incarnation: int
    number: int

    def packed(self) -> bytes:
        return f"{self.node} {self.incarnation} {self.number}".encode()


def holding(value: bytes) -> Holding | None:
    """Return who has a name, by what its key holds, or None if that makes no sense.

    >>> holding(Holding("a", 4711, 3).packed())
    Holding(node='a', incarnation=4711, number=3)
    >>> holding(b"junk") is None
    True
    """
    node, _, word = value.rpartition(b" ")
    number, known = parsed(word), _node(node)
    return None if number is None or known is None else Holding(*known, number)


@lru_cache(1_024)
def _node(value: bytes) -> tuple[str, int] | None:
    """Return the node and the incarnation that a value names, or None."""
    word, _, number = value.partition(b" ")
    incarnation = parsed(number)
    try:
        return None if incarnation is None else (check_token("node", word.decode()), incarnation)
    except ValueError:
        return None


def check_name(name: object) -> str:
    """Return `name` if processes of a cluster can have it.

    Raises `TypeError` if it is no str, `ValueError` if it is empty, too long or no Unicode.
    """
    text = expect_text("name", name)
    if not text:
        raise ValueError("expected name to have characters, got ''")
    key_of(text)
    return text


def key_of(name: str) -> str:
    """Return the key of a name; what stands between its colons are words of the key.

    So a server can let a node have names that begin with some word, and no others.

    >>> key_of("shop:billing")
    'name.c2hvcA.YmlsbGluZw'
    """
    try:
        words = [word_of(part) or EMPTY for part in name.split(":")]
    except UnicodeEncodeError:
        raise ValueError("expected name to be Unicode") from None
    try:
        return check_key(".".join(["name", *words]))
    except ValueError:
        raise ValueError(f"expected name to be at most some 370 bytes, got {len(name)}") from None


def name_of(words: str) -> str | None:
    """Return the name of a key, without its first word, or None if it is of none.

    >>> name_of("c2hvcA.YmlsbGluZw")
    'shop:billing'
    """
    try:
        first, dot, last = words.rpartition(".")
        name = f"{_first(first)}:{_text(last)}" if dot else _text(last)
    except ValueError:
        return None
    return name if name and len(words) <= LONGEST - len("name.") else None


def _text(word: str) -> str:
    """Return the part of a name that a word of its key stands for."""
    if word == EMPTY:
        return ""
    text = text_of(word)
    if not text or ":" in text:
        raise ValueError(f"expected a word of a name's key, got {word!r}")
    return text


@lru_cache(1_024)
def _first(words: str) -> str:
    """Return all parts of a name but the last: many names have them in common."""
    return ":".join(map(_text, words.split(".")))
