"""Names, good and bad, and what is no name at all."""

from __future__ import annotations

import enum
from typing import Any


class Name(enum.StrEnum):
    """Names that are members of an enumeration."""

    STORE = "name:1"
    NEW = "store"


class Shout(str):
    """A str that must not be asked anything: not its hash, nor whether it is equal."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __str__(self) -> str:
        raise AssertionError("converted")

    def __len__(self) -> int:
        raise AssertionError("measured")

    def startswith(self, *_: Any) -> bool:
        raise AssertionError("searched")


class Pretender:
    """Says that it is a str, as mocks do, and is none."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


ODD = [
    "",
    " ",
    "\0",
    "nul\0inside",
    "\ud800",
    "\udfff end",
    "ключ",
    "\U0001f9ea",
    "e\u0301",
    "\u00e9",
    "name:1 ",
    "a" * 300,
    Name.STORE,
    Name.NEW,
    Shout("name:2"),
    Shout("shouted"),
    Shout(""),
]
WRONG: list[Any] = [None, 1.5, b"name:1", ("name:1",), ["name:1"], str, object(), Pretender()]
