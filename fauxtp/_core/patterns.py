"""Patterns: what a message must look like, and what of it is handed on."""

from __future__ import annotations

from typing import Any, Final, final

__all__ = ["ANY", "IGNORE", "match_pattern"]


@final
class _Wildcard:
    """A pattern that matches any value: `ANY` extracts it, `IGNORE` does not.

    >>> import anyio
    >>> from fauxtp import Mailbox
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     await mailbox.put(("set", "colour", "green"))
    ...     await mailbox.receive((("set", ANY, IGNORE), print))
    >>> anyio.run(main)
    colour
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


ANY: Final = _Wildcard("ANY")
"""Matches any value, and extracts it."""

IGNORE: Final = _Wildcard("IGNORE")
"""Matches any value, and extracts nothing."""


def match_pattern(value: Any, pattern: Any) -> tuple[Any, ...] | None:
    """Return what `pattern` extracts from `value`, or None if it does not match.

    A pattern is `ANY`, `IGNORE`, a type (the value is an instance; extracted), a tuple
    (matched element by element), another callable (a predicate; the value is extracted if
    it answers true), or else a value to be equal to (nothing is extracted).

    >>> match_pattern(("add", 3), ("add", int))
    (3,)
    >>> match_pattern(("add", 3), ("add", str)) is None
    True
    >>> match_pattern(("set", "x", 1), ("set", ANY, IGNORE))
    ('x',)
    >>> match_pattern(4, lambda number: number % 2 == 0)
    (4,)
    """
    if pattern is ANY:
        return (value,)
    if pattern is IGNORE:
        return ()
    if isinstance(pattern, type):
        return (value,) if isinstance(value, pattern) else None
    if isinstance(pattern, tuple):
        return _match_tuple(value, pattern)
    if callable(pattern):
        return (value,) if pattern(value) else None
    return () if pattern == value else None


def _match_tuple(value: Any, pattern: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if not isinstance(value, tuple) or len(value) != len(pattern):
        return None
    extracted: list[Any] = []
    for part, expected in zip(value, pattern, strict=True):
        found = match_pattern(part, expected)
        if found is None:
            return None
        extracted += found
    return tuple(extracted)
