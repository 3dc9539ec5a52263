"""Frames: what one node tells another, and how that looks as bytes.

A frame begins with two bytes, the version and the kind; then come the numbers that the kind asks
for, each eight bytes long; then content, if it has some. Whatever processes say to each other is
in that, and is read only when all else makes sense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple

__all__ = ["in_rows", "packed", "unpacked"]

VERSION: Final = 1
STATUSES: Final = "ok", "noproc", "exited", "fenced", "error", "moved", "full"


class _Kind(NamedTuple):
    name: str
    code: int
    head: Struct  # q: a number, d: seconds, B: a status, and whether it was taken up
    numbers: Struct  # those alone
    size: int
    has_content: bool


_LOOKS: Final[dict[str, tuple[str, bool]]] = {
    "send": ("q", True),  # to whom
    "cast": ("q", True),
    "publish": ("", True),  # in which group, and what
    "call": ("qqdq", True),  # to whom, which, seconds, by whom
    "answer": ("qB", True),  # to which, how, whether it was taken up
    "cancel": ("q", False),
    "asked": ("q", False),  # what became of that call
    "exit": ("q", True),  # whom
    "watch": ("qq", False),  # whom, which watch
    "unwatch": ("q", False),
    "down": ("q", True),  # which watch
    "link": ("qq", False),  # whom, with whom
    "unlink": ("qq", False),
    "ended": ("qq", True),  # whom that concerns, who has ended
    "ask": ("", False),  # for answers, and what is watched and linked, as it may have been lost
    "keyed": ("BHH", True),  # how often it was passed on; of how many bytes the prefix and the key
    "probe": ("q", True),  # along which call it comes; see circles.py
}
_KINDS: Final = {
    name: _Kind(
        name,
        code,
        Struct(f"!BB{look}"),
        Struct(f"!xx{look}"),
        Struct(f"!xx{look}").size,
        has_content,
    )
    for code, (name, (look, has_content)) in enumerate(_LOOKS.items())
}
_BY_HEAD: Final = {bytes([VERSION, kind.code]): kind for kind in _KINDS.values()}
_MESSAGES: Final = {bytes([VERSION, _KINDS[name].code]): name for name in ("send", "cast")}
"""What is told most, and looks the same: it is read at once, and often several in a row."""
_NUMBER: Final = Struct("!q")
BEFORE: Final = _KINDS["send"].size  # bytes, and then comes a message
_BEFORE_MESSAGE: Final = itemgetter(slice(BEFORE))
_BEHIND: Final = itemgetter(slice(BEFORE, None))


def packed(kind: str, *parts: Any) -> bytes:
    """Return a frame as bytes.

    >>> packed("cancel", 3)
    b'\\x01\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x03'
    """
    _, code, head, _, _, has_content = _KINDS[kind]
    if not has_content:
        return head.pack(VERSION, code, *parts)
    content: bytes = parts[-1]
    if kind == "answer":
        which, status, taken_up, _ = parts
        return head.pack(VERSION, code, which, 2 * STATUSES.index(status) + taken_up) + content
    if kind == "call":
        number, which, limit, by, _ = parts
        limit = math.inf if limit is None else limit
        return head.pack(VERSION, code, number, which, limit, by) + content
    return head.pack(VERSION, code, *parts[:-1]) + content


def in_rows(frames: list[bytes]) -> Iterator[tuple[str, int, list[bytes]]]:
    """Yield what is told in these frames, in rows of what begins alike.

    Of messages to one process that is their kind, its number, and their contents; of all else no
    kind, and the frames as they are.

    >>> first, second = packed("cast", 7, b"first"), packed("cast", 7, b"second")
    >>> list(in_rows([first, second])) == [("cast", 7, [b"first", b"second"])]
    True
    """
    for head, row in groupby(frames, _BEFORE_MESSAGE):
        kind = _MESSAGES.get(head[:2]) if len(head) == BEFORE else None
        number = 0 if kind is None else _NUMBER.unpack_from(head, 2)[0]
        if kind is None or number < 0:
            yield "", 0, list(row)
        else:
            yield kind, number, list(map(_BEHIND, row))


def unpacked(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the kind of a frame, and the rest of it.

    Raises `ValueError` if it is none.

    >>> unpacked(packed("answer", 3, "exited", True, b"why"))
    ('answer', (3, 'exited', True, b'why'))
    >>> unpacked(packed("cancel", -3))
    Traceback (most recent call last):
        ...
    ValueError: no 'cancel' looks so
    """
    head = data[:2]
    message = _MESSAGES.get(head)
    if message is not None and len(data) >= BEFORE:
        (number,) = _NUMBER.unpack_from(data, 2)
        if number >= 0:
            return message, (number, data[BEFORE:])
    looks = _BY_HEAD.get(head)
    if looks is None:
        raise ValueError(f"it begins with {head!r}")
    kind, _, _, numbers, size, has_content = looks
    if len(data) < size or (len(data) > size and not has_content):
        raise ValueError(f"no {kind!r} is {len(data)} bytes long")
    parts: tuple[Any, ...] = numbers.unpack_from(data)
    for part in parts:
        if not part >= 0:
            raise ValueError(f"no {kind!r} looks so")
    if not has_content:
        return kind, parts
    if kind == "answer":
        which, how = parts
        if how >= 2 * len(STATUSES):
            raise ValueError("an answer of no known status")
        return kind, (which, STATUSES[how >> 1], bool(how & 1), data[size:])
    if kind == "call" and parts[2] == math.inf:
        number, which, _, by = parts
        return kind, (number, which, None, by, data[size:])
    return kind, (*parts, data[size:])
