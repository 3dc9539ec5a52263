"""Ears: those who listen to events, and how one is told to each."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.implementation import implementation
from fauxtp._base.own_errors import is_own
from fauxtp._base.stack import TO_WAKE, has_room

__all__ = ["Ear", "Hook"]


@final
class Ear:
    """A function that listens to events of some `kinds`; if it fails, `failed` gets this ear."""

    __slots__ = ("_failed", "_hearing", "function", "kinds")

    def __init__(
        self, function: Callable[[Any], object], kinds: Any, failed: Callable[[Ear], object], /
    ) -> None:
        self.function = function
        self.kinds = kinds
        self._failed = failed
        self._hearing: set[int] = set()  # threads in which it is being told

    def hear(self, event: Any, /) -> None:
        me, hearing = get_ident(), self._hearing
        if me in hearing:
            return  # it has caused that itself
        try:
            hearing.add(me)
            self.function(event)
        except BaseException as error:
            if not is_own(error):
                raise
            # One that comes at the end of the stack is not to blame for it.
            if has_room(TO_WAKE) or not isinstance(error, RecursionError):
                self._failed(self)
        finally:
            hearing.discard(me)

    def is_hearing(self) -> bool:
        """Whether it is being told something in this thread."""
        return get_ident() in self._hearing

    def after_fork_in_child(self) -> None:
        self._hearing.intersection_update({get_ident()})  # the other threads are not here


@final
class Hook:
    """What is called with all that happens: it tells each ear of what that listens to.

    `listening` has for the name of a kind the kind itself and who listens to it. `event` makes
    what they are told of a kind, a PID, labels and details. `tell_all` is how several are told.
    """

    __slots__ = ("_event", "_listening", "_tell_all")

    def __init__(
        self,
        event: Callable[..., Any],
        listening: dict[str, tuple[Any, tuple[Ear, ...]]],
        tell_all: Callable[..., object],
        /,
    ) -> None:
        self._event, self._listening, self._tell_all = event, listening, tell_all

    def __call__(self, key: tuple[str, ...], pid: Any, details: dict[str, Any], /) -> None:
        found = self._listening.get(key[0])
        if found is None:
            return
        kind, ears = found
        event = self._event(kind, pid, key[1:], details)
        if len(ears) == 1:
            ears[0].hear(event)
        else:
            self._tell_all([ear.hear for ear in ears], event)


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import Ear, Hook
