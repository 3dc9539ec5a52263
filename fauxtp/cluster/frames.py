"""Frames: what one node tells another, and what each kind must look like.

A frame is a list: its kind, then what the kind asks for. Whatever processes say to each other is
in it as bytes, and is read only when all else makes sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

__all__ = ["checked"]

LARGEST: Final = 2**63


def _number(value: object) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _limit(value: object) -> bool:
    return value is None or (type(value) in (int, float) and cast(float, value) >= 0)


def _content(value: object) -> bool:
    return type(value) is bytes


def _status(value: object) -> bool:
    return value in ("ok", "noproc", "exited", "fenced", "error")


def _flag(value: object) -> bool:
    return type(value) is bool


SHAPES: Final[dict[str, tuple[Callable[[object], bool], ...]]] = {
    "send": (_number, _content),  # to whom
    "cast": (_number, _content),
    "publish": (_content,),  # in which group, and what
    "call": (_number, _number, _limit, _number, _content),  # to whom, which, seconds, by whom
    "answer": (_number, _status, _flag, _content),  # to which, how, whether it was taken up
    "cancel": (_number,),
    "asked": (_number,),  # what became of that call
    "exit": (_number, _content),  # whom
    "watch": (_number, _number),  # whom, which watch
    "unwatch": (_number,),
    "down": (_number, _content),  # which watch
    "link": (_number, _number),  # whom, with whom
    "unlink": (_number, _number),
    "ended": (_number, _number, _content),  # whom that concerns, who has ended
    "ask": (),  # for answers, and what is watched and linked, as it may have been lost
}


def checked(frame: object) -> tuple[str, tuple[Any, ...]]:
    """Return the kind of a frame, and the rest of it.

    Raises `ValueError` if it is none.

    >>> checked(["cancel", 3])
    ('cancel', (3,))
    >>> checked(["cancel", -3])
    Traceback (most recent call last):
        ...
    ValueError: no 'cancel' looks so
    """
    if type(frame) is not list or not frame or type(frame[0]) is not str:
        raise ValueError("not a list that begins with a kind")
    kind, rest = frame[0], tuple(frame[1:])
    shape = SHAPES.get(kind)
    if shape is None:
        raise ValueError("of no known kind")
    if len(rest) != len(shape) or not all(
        fits(part) for fits, part in zip(shape, rest, strict=True)
    ):
        raise ValueError(f"no {kind!r} looks so")
    return kind, rest
