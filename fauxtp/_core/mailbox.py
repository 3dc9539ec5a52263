"""A mailbox: messages in order of arrival, from any thread, taken out by pattern."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from fauxtp._base.arguments import unexpected
from fauxtp._base.telling import tell_all
from fauxtp._core.calls import Call, OwedCalls
from fauxtp._core.crowd import Crowd
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.given_up import NONE_GIVEN_UP, GivenUp
from fauxtp._core.line import NO_LINE, Line
from fauxtp._core.patterns import match_pattern
from fauxtp._loops.current import ThreadWaiter, give_way, new_waiter, seconds
from fauxtp._loops.protocols import Waiter
from fauxtp.errors import MailboxClosed, MailboxFull, NoProcess, ReceiveTimeout
from fauxtp.registry import PID

__all__ = ["Mailbox", "find_mailbox"]

Pattern = tuple[Any, Callable[..., Any]]

# An empty deque takes as much memory as a whole idle process should: there is one for all
# mailboxes to which nothing has been sent yet.
_NOTHING: deque[Any] = deque(maxlen=0)
_NONE: list[Any] = []  # never put anything in here
_NO_GATE: AbstractContextManager[None] = nullcontext()
_first_message = threading.RLock()
_sweeping = threading.RLock()

BUDGET: Final = 128  # messages put in or taken out, before the event loop has a turn
_moved = 0  # since it had one; several loops may share the count

_mailboxes: WeakValueDictionary[PID, Mailbox] = WeakValueDictionary()


def _after_fork_in_child() -> None:
    # The threads that held the locks, and those who wait, are not here.
    global _first_message, _sweeping
    _first_message, _sweeping = threading.RLock(), threading.RLock()
    for mailbox in list(_mailboxes.values()):
        mailbox._waiting = ()
        if mailbox._gate is not None:
            mailbox._gate, mailbox._senders = threading.RLock(), Line()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def find_mailbox(pid: PID) -> Mailbox | None:
    """Return the open mailbox whose address is `pid`, or None."""
    return _mailboxes.get(pid)


def _expect_pairs(patterns: tuple[Pattern, ...]) -> None:
    if not patterns:
        raise ValueError("expected at least one pattern")
    for pattern in patterns:
        if not (isinstance(pattern, (tuple, list)) and len(pattern) == 2 and callable(pattern[1])):
            raise unexpected("each pattern", "(matcher, handler)", pattern)


class Mailbox:
    """Messages for one reader, in order of arrival.

    `max_size` is how many messages it holds before `put` waits; 0 means any number.

    A mailbox has an address of its own, `pid`: code that is no actor can be sent messages
    there, and a test can stand in for a process.

    Any thread may put messages in. They are received in one event loop.
    """

    # How it is safe without a lock: a sender first appends, then looks for somebody to wake;
    # a receiver first says that it waits, then looks again for messages. (One that has been
    # woken, and is not awake yet, will look.) And a sender looks
    # whether the mailbox is open after it has appended too: whatever came in after the last
    # look of whoever closed it is cleared away by the sender. While somebody receives, `_kept`
    # is theirs alone: the last of them clears it away when the mailbox has been closed.

    __slots__ = (
        "__weakref__",
        "_closed_because",
        "_gate",
        "_given_up",
        "_inbox",
        "_kept",
        "_owed",
        "_receivers",
        "_removals",
        "_senders",
        "_waiting",
        "max_size",
        "pid",
    )

    def __init__(self, max_size: int = 0, *, pid: PID | None = None) -> None:
        self._inbox = _NOTHING  # new ones
        self._kept: list[Any] = _NONE  # older ones, that no pattern has matched so far
        self._removals = 0  # from the older ones
        self._given_up: GivenUp = NONE_GIVEN_UP
        self._owed: OwedCalls | None = None  # received by pattern, and to be answered
        if not isinstance(max_size, int):
            raise unexpected("max_size", "an int", max_size)
        if max_size < 0:
            raise ValueError(f"expected max_size to be at least 0, got {max_size}")
        self.max_size: int = max_size
        if max_size:
            self._inbox = deque()
        self._waiting: tuple[Any, ...] = ()  # one waiter at most, or the crowd of them
        self._senders: Line = Line() if max_size else NO_LINE
        self._receivers = 0
        self._closed_because: Callable[[Call], BaseException] | None = None
        self._gate = threading.RLock() if max_size else None
        if pid is None:
            pid = PID()
            _mailboxes[pid] = self
        elif type(pid) is not PID:
            raise unexpected("pid", "a PID", pid)
        self.pid: PID = pid

    def __repr__(self) -> str:
        return f"<Mailbox of {self.pid!r}: {len(self)} messages>"

    def __len__(self) -> int:
        """Return how many messages lie here: calls that were given up do not count."""
        return max(0, len(self._kept) + len(self._inbox) - len(self._given_up))

    @property
    def given_up(self) -> int:
        """How many calls have been given up while they lay here."""
        return self._given_up.total

    @property
    def closed(self) -> bool:
        """Whether nothing can come in any more."""
        return self._closed_because is not None

    # Putting in

    async def put(self, message: Any) -> None:
        """Put `message` in; wait while there is no room.

        In a closed mailbox it is a dead letter.
        """
        global _moved
        _moved += 1
        if _moved >= BUDGET:  # who only puts in must not keep the readers from reading
            _moved = 0
            await give_way()  # before: whoever is cancelled here has put nothing in
        if self._admit(message):
            return
        waiter = new_waiter()
        self._senders.join(waiter)
        try:
            self._made_room()  # as there may be some since
            if self._closed_because is None:
                await waiter.wait(None)
        except BaseException:
            self._leave_line(waiter)
            raise
        self._use_room(waiter, message)

    def put_nowait(self, message: Any) -> None:
        """Put `message` in, from any thread.

        Raises `MailboxFull` if there is no room, or others wait for what there is. In a closed
        mailbox it is a dead letter.
        """
        if not self._admit(message):
            raise MailboxFull(self.pid, self.max_size)

    def put_blocking(self, message: Any, timeout: float | None) -> bool:
        """Put `message` in, from a thread without an event loop; return whether in time."""
        if self._admit(message):
            return True
        waiter, in_time = ThreadWaiter(), True
        self._senders.join(waiter)
        try:
            self._made_room()
            if self._closed_because is None:
                in_time = waiter.wait_blocking(timeout)
        except BaseException:
            self._leave_line(waiter)
            raise
        return self._use_room(waiter, message, in_time)

    def _admit(self, message: Any) -> bool:
        """Put `message` in if there is room; bury it in a closed mailbox."""
        if self._gate is None:
            if not self.deliver(message):
                self._refuse(message)
            return True
        with self._gate:
            closed = self.closed
            # Nobody overtakes those who wait.
            admitted = not closed and not self._senders and self._fits_in(message)
        if self._senders:
            self._made_room()  # which who came in meanwhile did not see
        if closed:
            self._refuse(message)
        elif admitted:
            self._arrived()
        return closed or admitted

    def _fits_in(self, message: Any) -> bool:
        """Put `message` in if there is room beside what is kept; whoever asks has the gate."""
        hand = object()
        try:
            self._senders.keep(hand)  # first: who comes in between counts it
            if len(self) + self._senders.kept > self.max_size:
                return False
            self._inbox.append(message)
            return True
        finally:
            self._senders.let_go(hand)

    def _refuse(self, message: Any) -> None:
        if isinstance(message, Call):
            message.fail(NoProcess(self.pid))
        else:
            dead_letters.add(self.pid, message, "noproc")

    def deliver(self, message: Any) -> bool:
        """Put `message` in whether or not there is room; return False if it is closed."""
        if self._closed_because is not None:
            return False
        if self._inbox is _NOTHING:
            self._open_inbox()
        self._inbox.append(message)
        for waiter in self._waiting:  # as `_arrived` does
            if not waiter.woken:
                waiter.wake()
        if self._closed_because is not None:
            self._bury(self._closed_because)
        return True

    def _arrived(self) -> None:
        for waiter in self._waiting:
            if not waiter.woken:
                waiter.wake()
        if self._closed_because is not None:
            self._bury(self._closed_because)

    def _open_inbox(self) -> None:
        with _first_message:
            fresh: deque[Any] = deque()
            # In one line: a signal handler or a finaliser that sends may come in between two.
            self._inbox = fresh if self._inbox is _NOTHING else self._inbox

    def _leave_line(self, waiter: Waiter | ThreadWaiter) -> bool:
        """Wait for room no more; the room that was kept, if it was, is the next one's."""
        with self._gate or _NO_GATE:
            had_room = self._senders.leave(waiter)
        if self._senders:
            self._made_room()
        return had_room

    def _use_room(self, waiter: Waiter | ThreadWaiter, message: Any, in_time: bool = True) -> bool:
        """Put `message` in where room is kept for it; return False if none is."""
        with self._gate or _NO_GATE:
            try:
                has_room = self._senders.keeps(waiter) or in_time
                because = self._closed_because
                if has_room and because is None:
                    self._inbox.append(message)
            finally:
                self._senders.leave(waiter)  # last: until then it is the room of this one
        if self._senders:
            self._made_room()
        if because is not None:
            self._lose(message, because)
        elif has_room:
            self._arrived()
        return has_room or because is not None

    def _made_room(self) -> None:
        """Keep the room that there is for the first who wait for some, and wake them."""
        while True:
            with self._gate or _NO_GATE:
                waiter = self._senders.call_up(self.max_size - len(self))
            if waiter is None:
                return
            try:
                there = waiter.wake()
            except BaseException:
                self._senders.call_back(waiter)
                raise
            if not there:  # its event loop has ended: it is the next one's turn
                self._senders.leave(waiter)

    # Taking out

    async def receive(self, *patterns: Pattern, timeout: float | None = None) -> Any:
        """Take out the first message that a pattern matches, and return what its handler says.

        Each of `patterns` is `(matcher, handler)`. What a matcher may be tells
        `fauxtp._core.patterns.match_pattern`. The handler gets what was extracted, and may be
        async. Messages that no pattern matches stay, in order.

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
        global _moved
        _moved += 1
        if _moved >= BUDGET:  # whose handler sends to itself must not keep others from running
            _moved = 0
            await give_way()  # before: whoever is cancelled here has taken nothing out
        deadline, late, seen, removals = None, False, 0, self._removals
        self._receivers += 1
        try:
            _expect_pairs(patterns)  # before a message is taken out
            limit = seconds(timeout)
            while True:
                if self._closed_because is not None:
                    raise MailboxClosed(self.pid)
                if self._given_up.due:
                    self.sweep()
                if removals != self._removals:
                    seen = 0  # another receiver has taken one out
                found, seen = self._scan(patterns, seen)
                if found is not None:
                    break
                if late:
                    raise ReceiveTimeout(f"no matching message within {timeout:g} s")
                removals = self._removals
                waiter = new_waiter()
                if limit is not None and deadline is None:
                    deadline = waiter.time() + limit
                self._start_waiting(waiter)
                try:
                    if self._inbox or self._closed_because is not None:
                        continue
                    if deadline is None:
                        await waiter.wait(None)
                    else:
                        woken = await waiter.wait(max(0.0, deadline - waiter.time()))
                        late = not woken or waiter.time() >= deadline
                finally:
                    self._stop_waiting(waiter)
        except Exception:
            await give_way()
            raise
        finally:
            self._receivers -= 1
            if self._closed_because is not None:
                self._bury(self._closed_because)
        handler, extracted = found
        result = handler(*extracted)
        return await result if inspect.isawaitable(result) else result

    def take_nowait(self) -> Any:
        """Take out the oldest message, whatever it is; raise `IndexError` if there is none."""
        if self._kept:
            self._put_back()
        if self._given_up:
            first = self._inbox[0]
            if type(first) is Call:
                self.forget(first)  # as in `_take_up`
        message = self._inbox.popleft()
        if self._senders:
            self._made_room()
        return message

    def listen(self, waiter: Waiter) -> bool:
        """Let `waiter` be woken by the next message; return False if there is one already."""
        if self._closed_because is not None:
            raise MailboxClosed(self.pid)
        if self._waiting:
            self._start_waiting(waiter)
        else:
            self._waiting = (waiter,)
        self._receivers += 1
        return not self._inbox and self._closed_because is None

    def stop_listening(self, waiter: Waiter) -> None:
        if self._receivers == 1:
            self._waiting = ()
        else:
            self._stop_waiting(waiter)
        self._receivers -= 1

    def _start_waiting(self, waiter: Waiter) -> None:
        waiting = self._waiting
        if not waiting:
            self._waiting = (waiter,)
        elif type(waiting[0]) is Crowd:
            waiting[0].join(waiter)
        else:
            self._waiting = (Crowd(*waiting, waiter),)

    def _stop_waiting(self, waiter: Waiter) -> None:
        waiting = self._waiting
        if waiting and type(waiting[0]) is Crowd:
            waiting[0].leave(waiter)
            if not waiting[0]:
                self._waiting = ()
        elif waiting and waiting[0] is waiter:
            self._waiting = ()

    def _scan(
        self, patterns: tuple[Pattern, ...], seen: int
    ) -> tuple[tuple[Callable[..., Any], tuple[Any, ...]] | None, int]:
        """Look for a match from the message number `seen` on; take it out."""
        while seen < len(self._kept) or self._keep_next():
            message = self._kept[seen]
            removals = self._removals
            for matcher, handler in patterns:
                extracted = match_pattern(message, matcher)
                if removals != self._removals:
                    seen = 0  # the matcher itself has taken one out
                    break
                if extracted is None:
                    continue
                self._put_back(seen + 1)
                taken = type(message) is not Call or self._take_up(message)
                self._kept.pop()
                if self._senders:
                    self._made_room()
                if not taken:
                    break  # its caller has given up: it counts as never sent
                return (handler, extracted), seen
            else:
                seen += 1
        return None, seen

    def _keep_next(self) -> bool:
        """Move the oldest of the new messages to the older ones; return False if none is new."""
        if not self._inbox:
            return False
        if self._kept is _NONE:
            self._kept = []
        try:
            if self._gate is None:
                self._kept.append(self._inbox.popleft())
            else:
                self._keep_in_hand(self._gate)
        except IndexError:
            return False
        return True

    def _keep_in_hand(self, gate: AbstractContextManager[Any]) -> None:
        hand = object()
        with gate:
            try:
                self._senders.keep(hand)  # or a sender would see room that there is not
                self._kept.append(self._inbox.popleft())
            finally:
                self._senders.let_go(hand)

    def _put_back(self, number: int = 0) -> None:
        """Keep that `number` of the older messages; the others are new ones again, in order.

        So whatever is taken out is the last of its kind, or the first: else to take out one
        after the other would take the square of their number. Nobody moves more messages than
        were scanned before.
        """
        try:
            if self._gate is None:
                while len(self._kept) > number:
                    self._inbox.appendleft(self._kept.pop())
            else:
                self._put_back_in_hand(self._gate, number)
        except IndexError:
            pass  # another thread was quicker: the mailbox is closed
        self._removals += 1

    def _put_back_in_hand(self, gate: AbstractContextManager[Any], number: int) -> None:
        hand = object()
        with gate:
            try:
                self._senders.keep(hand)
                while len(self._kept) > number:
                    self._inbox.appendleft(self._kept.pop())
            finally:
                self._senders.let_go(hand)

    def _take_up(self, call: Call) -> bool:
        if not call.take():
            self.forget(call)  # before it is out, or there would seem to be room
            return False
        if self._owed is None:
            self._owed = OwedCalls()
        self._owed.add(call)
        return True

    # What nobody waits for any more

    def give_up(self, call: Call) -> bool:
        """Note that nobody waits for `call`, which lies here; return whether to `sweep` now."""
        if self._given_up is NONE_GIVEN_UP:
            with _first_message:
                if self._given_up is NONE_GIVEN_UP:
                    self._given_up = GivenUp()
        due = self._given_up.add(call, len(self))
        if self._senders:
            self._made_room()
        return due

    def forget(self, call: Call) -> None:
        """Note that `call`, which may have been given up, lies here no more."""
        if self._given_up:
            self._given_up.forget({call})

    def sweep(self) -> None:
        """Throw away the calls that were given up, while nobody reads this mailbox."""
        with _sweeping:
            gone = self._given_up.known()
            hand = None if self._gate is None else object()
            with self._gate or _NO_GATE:
                self._put_back()
                if self._kept is _NONE:
                    self._kept = []
                try:
                    if hand is not None:
                        self._senders.keep(hand)
                    for _ in range(len(self._inbox)):
                        message = self._inbox.popleft()
                        if type(message) is Call and message in gone:
                            self._given_up.forget({message})
                        else:
                            self._kept.append(message)  # where it is counted
                except IndexError:
                    pass  # another thread has closed the mailbox
                finally:
                    self._put_back()
                    if hand is not None:
                        self._senders.let_go(hand)
            self._given_up.forget(gone)
            self._given_up.due = False
        if self._senders:
            self._made_room()
        if self._closed_because is not None:
            self._bury(self._closed_because)

    def sweep_soon(self) -> None:
        """Let whoever reads this mailbox sweep it; do it here if that is nobody."""
        if self._receivers:
            self.wake_receivers()
            return
        with _sweeping:  # whoever begins to read waits for it
            if not self._receivers:
                self.sweep()

    def wake_receivers(self) -> None:
        """Let whoever waits for a message look again."""
        for waiter in self._waiting:
            waiter.wake()

    def forget_receivers(self) -> None:
        """Note that nobody receives any more, as the event loop of those who did has ended."""
        self._receivers, self._waiting = 0, ()

    # Closing

    def close(self) -> None:
        """Let nothing in any more. What lies here becomes dead letters; calls fail.

        Whoever waits for a message gets `MailboxClosed`; whoever waits for room goes on.
        """
        self.shut(lambda call: NoProcess(call.target))

    def shut(self, because: Callable[[Call], BaseException]) -> None:
        """Close the mailbox; each call that lies in it fails with what `because` returns."""
        if self._closed_because is not None:
            return
        self._closed_because = because
        try:
            if self._inbox or self._kept or self._owed:
                self._bury(because)
        finally:
            if self._waiting:
                self.wake_receivers()
            if self._senders is not NO_LINE:
                self._senders.dissolve()

    def _bury(self, because: Callable[[Call], BaseException]) -> None:
        """Clear away every message; each is had by one thread only."""
        tell_all(self._burials(because))

    def _burials(self, because: Callable[[Call], BaseException]) -> Iterator[Callable[[], object]]:
        if self._kept and not self._receivers:
            self._put_back()
        while self._inbox:
            try:
                message = self._inbox.popleft()
            except IndexError:
                continue  # another thread was quicker
            yield partial(self._lose, message, because)
        for call in self._owed or ():
            yield partial(call.fail, because(call))

    def _lose(self, message: Any, because: Callable[[Call], BaseException]) -> None:
        if isinstance(message, Call):
            self.forget(message)
            message.fail(because(message))
        else:
            dead_letters.add(self.pid, message, "exited")

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if (self._inbox or self._kept or self._owed) and not is_finalizing():
            self.close()  # at the interpreter's end, there is nobody to be told
