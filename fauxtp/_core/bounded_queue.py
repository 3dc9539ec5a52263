"""A queue that holds so many messages and no more: whoever comes then waits for room."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fauxtp._core.calls import Call
from fauxtp._core.queue import Queue
from fauxtp._core.room_line import AnyWaiter, Line
from fauxtp.registry import PID

__all__ = ["BoundedQueue"]

Closed = Callable[[Call], BaseException] | None  # why a queue takes nothing more


class BoundedQueue(Queue):
    """A queue of `max_size` messages at most."""

    __slots__ = ("gate", "senders")

    def __init__(self, pid: PID, max_size: int) -> None:
        super().__init__(pid)
        self.max_size = max_size
        self.inbox: deque[Any] = deque()
        self.after_fork()

    def after_fork(self) -> None:
        super().after_fork()
        self.gate: threading.RLock = threading.RLock()
        self.senders: Line = Line()

    @property
    def in_line(self) -> int:  # type: ignore[override]
        return len(self.senders)

    def admit(self, message: Any) -> bool:
        with self.gate:
            closed = self.closed_because is not None
            # Nobody overtakes those who wait.
            admitted = not closed and not self.senders and self._fits_in(message)
        if self.senders:
            self.made_room()  # which who came in meanwhile did not see
        if closed:
            self.refuse(message)
        elif admitted:
            self.arrived()
        return closed or admitted

    def _fits_in(self, message: Any) -> bool:
        """Put `message` in if there is room beside what is kept; whoever asks has the gate."""
        hand = object()
        try:
            self.senders.keep(hand)  # first: who comes in between counts it
            if len(self) + self.senders.kept > self.max_size:
                return False
            self.inbox.append(message)
            return True
        finally:
            self.senders.let_go(hand)

    def leave_line(self, waiter: AnyWaiter) -> bool:
        """Wait for room no more; the room that was kept, if it was, is the next one's."""
        with self.gate:
            had_room = self.senders.leave(waiter)
        if self.senders:
            self.made_room()
        return had_room

    def use_room(self, waiter: AnyWaiter, message: Any, in_time: bool = True) -> bool:
        """Put `message` in where room is kept for it; return False if none is."""
        has_room, because = self._lay_in(waiter, message, in_time)
        if self.senders:
            self.made_room()
        return self._came_in(message, has_room, because)

    def come_in(self, waiter: AnyWaiter, message: Any) -> None:
        """Do as `use_room` does, for who is woken by who makes room, and looks for the next."""
        self._came_in(message, *self._lay_in(waiter, message, True))

    def _lay_in(self, waiter: AnyWaiter, message: Any, in_time: bool) -> tuple[bool, Closed]:
        with self.gate:
            try:
                has_room = self.senders.keeps(waiter) or in_time
                because = self.closed_because
                if has_room and because is None:
                    self.inbox.append(message)
            finally:
                self.senders.leave(waiter)  # last: until then it is the room of this one
        return has_room, because

    def _came_in(self, message: Any, has_room: bool, because: Closed) -> bool:
        if because is not None:
            self.lose(message, because)
        elif has_room:
            self.arrived()
        return has_room or because is not None

    def made_room(self) -> None:
        """Keep the room that there is for the first who wait for some, and wake them."""
        while True:
            with self.gate:
                waiter = self.senders.call_up(self.max_size - len(self))
            if waiter is None:
                return
            try:
                there = waiter.wake()
            except BaseException:
                self.senders.call_back(waiter)
                raise
            if not there:  # its event loop has ended: it is the next one's turn
                self.senders.leave(waiter)

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        hand = object()
        with self.gate:
            try:
                self.senders.keep(hand)  # or a sender would see room that there is not
                yield
            finally:
                self.senders.let_go(hand)

    def shut(self, because: Callable[[Call], BaseException]) -> None:
        try:
            super().shut(because)
        finally:  # those who wait for room go on, as there will be none
            self.senders.dissolve()
