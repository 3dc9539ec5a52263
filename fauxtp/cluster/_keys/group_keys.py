"""Groups as keys, one for each node that has members, and who they are as values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fauxtp._base.arguments import expect_text
from fauxtp.cluster._engines.checks import check_key, check_token
from fauxtp.cluster._keys.key_words import text_of, word_of
from fauxtp.cluster._nodes.peers import parsed

__all__ = ["RESERVED", "Membership", "check_group", "key_of", "membership", "place_of"]

RESERVED = "\0"
"""What the names of groups begin with that are not the user's."""

LONGEST_NODE = "n" * 64


class Membership(NamedTuple):
    """What the key of a group holds: the node's incarnation, and the numbers of its members."""

    incarnation: int
    numbers: tuple[int, ...]

    def packed(self) -> bytes:
        return " ".join(map(str, (self.incarnation, *self.numbers))).encode()


def membership(value: bytes) -> Membership | None:
    """Return who is in a group, by what its key holds, or None if that makes no sense.

    >>> membership(Membership(4711, (3, 8)).packed())
    Membership(incarnation=4711, numbers=(3, 8))
    >>> membership(b"junk") is None
    True
    """
    incarnation, *numbers = map(parsed, value.split(b" "))
    if incarnation is None or not numbers or len(set(numbers)) != len(numbers):
        return None
    return Membership(incarnation, tuple(_known(numbers))) if None not in numbers else None


def _known(numbers: Iterable[int | None]) -> Iterable[int]:
    return (number for number in numbers if number is not None)


def check_group(group: object) -> str:
    """Return `group` if processes of a cluster can be in it.

    Raises `TypeError` if it is no str, `ValueError` if it is empty, too long or no Unicode, or
    begins with a NUL.
    """
    text = expect_text("group", group)
    if not text:
        raise ValueError("expected group to have characters, got ''")
    if text.startswith(RESERVED):
        raise ValueError(f"expected group not to begin with a NUL, got {text[:80]!r}")
    key_of(text, LONGEST_NODE)
    return text


def key_of(group: str, node: str) -> str:
    """Return the key of the members that `node` has in `group`.

    The node is the last word of it: so a server can hold each to its own.

    >>> key_of("sport", "a")
    'group.c3BvcnQ.a'
    """
    try:
        word = word_of(group)
    except UnicodeEncodeError:
        raise ValueError("expected group to be Unicode") from None
    try:
        return check_key(f"group.{word}.{node}")
    except ValueError:
        raise ValueError(f"expected group to be at most 330 bytes, got {len(group)}") from None


def place_of(words: str) -> tuple[str, str] | None:
    """Return the group and the node of a key, without its first word, or None if it is of none.

    >>> place_of("c3BvcnQ.a")
    ('sport', 'a')
    """
    word, _, node = words.rpartition(".")
    try:
        group = text_of(word)
        check_token("node", node)
        return (group, node) if group and key_of(group, node) == f"group.{words}" else None
    except ValueError:
        return None
