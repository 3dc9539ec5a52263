"""The way of messages and calls to whom they are for."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base.carried import Carried, bare
from fauxtp._base.events import (
    CALLS,
    CARRYING,
    GONE,
    HANDLED,
    SENT,
    TIMED,
    Counter,
    tell,
    wanted,
)
from fauxtp._base.implementation import implementation
from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING, Call, Cast
from fauxtp._core.carried_messages import with_time, with_values
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current, current_process
from fauxtp._messaging.addresses import class_of, find_pid, mailbox_of, target_of, traced
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Handlers

__all__ = ["Attempt", "attempt", "begin", "on_its_way", "post"]

_ON_THE_WAY: Final = SENT | CARRYING | HANDLED
_AT_THE_END: Final = HANDLED | CARRYING | TIMED


def post(to: PID | str, message: Any, /) -> Queue | tuple[Queue, Any] | None:
    """Put `message` into the mailbox of `to`; return one that is bounded or closed instead.

    With what is to be put there, if that is not just the message. If there is no mailbox, it is a
    dead letter. Raises `TypeError` if `to` is neither a PID nor a name.
    """
    if wanted(_ON_THE_WAY):
        message = on_its_way(to, message)
        full = _post(to, message)
        return None if full is None else (full, message)
    return _post(to, message)


def on_its_way(to: PID | str, message: Any, /) -> Any:
    """Return `message` as it is to be put into the mailbox of `to`; tell that it is being sent."""
    if not wanted(SENT):
        return with_time(with_values(message))
    pid = find_pid(to)
    kind = GONE if pid is None else class_of(pid)
    tell(("sent", kind), pid, {"to": to, "message": bare(message)})
    return with_time(traced("cast" if type(message) is Cast else "send", kind, pid, message))


def _post(to: PID | str, message: Any) -> Queue | None:
    process = find_process(to) if type(to) is PID else None
    mailbox = mailbox_of(to) if process is None else process.mailbox
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif mailbox.max_size < 0:  # it is elsewhere, where nobody waits for room
        mailbox.admit(message)
    elif mailbox.max_size or not mailbox.deliver(message):
        return mailbox
    return None


@final
class Attempt:
    """A call that was not answered on the spot, for its caller to go on with.

    `outcome` tells how far it came: `PENDING`, `GAVE_WAY` or `DECLINED`. Only if it is
    `DECLINED`, there may be no process, but a mailbox that stands alone.
    """

    __slots__ = ("call", "caller", "mailbox", "outcome", "process", "told")

    def __init__(
        self,
        call: Call,
        outcome: object,
        mailbox: Queue,
        process: Process | None,
        caller: Process | None,
    ) -> None:
        self.call: Call = call
        self.outcome: object = outcome
        self.mailbox: Queue = mailbox
        self.process: Process | None = process
        self.caller: Process | None = caller
        self.told: Any = None  # what is to tell of the end of the call, if somebody listens


def attempt(to: PID | str, request: Any, /) -> Any:
    """Call `to`, and return the answer if it is there on the spot; else an `Attempt`.

    A caller that is a process then waits for that call; also if this raises something.

    Raises `NoProcess` if there is nobody, and `TypeError` as `post` does.
    """
    if not wanted(CALLS):
        return _attempt(to, request, 0.0)
    from fauxtp._messaging.told import told_attempt  # noqa: PLC0415  (seldom needed)

    return told_attempt(_attempt, Attempt, to, request)


def _attempt(to: PID | str, request: Any, began: float) -> Any:
    process = find_process(to) if type(to) is PID else None
    if process is None:
        pid, process, mailbox = target_of(to, True)
    else:
        pid, mailbox = process.pid, process.mailbox
    caller = None if current() is None else current_process(own_task=True)
    call = Call(request, pid, None if caller is None else caller.pid)
    if began:
        call.sent_at = began  # then nobody looks at the clock again
    outcome: Any = DECLINED
    if caller is not None:
        caller.waiting_for = call
    if process is not None and process.idle and process.step is not None:
        outcome = process.step(process, call, caller)
    if outcome is DECLINED or outcome is PENDING or outcome is GAVE_WAY:
        return Attempt(call, outcome, mailbox, process, caller)
    if caller is not None:
        caller.waiting_for = None
    return outcome


def begin(process: Process, message: Any, /) -> Handlers:
    """Note that a server begins to handle `message`; return its handlers, or who stands for them.

    It is counted here, as a handler that is handed over ends elsewhere.
    """
    sent_at, values = 0.0, None
    if type(message) is Carried:
        message, sent_at, values = message.message, message.sent_at, message.values
    process.handling, process.handled_since = message, monotonic()
    if process.handled is None:
        process.handled = Counter()
    process.handled.add(1)
    if values is None and not wanted(_AT_THE_END):
        return process.actor  # type: ignore[return-value]
    from fauxtp._core.carried_handlers import handlers_of  # noqa: PLC0415  (seldom needed)

    stand_in: Handlers = handlers_of(process, message, sent_at, values)
    return stand_in


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._messaging._delivery import Attempt, attempt, begin, on_its_way, post
