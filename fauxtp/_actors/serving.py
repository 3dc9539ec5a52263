"""Serving: what a server does between two messages, and with each of them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, final

from anyio.lowlevel import checkpoint

from fauxtp._actors.actor import Actor
from fauxtp._actors.lifecycle import ROUNDS, ActorExit
from fauxtp._actors.task import TaskEnd
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.texts import shown
from fauxtp._core.calls import NO_REPLY, Call, Cast, reply
from fauxtp._core.process import Process

if TYPE_CHECKING:
    from fauxtp._core.ports import Handlers
    from fauxtp._hosting.handover import HandedOver

__all__ = ["Stop", "serve"]

_HANDLERS = {Cast: "handle_cast", TaskEnd: "handle_task_end"}


@final
class Stop(ActorExit):
    """Ends a server from a handler that raises or returns it.

    `reason` is the exit reason. With `reply`, the call that is being handled is answered
    before; without, its caller hears that the server has ended.
    """

    def __init__(self, reason: str = "normal", reply: Any = NO_REPLY) -> None:
        super().__init__(ExitReason(reason))
        self.reply = reply


async def serve(  # noqa: PLR0912, PLR0915  (in one piece, as each message goes through it)
    process: Process, once: bool = False
) -> None:
    """Handle messages until the process, being idle, is to end; with `once`, only one."""
    actor: Handlers = process.actor  # type: ignore[assignment]
    mailbox, family = process.mailbox, process.family
    assert family is not None
    if mailbox._inbox or mailbox._kept:
        family.enter()
    left = 1 if once else ROUNDS
    while True:
        if not (mailbox._inbox or mailbox._kept):
            process.handling = message = result = None  # nor are they kept here
            interruption = None
            waiter = process.home.new_waiter(process)
            must_wait = mailbox.listen(waiter)
            try:
                if must_wait:
                    process.idle = process.step is not None  # first: see `_exit_now`
                    if process.exit_request is not None:
                        process.idle = False
                        family.cancel()  # who asked may have found it idle, and woken it only
                    if process.idle or family.entered:  # else nobody would end the wait
                        await family.idle(waiter)
            except BaseException as error:
                if not family.put_off(error):
                    if process.handed_over is None:
                        raise
                    interruption = error
            finally:
                process.idle = False
                mailbox.stop_listening(waiter)
            del waiter
            rest, process.handed_over = process.handed_over, None
            if rest is not None:
                try:
                    await _finish(process, rest, interruption)
                finally:
                    rest = interruption = None  # or that would know itself, by this frame
            elif process.exit_request is not None and not process.interrupted:
                return
            process.interrupted = False
            process.depth = 0
            if mailbox._inbox or mailbox._kept:
                family.enter()
            continue
        if mailbox._kept or mailbox.max_size:
            message = mailbox.take_nowait()
        else:
            message = mailbox._inbox.popleft()
        kind = type(message)
        process.handling = message
        process.handled_since = monotonic()
        try:
            if kind is Call:
                if message.take():
                    result = await actor.handle_call(message.request, message, process.state)
                    _answer(process, message, result)
                else:
                    mailbox.forget(message)
            else:
                if kind is Cast:
                    result = await actor.handle_cast(message.request, process.state)
                elif kind is TaskEnd:
                    result = await actor.handle_task_end(
                        message.pid, message.status, message.result, process.state
                    )
                else:
                    result = await actor.handle_info(message, process.state)
                if result is None:
                    result = _state_after_none(process)
                elif type(result) is Stop:
                    raise result
                process.state = result
        except Stop as stop:
            _end(process, stop)
        except BaseExceptionGroup as group:  # of a task group that the handler was in
            _reply(process, group)
            raise
        left -= 1
        if not left:
            process.handling = message = result = None
            if once:
                return
            left = ROUNDS
            await checkpoint()  # who always finds a message must let others run


async def _finish(process: Process, rest: HandedOver, interruption: BaseException | None) -> None:
    """Do the rest of a call; `interruption` is what has come in before."""
    try:
        result = rest.outcome() if rest.is_over else await rest.finish(interruption)
        _answer(process, rest.call, result)
        if interruption and rest.is_over:
            raise interruption  # the handler could not
    except Stop as stop:
        _end(process, stop)
    except BaseExceptionGroup as group:
        _reply(process, group)
        raise
    finally:
        interruption = None  # or it would know itself, by this frame


def _answer(process: Process, call: Call, result: Any) -> None:
    """Answer `call` as the handler's `result` says."""
    if type(result) is not tuple or len(result) != 2:
        raise _no_answer(process, call, result)
    answer, process.state = result
    if answer is NO_REPLY:
        process.defer(call)
    elif not call.answer(answer):
        reply(call, answer)  # too late, which is noted there


def _no_answer(process: Process, call: Call, result: Any) -> BaseException:
    if type(result) is Stop:
        return result
    return TypeError(
        f"expected {process.kind.__name__}.handle_call to return (reply, state) or Stop,"
        f" got {type(result).__name__} for the request {shown(call.request)}"
    )


def _state_after_none(process: Process) -> Any:
    """Return the state after a handler that has returned None, if that can be meant.

    It is what `return state` leaves behind where it was forgotten. Who has no `init` needs no
    state, and need not return one.
    """
    state = process.state
    if state is None or process.kind.init is Actor.init:
        return state
    message = process.handling
    handler = _HANDLERS.get(type(message), "handle_info")
    raise TypeError(
        f"expected {process.kind.__name__}.{handler} to return the state"
        f" after {shown(message)}, got None"
    )


def _end(process: Process, stop: Stop) -> None:
    """End the process as a handler says that it should."""
    _reply(process, stop)
    raise ActorExit(stop.reason)


def _reply(process: Process, end: Stop | BaseExceptionGroup) -> None:
    """Answer the call that is being handled as `end` says, or the first in it that does."""
    handling, first = process.handling, _first_answer(end)
    if isinstance(handling, Call) and first is not NO_REPLY:
        reply(handling, first)


def _first_answer(end: BaseException) -> Any:
    if isinstance(end, BaseExceptionGroup):
        answers = (_first_answer(error) for error in end.exceptions)
        return next((answer for answer in answers if answer is not NO_REPLY), NO_REPLY)
    return end.reply if isinstance(end, Stop) else NO_REPLY
