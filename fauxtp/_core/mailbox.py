"""A mailbox: messages in order of arrival, from any thread, taken out by pattern."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import KeyedRef, WeakKeyDictionary

from fauxtp._base.arguments import unexpected
from fauxtp._base.carried import bare
from fauxtp._base.errors import OUT_OF_MEMORY
from fauxtp._base.events import note
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.tell_all import tell_all
from fauxtp._core.queue import Queue, no_process
from fauxtp._core.receiving import Pattern, receive
from fauxtp._core.wait_for_room import put, put_blocking
from fauxtp._loops.current import seconds
from fauxtp.errors import MailboxFull, NoProcess
from fauxtp.registry import PID, withdraw

if TYPE_CHECKING:
    from fauxtp._core.calls import Call
    from fauxtp._core.elsewhere import Elsewhere, Place

__all__ = [
    "Mailbox",
    "find_elsewhere",
    "find_queue",
    "new_queue",
    "not_here",
    "places",
    "put_news",
    "queues",
]

queues: dict[PID, KeyedRef[PID, Queue]] = {}
"""Those of mailboxes that stand alone, as long as somebody has them.

A `WeakValueDictionary` says the same, with an exception for whatever is not there.
"""

places: WeakKeyDictionary[PID, Place] = WeakKeyDictionary()
"""Where the processes are that are not here, if there are such."""


def _after_fork_in_child() -> None:
    # The threads that wait, or held a gate, are not here.
    for reference in list(queues.values()):
        queue = reference()
        if queue is not None:
            queue.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

_CLOSED = ExitReason("normal")  # as its reader has done with it


def find_queue(pid: PID) -> Queue | None:
    """Return what lies behind the address of a mailbox that stands alone, or None.

    For a process that is not here, it is what stands for its mailbox.
    """
    reference = queues.get(pid)
    queue = None if reference is None else reference()
    if queue is None and (place := places.get(pid)) is not None:
        return place.stand_in(pid)
    return queue


def find_elsewhere(pid: PID) -> Elsewhere | None:
    """Return what stands here for a process that is not, or None if that PID is of here."""
    place = places.get(pid)
    return None if place is None else place.stand_in(pid)


def not_here(to: PID | str, pid: PID | None) -> Exception:
    """Return what to raise where only a process of here will do, and behind `to` there is none."""
    if pid is not None and pid in places:
        return ValueError(f"expected a process of this node, got {to!r}, which is of another")
    return NoProcess(to)


def new_queue(pid: PID, max_size: int) -> Queue:
    """Return what is to lie behind `pid`: of any number of messages, if `max_size` is 0."""
    if type(max_size) is int and not max_size:
        return Queue(pid)
    if not isinstance(max_size, int):
        raise unexpected("max_size", "an int", max_size)
    if max_size < 0:
        raise ValueError(f"expected max_size to be at least 0, got {max_size}")
    if not max_size:
        return Queue(pid)
    from fauxtp._core.bounded_queue import BoundedQueue  # noqa: PLC0415  (many programs have none)

    return BoundedQueue(pid, max_size)


# At the interpreter's end, the names of this module may be gone before a mailbox is.
def _forget(
    reference: KeyedRef[PID, Queue], forget: Callable[[PID, None], object] = queues.pop
) -> None:
    forget(reference.key, None)


def put_news(queue: Queue, news: object) -> None:
    """Put in what is told once, whether or not there is room, and for lack of memory once more."""
    try:
        queue.deliver(news)
    except OUT_OF_MEMORY:
        if queue.place_of(news, len(queue.kept) + len(queue.inbox)) < 0:
            queue.deliver(news)
        else:
            queue.arrived()  # it lies there, and perhaps nobody was woken


# As above: what is dropped may be among the last.
def _end(
    queue: Queue,
    because: Callable[[Call], BaseException] = no_process,
    reason: ExitReason = _CLOSED,
    withdraw: Callable[[PID, ExitReason], tuple[Callable[[], object], ...]] = withdraw,
    tell_all: Callable[[tuple[Callable[[], object], ...]], object] = tell_all,
    out_of_memory: Any = OUT_OF_MEMORY,
) -> None:
    """Close a mailbox that stands alone, as a process dies: first it has no names and groups."""
    try:
        told = withdraw(queue.pid, reason)
    except out_of_memory:
        told = withdraw(queue.pid, reason)
    try:
        queue.shut(because)
    except out_of_memory:
        queue.shut(because)  # what was left
    finally:
        if told:
            tell_all(told)


class Mailbox:
    """Messages for one reader, in order of arrival.

    `max_size` is how many messages it holds before `put` waits; 0 means any number.

    A mailbox has an address of its own, `pid`: code that is no actor can be sent messages
    there, and a test can stand in for a process. It may have names, and be in groups, until it is
    closed, or nobody has it any more.

    Any thread may put messages in. They are received in one event loop.

    Raises `TypeError` if `max_size` is no int, `ValueError` if it is negative.

    >>> mailbox = Mailbox(max_size=2)
    >>> mailbox.put_nowait("hello")
    >>> len(mailbox), mailbox.take_nowait()
    (1, 'hello')
    """

    __slots__ = ("__weakref__", "_queue")

    def __init__(self, max_size: int = 0) -> None:
        pid = PID()
        self._queue = queue = new_queue(pid, max_size)
        queues[pid] = KeyedRef(queue, _forget, pid)

    def __repr__(self) -> str:
        return f"<Mailbox of {self.pid!r}: {len(self)} messages>"

    def __len__(self) -> int:
        """Return how many messages lie here: calls that were given up do not count."""
        return len(self._queue)

    @property
    def pid(self) -> PID:
        """Its address."""
        return self._queue.pid

    @property
    def max_size(self) -> int:
        """How many messages it holds before `put` waits; 0 means any number."""
        return self._queue.max_size

    @property
    def given_up(self) -> int:
        """How many calls have been given up while they lay here."""
        return self._queue.given_up.total

    @property
    def closed(self) -> bool:
        """Whether nothing can come in any more."""
        return self._queue.closed_because is not None

    # Putting in

    async def put(self, message: Any) -> None:
        """Put `message` in; wait while there is no room.

        In a closed mailbox it is a dead letter. Raises `CallCycle` if there would never be room,
        as it is the mailbox of the caller, or of one that waits for it.
        """
        await put(self._queue, message)

    def put_nowait(self, message: Any) -> None:
        """Put `message` in, from any thread.

        Raises `MailboxFull` if there is no room, or others wait for what there is. In a closed
        mailbox it is a dead letter.
        """
        if not self._queue.admit(message):
            note(("mailbox_full", "Mailbox"), self.pid, {"message": message})
            raise MailboxFull(self.pid, self.max_size)

    def put_blocking(self, message: Any, timeout: float | None) -> bool:
        """Put `message` in, from a thread without an event loop; return whether in time.

        `timeout` is in seconds; None waits for ever. It blocks the thread: not for one that runs
        an event loop.

        Raises `TypeError` if `timeout` is no number, and `ValueError` if it is nan.
        """
        return put_blocking(self._queue, message, seconds(timeout))

    # Taking out

    async def receive(self, *patterns: Pattern, timeout: float | None = None) -> Any:
        """Take out the first message that a pattern matches, and return what its handler says.

        Each of `patterns` is `(matcher, handler)`. A matcher is `ANY` or `IGNORE`, a type, a
        tuple of matchers, a function that tells whether it likes a value, or else a value to be
        equal to. The handler gets what was extracted: each value that met `ANY`, a type or a
        function, in order. It may be async. Messages that no pattern matches stay, in order.

        `timeout` is in seconds. It covers the wait, never the handler.

        Raises `ReceiveTimeout` if nothing came in time, `MailboxClosed` if nothing can, and
        `TypeError` if a pattern is no such pair.
        What a matcher raises goes to the caller; the message stays.

        >>> import anyio
        >>> async def main():
        ...     mailbox = Mailbox()
        ...     await mailbox.put("noise")
        ...     await mailbox.put(("add", 3))
        ...     return await mailbox.receive((("add", int), lambda number: number + 1))
        >>> anyio.run(main)
        4
        """
        return await receive(self._queue, patterns, timeout)

    def take_nowait(self) -> Any:
        """Take out the oldest message, whatever it is, and return it.

        Raises `IndexError` if there is none.
        """
        return bare(self._queue.take())

    # Closing

    def close(self) -> None:
        """Let nothing in any more. What lies here becomes dead letters; calls fail.

        Its address loses its names and leaves its groups, as that of a process which ends: anybody
        may have the names at once. Whoever waits for a message gets `MailboxClosed`; whoever waits
        for room goes on. It raises nothing.
        """
        _end(self._queue)

    def __del__(
        self,
        end: Callable[[Queue], object] = _end,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        queue: Queue | None = getattr(self, "_queue", None)  # without, if `max_size` was wrong
        if queue is not None and queue.closed_because is None and not is_finalizing():
            end(queue)
