"""The first step of a call that is handed off: `fauxtp._hosting.handover` tells how and why."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base import switches
from fauxtp._base.events import CARRYING, HANDLED, TIMED, Counter, wanted
from fauxtp._base.implementation import implementation
from fauxtp._base.stack import is_free
from fauxtp._core.calls import DECLINED, NO_REPLY, PENDING, Call, Raise, reply
from fauxtp._core.process import Process
from fauxtp._hosting.handover import (
    BUDGET,
    DEPTH,
    HandedOver,
    awaited,
    failed,
    hand_over,
    suspended,
)
from fauxtp._hosting.turns import has_pending_cancel
from fauxtp._loops.asyncio_internals import current_task, running_loop, set_current_task
from fauxtp._loops.asyncio_loop import AsyncioHome

__all__ = ["Suspended", "advance", "step"]

_AT_THE_END: Final = HANDLED | CARRYING | TIMED


@final
class Suspended:
    """In place of a result: the coroutine waits for `on`, what it has yielded."""

    __slots__ = ("_on",)

    def __init__(self, on: object) -> None:
        self._on = on

    @property
    def on(self) -> Any:
        return self._on


def advance(context: Context, coroutine: Coroutine[Any, Any, Any], /) -> Any:
    """Run `coroutine` in `context` until it ends or suspends; return its result or `Suspended`.

    Raises what it raises, and `RuntimeError` if somebody runs in `context` now.
    """
    try:
        return Suspended(context.run(coroutine.send, None))
    except StopIteration as end:
        return end.value


def step(process: Process, call: Call, caller: Process | None, handler: Any = None, /) -> Any:
    """Begin to handle `call`, and return the answer if that takes one step.

    If it takes more, return `PENDING`: the server goes on with it, or the caller, who has the
    answer, should let others have a turn before it does; or `GAVE_WAY`: somebody
    should wake the server, or take the next step of the `handler`, which it has handed over.
    If the call cannot be handled on the spot, return `DECLINED`: nothing has happened.
    """
    loop: Any = process.home.loop  # type: ignore[attr-defined]
    mailbox, first = process.mailbox, handler is None
    if running_loop() is not loop or mailbox.inbox or mailbox.kept:
        return DECLINED
    depth = 1 if caller is None else caller.depth + 1
    if depth > DEPTH or not switches.hand_off or not is_free():
        return DECLINED
    mine = current_task(loop)
    if mine is None and handler is None:  # whoever calls has a task
        return DECLINED
    result: Any = None
    failure: BaseException | None = None
    set_current_task(loop, process.task)
    try:
        process.depth = depth
        if handler is None:
            process.idle = False
            process.handling = call
            process.handled_since = call.sent_at or monotonic()  # it has lain nowhere
            if process.handled is None:
                process.handled = Counter()
            process.handled.add(1)
            if not process.scope.is_ready:  # type: ignore[union-attr]
                process.scope.prepare()  # type: ignore[union-attr]
            handler = _handlers(process, call).handle_call(call.request, call, process.state)
            if type(handler) is not CoroutineType:
                handler = awaited(handler)
        else:
            process.handed_over = None
        result = advance(process.context, handler)  # type: ignore[arg-type]
    except BaseException as error:
        failure = error
    finally:
        set_current_task(loop, mine)
    if failure is not None:
        try:
            return failed(process, call, failure)
        finally:
            failure = None  # a circle else: its traceback has this frame
    if type(result) is not tuple or len(result) != 2 or _is_none(result[0]):
        return _handed_over(process, call, handler, result)
    return _answered(process, call, result, first, is_task=mine is not None)


def _handlers(process: Process, call: Call) -> Any:
    """Return what handles the call, or who stands for that as `begin` tells."""
    if not wanted(_AT_THE_END):
        return process.actor
    from fauxtp._core.carried_handlers import handlers_of  # noqa: PLC0415  (seldom needed)

    return handlers_of(process, call)


def _is_none(answer: Any) -> bool:
    return answer is NO_REPLY or type(answer) is Raise


def _handed_over(process: Process, call: Call, handler: Any, result: Any) -> Any:
    """Return what `step` does when the handler has suspended, or its result is no answer."""
    try:
        if type(result) is Suspended:
            return suspended(process, call, handler, result.on)
        return hand_over(process, HandedOver(call, result=result))
    except BaseException as error:  # no memory: or the server would wait for its handler
        return failed(process, call, error)


def _answered(process: Process, call: Call, result: Any, first: bool, is_task: bool) -> Any:
    """Return what `step` does when the handler has returned an answer and a state."""
    answer, process.state = result
    process.handling = None
    process.idle = process.exit_request is None and not process.interrupted
    if process.interrupted and not process.mailbox.inbox:
        process.interrupted = False  # there is nothing to do before it waits
    if call.has_answered(answer):
        home: AsyncioHome = process.home  # type: ignore[assignment]
        if is_task and has_pending_cancel(home):
            return PENDING  # it may be the handler that has cancelled its caller
        home.handled = handled = home.handled + 1 if home.handled < BUDGET - 1 else 0
        return PENDING if first and not handled else answer
    reply(call, answer)  # too late, which is noted there
    return PENDING


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._hosting._direct import Suspended, advance, step
