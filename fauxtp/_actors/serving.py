"""Serving: what a server does between two messages, and with each of them."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from anyio.lowlevel import checkpoint

from fauxtp._actors.actor import Actor
from fauxtp._actors.lifecycle import ROUNDS
from fauxtp._actors.task import TaskEnd
from fauxtp._actors.verdicts import ActorExit
from fauxtp._base.arguments import expect_text, kind_of
from fauxtp._base.exit_reason import AT_REST, ExitReason
from fauxtp._base.texts import label
from fauxtp._base.tracing import traced_within, tracer
from fauxtp._core.calls import NO_REPLY, Call, Cast, Raise, reply
from fauxtp._core.continuing import Continue
from fauxtp._core.control import Control
from fauxtp._core.process import Process
from fauxtp._messaging.delivery import begin

if TYPE_CHECKING:
    from fauxtp._core.protocols import Handlers, ProcessScope
    from fauxtp._loops.protocols import Waiter

__all__ = ["Stop", "serve"]


@final
class Stop(ActorExit):
    """Ends a server from a handler that raises or returns it.

    `reason` is the exit reason. With `reply`, the call that is being handled is answered
    before; without, its caller hears that the server has ended.

    Raises `TypeError` if `reason` is no str.

    >>> import anyio
    >>> from fauxtp import GenServer, call
    >>> class Once(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return Stop(reply=request.upper())
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         print(await call(await Once.start(task_group=task_group), "hello"))
    >>> anyio.run(main)
    HELLO
    """

    def __init__(self, reason: str = "normal", reply: Any = NO_REPLY) -> None:
        super().__init__(ExitReason(expect_text("reason", reason)))
        self.reply = reply


@final
class IdleTime:
    """What a server handles that has been idle for its `idle_timeout`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "IdleTime()"


_HANDLERS: Final = {
    Cast: "handle_cast",
    Continue: "handle_continue",
    TaskEnd: "handle_task_end",
    IdleTime: "handle_timeout",
}
_ODD: Final = frozenset({type(None), Stop, tuple})
"""The types of results of handlers that may be more than the next state, or less."""


# In one piece, as each further coroutine would take as much memory as an idle server.
async def serve(process: Process, once: bool = False) -> None:  # noqa: PLR0912  (as just said)
    """Handle messages until the process, being idle, is to end; with `once`, only one."""
    scope: ProcessScope = process.scope  # type: ignore[assignment]
    mailbox, left = process.mailbox, 1 if once else ROUNDS
    if type(process.state) is tuple:
        await _begin(process)
    while left:
        if not (mailbox.inbox or mailbox.kept):
            process.handling = message = result = handlers = None  # nor are they kept here
            waiter = process.home.new_waiter(process)
            must_wait = _falls_asleep(process, scope, waiter)
            try:
                if must_wait:
                    await scope.idle(waiter)
            except BaseException as error:
                _put_off(process, scope, error)
            finally:
                process.idle = False
                mailbox.stop_listening(waiter)
            if process.handed_over is not None:
                await _finish(process)
            if (
                process.exit_request is not None
                and _ends(process)
                and not (_is_asked(process) and await _goes_on(process, scope))
            ):
                return
            process.interrupted, process.depth = False, 0
            continue
        if not scope.is_ready:
            scope.prepare()
        message = mailbox.take() if mailbox.kept or mailbox.max_size else mailbox.inbox.popleft()
        handlers = begin(process, message)
        try:
            if type(message) is not Call:
                if type(message) is Cast:
                    result = await handlers.handle_cast(message.request, process.state)
                else:
                    result = await _begun(handlers, message, process.state)
                process.state = _after_odd(process, result) if type(result) in _ODD else result
            elif message.take():
                result = await handlers.handle_call(message.request, message, process.state)
                _answer(process, message, result)
            else:
                process.handling = _passed_by(process, message)
            left -= 1
            if process.handling is not message or not left or process.exit_request is not None:
                left = await _pause(process, message, left, once)
        except (Stop, BaseExceptionGroup) as end:
            _end(process, end)


def _falls_asleep(process: Process, scope: ProcessScope, waiter: Waiter) -> bool:
    """Let others step the process while it waits; return False if it must not wait at all."""
    if not process.mailbox.listen(waiter):
        return False
    process.idle = process.step is not None  # first: see `Process.request_exit`
    if process.exit_request is not None:
        process.idle = False
        scope.cancel()  # who asked may have found it idle, and woken it only
    return process.idle or scope.entered  # else nobody would end the wait


def _ends(process: Process) -> bool:
    """Return whether it ends here, as it was asked to; it does not if it is no longer at rest."""
    if process.interrupted:
        return False
    mailbox = process.mailbox
    if process.exit_request is not AT_REST or not (mailbox.inbox or mailbox.kept):
        return True
    # In one line: a signal handler that wants the end may come in between two.
    process.exit_request = None if process.exit_request is AT_REST else process.exit_request
    return process.exit_request is not None


def _is_asked(process: Process) -> bool:
    """Return whether it has been idle for its time, and says itself what it does then."""
    server: Any = process.actor
    return process.exit_request is AT_REST and server._fauxtp_times_out


async def _goes_on(process: Process, scope: ProcessScope) -> bool:
    """Let a server that has been idle for its time say what to do; return False if it ends."""
    server: Any = process.actor
    # In one line, as above; the time counts from now on.
    process.exit_request = None if process.exit_request is AT_REST else process.exit_request
    if process.exit_request is not None:
        return False
    scope.enter()
    process.handling, process.handled_since = IdleTime(), monotonic()
    try:
        result = await _within(process, "timeout", server.handle_timeout(process.state), None)
        process.state = _after_odd(process, result) if type(result) in _ODD else result
        await _pause(process, None, 1, False)
    except (Stop, BaseExceptionGroup) as end:
        _end(process, end)
    return True


def _put_off(process: Process, scope: ProcessScope, error: BaseException) -> None:
    """Leave what has ended the wait to the handler that was handed over; raise if none was."""
    try:
        if not scope.put_off(error):
            if process.handed_over is None:
                raise error
            process.handed_over.interruption = error
    finally:
        del error  # a circle else: its traceback has this frame


def _passed_by(process: Process, call: Call) -> Control | None:
    """Return what is asked of the runtime, if `call` was not taken up for that."""
    if process.handled is not None:
        process.handled.add(-1)
    process.mailbox.forget(call)
    return call.request if type(call.request) is Control else None


def _begun(handlers: Handlers, message: Any, state: Any) -> Awaitable[Any]:
    """Let the handler begin of what is neither a call nor a cast."""
    if type(message) is TaskEnd:
        return handlers.handle_task_end(message.pid, message.status, message.result, state)
    return handlers.handle_info(message, state)


async def _pause(process: Process, message: Any, left: int, once: bool) -> int:
    """Do what `message` has left to do before the next, and let others run if it is time for that.

    Return how many messages come next: with `once`, none.
    """
    if type(process.handling) is Continue:
        await _continue(process)
    elif type(process.handling) is Control:
        from fauxtp._actors.controlling import obey  # noqa: PLC0415  (few need it)

        process.scope.enter()  # type: ignore[union-attr]
        await obey(process, message)
    process.handling = None
    if once or (left and process.exit_request is None):
        return left
    process.scope.enter()  # type: ignore[union-attr]
    await checkpoint()  # others must run; who is to end begins nothing half-way
    return ROUNDS


def _after_odd(process: Process, result: Any) -> Any:
    """Return the state after a handler's `result`, which may be another; note a `Continue`."""
    if type(result) is Stop:
        raise result
    if type(result) is tuple and len(result) == 2 and type(result[1]) is Continue:
        result, process.handling = result
        return result
    return _state_after_none(process) if result is None else result


async def _begin(process: Process) -> None:
    """Do what `init` has left for later, if it has: when its starter had a chance to go on."""
    process.state = _after_odd(process, process.state)
    if process.handling is None:
        return
    process.scope.enter()  # type: ignore[union-attr]
    await checkpoint()
    try:
        await _continue(process)
    except (Stop, BaseExceptionGroup) as end:
        _end(process, end)


async def _continue(process: Process) -> None:
    """Do what a handler has left to be done before the next message: `process.handling`."""
    from fauxtp._base.carrying import Applied, carried_variables  # noqa: PLC0415  (few need it)

    actor: Handlers = process.actor  # type: ignore[assignment]
    process.scope.enter()  # type: ignore[union-attr]
    left, begun = ROUNDS, None
    applied = Applied(process.handling.carried, carried_variables())
    try:
        applied.enter()
        while process.handling is not begun:
            left = left - 1 or ROUNDS
            if left == ROUNDS or process.exit_request is not None:
                await checkpoint()  # as in `_pause`
            begun = Continue(process.handling.request)  # as the same one may come again
            process.handling, process.handled_since = begun, monotonic()
            going_on = actor.handle_continue(begun.request, process.state)
            result = await _within(process, "continue", going_on, begun.request)
            process.state = _after_odd(process, result)
    finally:
        applied.leave()


def _within(process: Process, how: str, handling: Any, what: Any) -> Awaitable[Any]:
    """Return what does a server's own work: in a span, if somebody makes them."""
    traces = tracer()
    if traces is None:
        return handling  # type: ignore[no-any-return]
    name = process.kind.__name__
    return traced_within(handling, traces, how, name, process.pid, what)


async def _finish(process: Process) -> None:
    """Do the rest of a call that was handed over."""
    rest, process.handed_over = process.handed_over, None
    interruption = rest.interruption
    try:
        result = rest.outcome() if rest.is_over else await rest.finish(interruption)
        _answer(process, rest.call, result)
        if interruption and rest.is_over:
            raise interruption  # the handler could not
        if process.handling is not rest.call:
            await _continue(process)
    except (Stop, BaseExceptionGroup) as end:
        _end(process, end)
    finally:
        rest = interruption = None  # circles else: their tracebacks have this frame


def _answer(process: Process, call: Call, result: Any) -> None:
    """Answer `call` as the handler's `result` says; note a `Continue` in it."""
    if type(result) is not tuple or len(result) != 2:
        _answer_first(process, call, result)
        return
    answer, process.state = result
    if answer is NO_REPLY:
        process.defer(call)
    elif type(answer) is Raise or not call.answer(answer):
        reply(call, answer)  # or it is too late, which is noted there


def _answer_first(process: Process, call: Call, result: Any) -> None:
    """Do as `_answer` does if there is a `Continue` in `result`; raise if not."""
    if type(result) is not tuple or len(result) != 3 or type(result[2]) is not Continue:
        raise _no_answer(process, call, result)
    _answer(process, call, result[:2])
    process.handling = result[2]


def _no_answer(process: Process, call: Call, result: Any) -> BaseException:
    if type(result) is Stop:
        return result
    return TypeError(
        f"expected {process.kind.__name__}.handle_call to return (reply, state) or Stop,"
        f" got {kind_of(result)} for the request {label(call.request)}"
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
        f" after {label(message)}, got None"
    )


def _end(process: Process, end: Stop | BaseExceptionGroup) -> NoReturn:
    """End the process as a handler says that it should, or as a task group that it was in does."""
    try:
        _reply(process, end)
        raise ActorExit(end.reason) if isinstance(end, Stop) else end
    finally:
        del end  # as in `_put_off`


def _reply(process: Process, end: Stop | BaseExceptionGroup) -> None:
    """Answer the call that is being handled as `end` says, or the first in it that does."""
    handling, first = process.handling, _first_answer(end)
    if type(handling) is Call and first is not NO_REPLY:
        reply(handling, first)


def _first_answer(end: BaseException) -> Any:
    if isinstance(end, BaseExceptionGroup):
        answers = (_first_answer(error) for error in end.exceptions)
        return next((answer for answer in answers if answer is not NO_REPLY), NO_REPLY)
    return end.reply if isinstance(end, Stop) else NO_REPLY
