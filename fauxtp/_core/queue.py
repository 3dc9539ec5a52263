"""A queue of messages: what a mailbox is inside, in order of arrival and from any thread."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from fauxtp._base.errors import OUT_OF_MEMORY
from fauxtp._base.tell_all import tell_all
from fauxtp._core.calls import Call, OwedCalls
from fauxtp._core.crowd import Crowd
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.given_up import NONE_GIVEN_UP, GivenUp
from fauxtp.errors import MailboxClosed, NoProcess
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Succession
    from fauxtp._loops.protocols import Waiter

__all__ = ["NOTHING", "Queue", "no_process"]

# An empty deque takes as much memory as a whole idle process should: there is one for all
# queues to which nothing has been sent yet.
NOTHING: deque[Any] = deque(maxlen=0)
_NONE: list[Any] = []  # never put anything in here
_NOT_IN_HAND: AbstractContextManager[None] = nullcontext()
_first = threading.RLock()
_sweeping = threading.RLock()


def _after_fork_in_child() -> None:
    # The threads that held the locks are not here.
    global _first, _sweeping
    _first, _sweeping = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Queue:
    """Messages for one reader, in order of arrival; there is always room for one more.

    Any thread may put messages in. They are received in one event loop.
    """

    # How it is safe without a lock: a sender first appends, then looks for somebody to wake;
    # a receiver first says that it waits, then looks again for messages. (One that has been
    # woken, and is not awake yet, will look.) And a sender looks
    # whether the queue is open after it has appended too: whatever came in after the last
    # look of whoever closed it is cleared away by the sender. While somebody receives, `kept`
    # is theirs alone: the last of them clears it away when the queue has been closed.

    __slots__ = (
        "__weakref__",
        "closed_because",
        "given_up",
        "inbox",
        "kept",
        "max_size",
        "owed",
        "pid",
        "receivers",
        "removals",
        "waiting",
    )

    in_line = 0
    """How many wait for room; that is nobody where there is no `max_size`."""

    def __init__(self, pid: PID) -> None:
        self.pid: PID = pid
        self.max_size: int = 0  # any number of messages
        self.inbox: deque[Any] = NOTHING  # new messages
        self.kept: list[Any] = _NONE  # older ones, that no pattern has matched so far
        self.removals: int = 0  # from the older ones
        self.given_up: GivenUp = NONE_GIVEN_UP
        self.owed: OwedCalls | None = None  # received by pattern, and to be answered
        self.waiting: tuple[Any, ...] = ()  # one waiter at most, or the crowd of them
        self.receivers: int = 0
        self.closed_because: Callable[[Call], BaseException] | None = None

    def __repr__(self) -> str:
        return f"<Queue of {self.pid!r}: {len(self)} messages>"

    def __len__(self) -> int:
        """Return how many messages lie here: calls that were given up do not count."""
        return max(0, len(self.kept) + len(self.inbox) - len(self.given_up))

    # Putting in

    def admit(self, message: Any) -> bool:
        """Put `message` in if there is room; in a closed queue it is a dead letter."""
        if not self.deliver(message):
            self.refuse(message)
        return True

    def deliver(self, message: Any) -> bool:
        """Put `message` in whether or not there is room; return False if it is closed."""
        if self.closed_because is not None:
            return False
        if self.inbox is NOTHING:
            self._open_inbox()
        self.inbox.append(message)
        for waiter in self.waiting:  # as `arrived` does
            if not waiter.woken:
                waiter.wake()
        if self.closed_because is not None:
            self.clear_away(self.closed_because)
        return True

    def arrived(self) -> None:
        """Do what has to be done after a message was put in."""
        for waiter in self.waiting:
            if not waiter.woken:
                waiter.wake()
        if self.closed_because is not None:
            self.clear_away(self.closed_because)

    def refuse(self, message: Any) -> None:
        """Do with `message` what becomes of those to a closed queue."""
        succession = _succession(self.closed_because)
        if succession is not None and succession.takes_late(message):
            succession.hand_on(message)
        elif type(message) is Call:
            message.fail(NoProcess(self.pid))
        else:
            dead_letters.add(self.pid, message, "noproc")

    def _open_inbox(self) -> None:
        with _first:
            fresh: deque[Any] = deque()
            # In one line: a signal handler or a finaliser that sends may come in between two.
            self.inbox = fresh if self.inbox is NOTHING else self.inbox

    def made_room(self) -> None:
        """Let those who wait for room have what there is, if there are such."""

    def place_of(self, message: Any, last: int) -> int:
        """Return how many lie before `message`, the very object; -1 if more than `last` do.

        Who has put it in, and knows where it lay then, need not look behind that: whatever lies
        here moves to the front only. The look takes as many steps as others were taken out.
        """
        place = min(last, len(self.kept) + len(self.inbox) - 1)
        while place >= 0:
            older = len(self.kept)
            try:
                found = self.kept[place] if place < older else self.inbox[place - older]
            except IndexError:
                found = None  # another thread takes them out meanwhile
            if found is message:
                return place
            place -= 1
        return -1

    def in_hand(self) -> AbstractContextManager[None]:
        """Count one message more meanwhile, as one is moved that lies nowhere."""
        return _NOT_IN_HAND

    # Taking out

    def take(self) -> Any:
        """Take out the oldest message, whatever it is; raise `IndexError` if there is none."""
        if self.kept:
            self.put_back()
        if self.given_up:
            first = self.inbox[0]
            if type(first) is Call:
                self.forget(first)  # as in `take_up`
        message = self.inbox.popleft()
        if self.max_size and self.in_line:
            self.made_room()
        return message

    def listen(self, waiter: Waiter) -> bool:
        """Let `waiter` be woken by the next message; return False if there is one already."""
        if self.closed_because is not None:
            raise MailboxClosed(self.pid)
        if self.waiting:
            self.start_waiting(waiter)
        else:
            self.waiting = (waiter,)
        self.receivers += 1
        return not self.inbox and self.closed_because is None

    def stop_listening(self, waiter: Waiter) -> None:
        if self.receivers == 1:
            self.waiting, self.receivers = (), 0
        else:
            self.stop_waiting(waiter)
            self.receivers -= 1

    def start_waiting(self, waiter: Waiter) -> None:
        waiting = self.waiting
        if not waiting:
            self.waiting = (waiter,)
        elif type(waiting[0]) is Crowd:
            waiting[0].join(waiter)
        else:
            self.waiting = (Crowd(*waiting, waiter),)

    def stop_waiting(self, waiter: Waiter) -> None:
        waiting = self.waiting
        if waiting and type(waiting[0]) is Crowd:
            waiting[0].leave(waiter)
            if not waiting[0]:
                self.waiting = ()
        elif waiting and waiting[0] is waiter:
            self.waiting = ()

    def keep_next(self) -> bool:
        """Move the oldest of the new messages to the older ones; return False if none is new."""
        if not self.inbox:
            return False
        if self.kept is _NONE:
            self.kept = []
        try:
            if not self.max_size:
                self.kept.append(self.inbox.popleft())
            else:
                with self.in_hand():
                    self.kept.append(self.inbox.popleft())
        except IndexError:
            return False
        return True

    def put_back(self, number: int = 0) -> None:
        """Keep that `number` of the older messages; the others are new ones again, in order.

        So whatever is taken out is the last of its kind, or the first: else to take out one
        after the other would take the square of their number. Nobody moves more messages than
        were scanned before.
        """
        try:
            if not self.max_size:
                self._move_back(number)
            else:
                with self.in_hand():
                    self._move_back(number)
        except IndexError:
            pass  # another thread was quicker: the queue is closed
        self.removals += 1

    def _move_back(self, number: int) -> None:
        while len(self.kept) > number:
            self.inbox.appendleft(self.kept.pop())

    def take_up(self, call: Call) -> bool:
        """Owe an answer to `call`, unless its caller has given up."""
        if not call.take():
            self.forget(call)  # before it is out, or there would seem to be room
            return False
        if self.owed is None:
            self.owed = OwedCalls()
        self.owed.add(call)
        return True

    # What nobody waits for any more

    def give_up(self, call: Call) -> bool:
        """Note that nobody waits for `call`, which lies here; return whether to `sweep` now."""
        if self.given_up is NONE_GIVEN_UP:
            with _first:
                if self.given_up is NONE_GIVEN_UP:
                    self.given_up = GivenUp()
        due = self.given_up.add(call, len(self))
        if self.max_size and self.in_line:
            self.made_room()
        return due

    def forget(self, call: Call) -> None:
        """Note that `call`, which may have been given up, lies here no more."""
        if self.given_up:
            self.given_up.forget({call})

    def sweep(self) -> None:
        """Throw away the calls that were given up, while nobody reads this queue."""
        with _sweeping:
            gone = self.given_up.known()
            with self.in_hand():
                self.put_back()
                if self.kept is _NONE:
                    self.kept = []
                try:
                    self._sort_out(gone)
                except IndexError:
                    pass  # another thread has closed the queue
                finally:
                    self.put_back()
            self.given_up.forget(gone)
            self.given_up.due = False
        if self.max_size and self.in_line:
            self.made_room()
        if self.closed_because is not None:
            self.clear_away(self.closed_because)

    def _sort_out(self, gone: set[Call]) -> None:
        for _ in range(len(self.inbox)):
            message = self.inbox.popleft()
            if type(message) is Call and message in gone:
                self.given_up.forget({message})
            else:
                self.kept.append(message)  # where it is counted

    def sweep_soon(self) -> None:
        """Let whoever reads this mailbox sweep it; do it here if that is nobody."""
        if self.receivers:
            self.wake_receivers()
            return
        with _sweeping:  # whoever begins to read waits for it
            if not self.receivers:
                self.sweep()

    def wake_receivers(self) -> None:
        """Let whoever waits for a message look again."""
        for waiter in self.waiting:
            waiter.wake()

    def forget_receivers(self) -> None:
        """Note that nobody receives any more, as the event loop of those who did has ended."""
        self.receivers, self.waiting = 0, ()

    def after_fork(self) -> None:
        """Be as new for who waits: the threads that did are not here."""
        self.waiting = ()

    # Closing

    def shut(self, because: Callable[[Call], BaseException]) -> None:
        """Close the queue; each call that lies in it fails with what `because` returns."""
        known = self.closed_because
        self.closed_because = because = known or because
        try:
            if self.inbox or self.kept or self.owed:  # the second time, what was left
                self.clear_away(because)
        finally:
            if known is None and self.waiting:
                self.wake_receivers()

    def clear_away(self, because: Callable[[Call], BaseException]) -> None:
        """Clear away every message; each is had by one thread only."""
        if (succession := _succession(because)) is not None:
            succession.hand_on_all(self)
        tell_all(self._burials(because))

    def _burials(self, because: Callable[[Call], BaseException]) -> Iterator[Callable[[], object]]:
        lose_next = partial(self._lose_next, because)
        if self.kept and not self.receivers:
            self.put_back()
        while self.inbox:
            yield lose_next
        for call in self.owed or ():
            yield partial(call.fail, because(call))

    def _lose_next(self, because: Callable[[Call], BaseException]) -> None:
        try:
            message = self.inbox.popleft()
        except IndexError:
            return  # another thread was quicker
        try:
            self.lose(message, because)
        except OUT_OF_MEMORY:
            self.lose(message, because)

    def lose(self, message: Any, because: Callable[[Call], BaseException]) -> None:
        succession = _succession(because)
        if succession is not None and succession.takes(message):
            succession.hand_on(message)
        elif type(message) is Call:
            self.forget(message)
            message.fail(because(message))
        else:
            dead_letters.add(self.pid, message, "exited")

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if (self.inbox or self.kept or self.owed) and not is_finalizing():
            self.shut(no_process)  # at the interpreter's end, there is nobody to be told


def no_process(call: Call) -> NoProcess:
    """Return what a call fails with that lies in a mailbox as it is closed."""
    return NoProcess(call.target)


def _succession(because: object) -> Succession | None:
    """Return `because` if what comes too late goes to a successor."""
    return because if hasattr(because, "hand_on") else None  # type: ignore[return-value]
