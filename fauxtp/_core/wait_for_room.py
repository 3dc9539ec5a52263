"""Putting into a queue that may be full: tasks and threads wait in line for room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from fauxtp._core.calls import Call
from fauxtp._core.queue import Queue
from fauxtp._loops.current import give_way, new_waiter

if TYPE_CHECKING:
    from fauxtp._core.bounded_queue import BoundedQueue
    from fauxtp._core.room_line import AnyWaiter
    from fauxtp._loops.protocols import Home, Waiter

__all__ = ["ROOM", "LeftInLine", "put", "put_blocking", "put_in_line", "put_later"]

ROOM: Final = object()  # in place of a request, where a call stands for a wait for room
BUDGET: Final = 128  # messages put in, before the event loop has a turn
put_in = 0  # since it had one; several loops may share the count


async def put(queue: Queue, message: Any) -> None:
    """Do as `Mailbox.put` does."""
    global put_in
    put_in += 1
    if put_in >= BUDGET:  # who only puts in must not keep the readers from reading
        put_in = 0
        await give_way()  # before: whoever is cancelled here has put nothing in
    if not queue.admit(message):
        await put_in_line(queue, message)


async def put_in_line(queue: Queue, message: Any, room: Call | None = None) -> None:
    """Put `message`, for which there was no room, in when there is some.

    `room` stands for the wait, for who looks whom a process waits for: it is settled as soon as
    room is kept. Raises what it fails with before that. If `message` is a call, and settled
    meanwhile, it is not put in.
    """
    queue = cast("BoundedQueue", queue)
    waiter = new_waiter()
    place: AnyWaiter = waiter if room is None else _Seen(room, waiter)
    call = message if type(message) is Call else room
    queue.senders.join(place)
    try:
        queue.made_room()  # as there may be some since
        if queue.closed_because is None:
            if call is not None:
                call.wake = waiter.wake
            await waiter.wait(None)
        if call is not None and call.settled:
            if call is room:
                call.result()
            else:
                queue.leave_line(place)
                return
    except BaseException:
        queue.leave_line(place)
        raise
    queue.use_room(place, message)


class _Seen:
    """A place in the line, of a process that others see waiting."""

    __slots__ = ("_room", "_waiter")

    def __init__(self, room: Call, waiter: Waiter) -> None:
        self._room, self._waiter = room, waiter

    def wake(self) -> bool:
        self._room.has_answered(None)
        return self._waiter.wake()


def put_blocking(queue: Queue, message: Any, timeout: float | None) -> bool:
    """Do as `Mailbox.put_blocking` does."""
    if queue.admit(message):
        return True
    from fauxtp._loops.thread_waiter import ThreadWaiter  # noqa: PLC0415  (seldom needed)

    queue = cast("BoundedQueue", queue)
    waiter, in_time = ThreadWaiter(), True
    queue.senders.join(waiter)
    try:
        queue.made_room()
        if queue.closed_because is None:
            in_time = waiter.wait_blocking(timeout)
    except BaseException:
        queue.leave_line(waiter)
        raise
    return queue.use_room(waiter, message, in_time)


def put_later(queue: Queue, message: Any, home: Home) -> LeftInLine | None:
    """Put `message` in, when there is room; nobody waits meanwhile, and `home` is its sender's.

    If that loop ends before, it is never put in. Return its place in the line, if it has to wait.
    """
    if queue.admit(message):
        return None
    queue = cast("BoundedQueue", queue)
    waiting = LeftInLine(queue, message, home)
    queue.senders.join(waiting, comes_at_once=True)
    queue.made_room()
    if queue.closed_because is not None:
        waiting.wake()
    return waiting


class LeftInLine:
    """A message that waits for room in a queue."""

    __slots__ = ("_home", "_messages", "_queue")

    def __init__(self, queue: BoundedQueue, message: Any, home: Home) -> None:
        self._queue = queue
        self._messages = [message]  # it, until somebody puts it in
        self._home = home

    def wake(self) -> bool:
        # At once, or what its sender sends next would find room before it has used its own.
        if self._home.is_over():
            return False
        try:
            message = self._messages.pop()
        except IndexError:
            return False  # it has left, or is in already
        self._queue.come_in(self, message)
        return True

    def leave(self) -> bool:
        """Wait no more; return False if it has been put in, or has left before."""
        try:
            self._messages.pop()
        except IndexError:
            return False
        self._queue.leave_line(self)
        return True
