"""How deeply a message is nested, which is known before it is decoded.

What decodes takes some hundred bytes of the stack for each level, and it cannot be asked to stop
at one: it has a limit of its own, but begins anew with each extension within another. So whatever
could be too deep is measured first.
"""

from __future__ import annotations

from typing import Final

import ormsgpack

__all__ = ["DEEPEST", "insist_on_depth"]

DEEPEST: Final = 300
"""Levels that a message may have in any case. What is an extension takes two or three of them."""

_ROOM: Final = 1_500  # levels for which there is room on any stack
_ITS_OWN: Final = 1_024  # levels at which ormsgpack itself stops
_OPENERS: Final = {
    *(*range(0x80, 0xA0), *range(0xC7, 0xCA)),
    *(*range(0xD4, 0xD9), *range(0xDC, 0xE0)),
}
_LEAVES: Final = bytes({*range(256)} - _OPENERS)


def insist_on_depth(data: bytes) -> None:
    """Raise `ValueError` if `data`, in msgpack, is nested too deeply, or is none at all.

    Where few bytes could begin a level, it cannot be. Else the extensions are looked into: each
    adds no more levels than its own bytes can begin. Where that is too many, all is read through,
    byte by byte, which takes long, and tells exactly.
    """
    count = _openers(data)
    if count <= DEEPEST:
        return
    measure = _Measure()
    try:
        measure.look_into(data, count, 0)
    except ValueError:
        if not measure.many:
            raise
    if measure.many and _depth(data) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _openers(data: bytes) -> int:
    """Return how many bytes could begin a level."""
    return len(data.translate(None, _LEAVES))


class _Measure:
    """Looks into all extensions of a message, one within the other."""

    __slots__ = ("_above", "_count", "many")

    def __init__(self) -> None:
        self.many = False  # there may be too many levels
        self._count = 0  # of bytes that could begin a level in the extension that is looked into
        self._above = 0  # levels around it, at most

    def look_into(self, data: bytes, count: int, above: int) -> None:
        if above + min(count, _ITS_OWN) > _ROOM:
            self.many = True
            raise ValueError("there may be too many levels")
        before = self._count, self._above
        self._count, self._above = count, above
        ormsgpack.unpackb(data, ext_hook=self, option=ormsgpack.OPT_NON_STR_KEYS)
        self._count, self._above = before

    def __call__(self, code: int, data: bytes) -> None:
        count = _openers(data)
        self.look_into(data, count, self._above + min(self._count - count, _ITS_OWN) + 1)


# By first byte: how many bytes follow; how many bytes tell the length; and of what has parts, how
# many bytes tell their number, and how many there are of each.
_PLAIN: Final = dict(
    zip((*range(0xCA, 0xD0), *range(0xD0, 0xD4)), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True)
)
_SIZED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXT: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_EXT_FIXED: Final = {0xD4 + power: 1 << power for power in range(5)}
_MANY: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _depth(data: bytes) -> int:
    """Return the number of levels, exactly, or one more than are allowed."""
    at, left, ends = 0, [1], [len(data)]  # of each level: parts to come, and where it ends
    while left:
        if not left[-1]:
            left.pop()
            at = ends.pop() or at
            continue
        left[-1] -= 1
        if at >= len(data):
            raise ValueError("it ends too early")
        at, parts, end = _head(data, at)
        if parts:
            left.append(parts)
            ends.append(end)
            if len(left) > DEEPEST + 1:
                return DEEPEST + 1
    return 0


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Read what begins there.

    Return where what follows begins; of what has parts, how many; of an extension, its end.
    """
    first = data[at]
    at += 1
    parts = end = 0
    if 0x80 <= first < 0xA0:
        parts = (first & 15) * (2 if first < 0x90 else 1)
    elif 0xA0 <= first < 0xC0:
        at += first & 31
    elif first in _MANY:
        size, each = _MANY[first]
        parts = each * int.from_bytes(data[at : at + size], "big")
        at += size
    elif first in _SIZED:
        at += _SIZED[first] + int.from_bytes(data[at : at + _SIZED[first]], "big")
    elif first in _EXT:
        length = int.from_bytes(data[at : at + _EXT[first]], "big")
        at += _EXT[first] + 1
        parts, end = 1, at + length
    elif first in _EXT_FIXED:
        at += 1
        parts, end = 1, at + _EXT_FIXED[first]
    else:
        at += _PLAIN.get(first, 0)
    return at, parts, end
