"""Telling many of one thing: what one listener raises keeps no other from being told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from fauxtp._base.errors import OUT_OF_MEMORY
from fauxtp._base.logs import report
from fauxtp._base.own_errors import is_own
from fauxtp._base.stack import TO_WAKE, has_room

__all__ = ["drain", "tell_all"]

K = TypeVar("K")
V = TypeVar("V")


def tell_all(listeners: Iterable[Callable[..., object]], *facts: object) -> None:
    """Call each of `listeners` with `facts`, whatever the others raise.

    An error of a listener is its own, and logged; one that had no memory is told once more. What
    is more than an error, as a `KeyboardInterrupt`, goes to the caller, when all have been told;
    so does the `RecursionError` of a caller that is at the end of the stack, and the first is
    raised.

    >>> tell_all([print, print], "hello")
    hello
    hello
    """
    fatal: BaseException | None = None
    for listener in listeners:
        try:
            try:
                listener(*facts)
            except OUT_OF_MEMORY:
                listener(*facts)
        except BaseException as error:
            if is_own(error) and (has_room(TO_WAKE) or not isinstance(error, RecursionError)):
                report("a listener failed: %r", listener)
            elif fatal is None:
                fatal = error
    if fatal is not None:
        try:
            raise fatal
        finally:
            fatal = None  # a circle else: its traceback has this frame


def drain(items: dict[K, V]) -> Iterator[tuple[K, V]]:
    """Take out all items, while other threads may add some and take others."""
    while items:
        try:
            item = items.popitem()
        except KeyError:
            return
        yield item
