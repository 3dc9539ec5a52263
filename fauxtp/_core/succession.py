"""Succession: an address that starts what it means, and what comes too late for who ends.

`OnDemand` makes such addresses. A process that was started by one has its name before it begins:
from then on, whatever is sent to the name lies in its mailbox. If it ends well while messages are
on their way to it, these go to whoever the address means next, in order. That is done in one step
with its death, under a lock that whoever starts a successor takes, too: so nobody's second message
overtakes the first.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self, final

from fauxtp._base.carried import bare
from fauxtp._base.exit_reason import CANCELLED, ExitReason
from fauxtp._core.calls import Call
from fauxtp._core.control import Control
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.death import bury
from fauxtp._core.mailbox import find_queue
from fauxtp._core.phase import STARTING, Notice
from fauxtp._core.process import Process, find_process
from fauxtp._core.protocols import Succeeds
from fauxtp._core.queue import Queue
from fauxtp._core.wait_for_room import put_later
from fauxtp.errors import NoProcess
from fauxtp.registry import PID, default, register, whereis

__all__ = ["Address", "Source", "Succession", "bury_in_line", "in_line"]

_line = threading.RLock()  # as a finaliser may send while this thread has it


def _after_fork_in_child() -> None:
    """Let go of a lock that a thread holds which is not here."""
    global _line
    _line = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def in_line(is_finalizing: Callable[[], bool] = sys.is_finalizing) -> threading.RLock:
    """Return the lock of all who end or begin what an address means."""
    return threading.RLock() if is_finalizing() else _line


Found = tuple[PID, Process | None, Queue]


class Source(Succeeds, Protocol):
    """What knows how to start whoever an address means."""

    @property
    def supervisor(self) -> PID | str:
        """Under whom they are started."""
        ...

    def new_process(self, name: str, /) -> Process:
        """Return the process of an actor that is yet to be made, in line: `name` is to mean it.

        Raises `NoProcess` if nobody can start it.
        """
        ...

    def drop(self, process: Process, /) -> None:
        """Hear, in line, that another was quicker: a new process is not to be started."""
        ...

    def start(self, process: Process, name: str, on_the_spot: bool, /) -> None:
        """Have the actor made and the process started, or buried if that fails.

        Any thread may ask. `on_the_spot` is for the code of a task, which then may find it
        started. It has the `name` already.
        """
        ...


class Address(str):
    """A name that starts who has it, where a message is for who has it and there is nobody.

    Each source has a class of its own: to make an address so takes as long as to make a name.
    """

    __slots__ = ()
    _fauxtp_starts = True  # by which `starting` knows it
    _fauxtp_whereis = staticmethod(whereis)  # found at once, where that of other names is not
    source: Source

    @property
    def name(self) -> str:
        """The name, as plain text."""
        return str.__str__(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object, /) -> Self:
        return self

    def __reduce__(self) -> Any:
        return str, (self.name,)  # elsewhere, it is a name like any other

    def reach(self, on_the_spot: bool = False) -> Found:
        """Return whom it means: the PID, the process, the mailbox; start it if there is nobody.

        Raises `NoProcess` if nobody can start it, and what `Source.new_process` raises.
        """
        name = str.__str__(self)
        with in_line():
            while True:
                found = _find(name)
                if found is not None:
                    return found
                process = self.source.new_process(name)
                if _has_name(process, name, self.source):
                    break
        self.source.start(process, name, on_the_spot)
        return process.pid, process, process.mailbox

    def take_over(self, messages: list[Any], /) -> None:
        """Put `messages` into the mailbox of the successor, which is started if there is none."""
        with in_line():
            try:
                self._take_over(messages)
            except Exception as error:
                for message in messages:
                    _lose(self, message, error)

    def _take_over(self, messages: list[Any]) -> None:
        name = self.name
        while True:
            found = _find(name)
            if found is not None:
                for message in messages:
                    _put_into(found, message)
                return
            process = self.source.new_process(name)
            new = process.pid, process, process.mailbox
            for message in messages:  # first: nobody who finds it by its name overtakes them
                _put_into(new, message)
            if _has_name(process, name, self.source):
                self.source.start(process, name, False)
                return


def _find(name: str) -> Found | None:
    """Return whom `name` means now; for who is in line."""
    while True:
        pid = whereis(name)
        if pid is None:
            return None
        process = find_process(pid)
        mailbox = find_queue(pid) if process is None else process.mailbox
        if mailbox is not None:
            return pid, process, mailbox
        if whereis(name) is pid:
            raise NoProcess(name)  # it means what will never live


def _has_name(process: Process, name: str, source: Source) -> bool:
    """Register a new process; if another was quicker, forget it, with what lies in its mailbox."""
    done = False
    try:
        done = register(name, process.pid)
    finally:
        if not done:
            source.drop(process)
            process.source = None
            _taken_out(process.mailbox, _everything)
            bury(process, CANCELLED)
    return done


def _taken_out(queue: Queue, is_wanted: Callable[[Any], bool]) -> list[Any]:
    """Take out, in order, what is wanted of the messages of a mailbox that nobody reads."""
    if queue.kept and not queue.receivers:
        queue.put_back()
    wanted: list[Any] = []
    with suppress(IndexError):  # another thread was quicker
        for _ in range(len(queue.inbox)):
            message = queue.inbox.popleft()
            (wanted if is_wanted(message) else queue.inbox).append(message)
    return wanted


def _everything(message: object) -> bool:
    return True


def _put_into(to: Found, message: Any) -> None:
    pid, process, mailbox = to
    if type(message) is Call:
        message.target = pid
    if mailbox.max_size and process is not None:
        put_later(mailbox, message, process.home)
    else:
        mailbox.admit(message)


def _lose(address: Address, message: Any, error: Exception) -> None:
    if type(message) is Call:
        failure = NoProcess(address.name)
        failure.__cause__ = error
        message.fail(failure)
    else:
        dead_letters.add(address.name, message, "noproc")


def bury_in_line(
    process: Process,
    reason: ExitReason,
    why: Callable[..., BaseException],
    address_of: Callable[[str], Address],
    *,
    moves: bool = False,
) -> None:
    """Bury a process in line: what comes too late goes to a successor.

    What lies in its mailbox does so if its `init` is over and no error has ended it: that may have
    been the cause, and a start that has failed would fail again. Or if it `moves`, as it is only
    ended to be started elsewhere.
    """
    with in_line():
        names = default.names(process.pid)
        if names:  # else nobody finds it by one
            inherits = process.phase is not STARTING and not reason.abnormal
            why = Succession(address_of, names[0], why, moves or inherits)
        bury(process, reason, why)


@final
class Succession:
    """Why a mailbox is closed whose messages go to a successor.

    `why` tells what a call fails with that does not. `inherits` is whether those do that lay there
    as the process ended; what comes later does in any case.
    """

    __slots__ = ("_address_of", "_inherits", "_name", "_why")

    def __init__(
        self,
        address_of: Callable[[str], Address],
        name: str,
        why: Callable[..., BaseException],
        inherits: bool,
    ) -> None:
        self._address_of, self._name = address_of, name  # as most often nothing is left
        self._why, self._inherits = why, inherits

    def __call__(self, call: Call, taken_up: bool = False) -> BaseException:
        return self._why(call, taken_up)

    def takes(self, message: Any) -> bool:
        """Return whether what lay there goes to the successor."""
        return self._inherits and self.takes_late(message)

    def takes_late(self, message: Any) -> bool:
        """Return whether what finds the mailbox closed goes there."""
        if type(message) is Call:
            return not (message.settled or _is_for_one(message.request))
        return not isinstance(bare(message), Notice)

    def hand_on(self, message: Any) -> None:
        """Give the successor a message."""
        self._address_of(self._name).take_over([message])

    def hand_on_all(self, queue: Queue) -> None:
        """Give the successor what it takes of what lies in a closed mailbox."""
        with in_line():
            messages = _taken_out(queue, self.takes)
            if messages:
                self._address_of(self._name).take_over(messages)


def _is_for_one(request: object) -> bool:
    """Return whether it asks for the end of one process, and not of its successor."""
    return type(request) is Control and request.reason is not None
