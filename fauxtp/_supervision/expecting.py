"""To expect: to have a process made at once, and its actor when its supervisor comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fauxtp._actors.actor import Actor
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import DECLINED, GAVE_WAY, Call
from fauxtp._core.death import bury
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import not_here
from fauxtp._core.phase import STOPPING
from fauxtp._core.process import Process
from fauxtp._messaging.addresses import find_pid, mailbox_of
from fauxtp._messaging.delivery import Attempt, attempt
from fauxtp._supervision import supervisor_log
from fauxtp._supervision.child import Expected
from fauxtp._supervision.dynamic_supervision import DynamicSupervision
from fauxtp._supervision.dynamic_supervisor import DynamicSupervisor
from fauxtp.errors import NoProcess, ProcessExited
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Succeeds

__all__ = ["begin", "expected_under"]


def expected_under(
    supervisor: PID | str, kind: type[Actor], source: Succeeds | None = None
) -> Process:
    """Return the process of an actor of that `kind`, which `supervisor` is to start: see `begin`.

    Raises `NoProcess` if there is no such supervisor, or it ends, `TypeError` if it is of another
    kind, and `ValueError` if it is of another node.
    """
    pid = find_pid(supervisor)
    chief = meet(pid)
    if chief is None:
        raise not_here(supervisor, pid)
    # One that ends begins with nobody any more: a child that it waits for may ask it to.
    if chief.exit_request is not None or chief.phase is STOPPING:
        raise NoProcess(supervisor)
    supervision = chief.actor
    if type(supervision) is DynamicSupervision:
        if supervision.has_begun_to_end:
            raise NoProcess(supervisor)
    elif not issubclass(chief.kind, DynamicSupervisor):  # which tells of who has yet to begin
        what = f"expected {supervisor!r} to be a DynamicSupervisor"
        raise TypeError(f"{what}, got {chief.kind.__name__}")
    return Process(None, chief.home, chief.pid, kind, source)


def begin(expected: Expected, on_the_spot: bool) -> None:
    """Ask the supervisor to start who is expected; if that fails, the process ends by it.

    `on_the_spot` is for the code of a task, which may find it done.
    """
    chief = expected.process.supervisor
    assert chief is not None
    try:
        if not on_the_spot:
            _Order(expected).put_in(Call(expected, chief, None))
        elif type(begun := attempt(chief, expected)) is Attempt:
            _Order(expected).go_on(begun)
    except BaseException as error:
        bury(expected.process, ExitReason.error(error))
        raise


@final
class _Order:
    """What a supervisor is asked, for somebody who does not wait: to begin with a process."""

    __slots__ = ("_call", "_expected")

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._call: Call | None = None  # until it is heard what came of it

    def go_on(self, begun: Attempt) -> None:
        """Hear what comes of what was not done on the spot."""
        if begun.caller is not None:
            begun.caller.waiting_for = None  # but for what it wants to ask itself
        if begun.outcome is DECLINED:
            self.put_in(begun.call)
            return
        if begun.outcome is GAVE_WAY and begun.process is not None:
            begun.process.mailbox.wake_receivers()
        self._hear_of(begun.call)

    def put_in(self, call: Call) -> None:
        """Ask the supervisor by its mailbox."""
        self._expected.process.waiting_for = call  # so that a circle is told
        mailbox = mailbox_of(call.target)
        if mailbox is None or not mailbox.deliver(call):
            call.fail(NoProcess(call.target))
        self._hear_of(call)

    def _hear_of(self, call: Call) -> None:
        self._call, call.wake = call, self.wake
        if call.settled:
            self.wake()

    def wake(self) -> None:
        """Hear what came of it: if it has failed, nobody will ever begin with the process."""
        call, self._call = self._call, None
        if call is None:
            return
        call.wake = None  # or there would be a circle
        process = self._expected.process
        if process.waiting_for is call:
            process.waiting_for = None
        try:
            call.result()
        except BaseException as error:
            if not isinstance(error, (NoProcess, ProcessExited)):  # its supervisor has ended
                supervisor_log.not_started(process, self._expected.name, error)
            if process.actor is None:
                bury(process, ExitReason.error(error))

    wake_at_once = wake  # as it gives no turn
