"""Direct hand-off: a call to an idle server in the same event loop is run on the spot.

Two trips through the event loop cost more than most handlers do. So if the server is idle
and nothing lies in its mailbox, the caller takes the first step of its handler itself, as
the server's task and in the server's context: whatever asks for the current task, enters a
cancel scope or sets a context variable finds the server's. If the handler ends in that step,
the answer is there. If it suspends, the rest is handed over to the server's own task, which
yields what the handler has yielded and goes on from there, as if it had begun it; so does
an error, or anything but a plain answer.

This works on asyncio only. Elsewhere, and where a condition does not hold, calls go through
the mailbox, with the same results.
"""

from __future__ import annotations

import asyncio.tasks
import os
import sys
from asyncio import _get_running_loop, isfuture
from collections.abc import Awaitable, Coroutine, Generator
from time import monotonic
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp.calls import DECLINED, NO_REPLY, PENDING, Call, reply
from fauxtp.process import Process
from fauxtp.registry import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._stepping_py import Suspended, advance
else:
    from fauxtp._stepping import Suspended, advance

__all__ = ["HandedOver", "current_task", "set_current_task", "step"]

DEPTH: Final = 16  # servers that one after the other call the next directly
AWAY: Final = 64  # calls that take the ordinary way after a handler has suspended

enabled = os.environ.get("FAUXTP_HANDOFF", "auto") != "never"
"""Whether calls are handed off at all. `FAUXTP_HANDOFF=never` turns it off."""

# Which task runs is what a loop and its tasks know from one place. `current_task(loop)` tells,
# `set_current_task(loop, task)` changes it; there must be one before and after.
if sys.version_info >= (3, 12):
    current_task = asyncio.tasks.current_task
    set_current_task = asyncio.tasks._swap_current_task
else:
    current_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]
    set_current_task = asyncio.tasks._current_tasks.__setitem__  # type: ignore[attr-defined]


@final
class HandedOver:
    """What is left of a call that somebody else has begun to handle."""

    __slots__ = ("_coroutine", "_error", "_result", "_yielded", "call")

    def __init__(
        self,
        call: Call,
        coroutine: Coroutine[Any, Any, Any] | None = None,
        yielded: Any = None,
        result: Any = None,
        error: BaseException | None = None,
    ) -> None:
        self.call = call
        self._coroutine = coroutine
        self._yielded = yielded
        self._result = result
        self._error = error

    @property
    def is_over(self) -> bool:
        """Whether the handler has ended, and cannot be interrupted any more."""
        return self._coroutine is None

    async def finish(self, interruption: BaseException | None) -> Any:
        """Return what the handler returns; `interruption` is what came in before this."""
        if self._error is not None:
            raise self._error
        if self._coroutine is None:
            return self._result
        return await _drive(self._coroutine, self._yielded, interruption)


@coroutine
def _drive(
    handler: Coroutine[Any, Any, Any], yielded: Any, interruption: BaseException | None
) -> Generator[Any, Any, Any]:
    """Go on with `handler`, which has yielded `yielded` to somebody who cannot wait for it."""
    try:
        if interruption is not None and not _cancelled(yielded, interruption):
            yielded = handler.throw(interruption)
        elif isfuture(yielded):
            yielded._asyncio_future_blocking = True  # now it is awaited
        while True:
            try:
                value = yield yielded
            except BaseException as error:
                yielded = handler.throw(error)
            else:
                yielded = handler.send(value)
    except StopIteration as end:
        return end.value


def _cancelled(yielded: Any, interruption: BaseException) -> bool:
    """Cancel what the handler waits for, as a task does first; return False if it cannot be."""
    if not isinstance(interruption, asyncio.CancelledError) or not isfuture(yielded):
        return False
    return yielded.cancel(*interruption.args[:1])


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def step(process: Process, call: Call, caller: Process | None) -> Any:  # noqa: PLR0911
    """Begin to handle `call`, and return the answer if that takes one step.

    If it takes more, return `PENDING`: the server goes on with it. If the call cannot be
    handled on the spot, return `DECLINED`: nothing has happened.
    """
    loop = process.home.loop  # type: ignore[attr-defined]
    mailbox = process.mailbox
    if _get_running_loop() is not loop or mailbox._inbox or mailbox._kept or not enabled:
        return DECLINED
    mine = current_task(loop)
    if mine is None or (caller is not None and caller.depth >= DEPTH):
        return DECLINED
    process.idle = False
    process.depth = 1 if caller is None else caller.depth + 1
    process.handling = call
    process.handled_since = monotonic()
    handler: Any = None
    result: Any = None
    failure: BaseException | None = None
    set_current_task(loop, process.task)
    try:
        if process.family._scope is None:  # type: ignore[union-attr]
            process.family.enter()  # type: ignore[union-attr]
        handler = process.actor.handle_call(  # type: ignore[attr-defined]
            call.request, call, process.state
        )
        if type(handler) is not CoroutineType:
            handler = _awaited(handler)
        result = advance(process.context, handler)  # type: ignore[arg-type]
    except BaseException as error:
        failure = error
    finally:
        set_current_task(loop, mine)
    if failure is not None:
        try:
            _forget(failure, sys.exc_info()[1])
            return _hand_over(process, HandedOver(call, error=failure))
        finally:
            failure = None  # or it would know itself, by this frame
    if type(result) is Suspended:
        process.stays_away = AWAY
        if isfuture(result.on):  # others may await it before the server does
            result.on._asyncio_future_blocking = False
        return _hand_over(process, HandedOver(call, handler, result.on))
    if type(result) is not tuple or len(result) != 2 or result[0] is NO_REPLY:
        return _hand_over(process, HandedOver(call, result=result))
    answer, process.state = result
    process.handling = None
    process.idle = process.exit_request is None
    outcome = (answer, None)
    if call._cell.setdefault("outcome", outcome) is outcome:  # as `answer` does
        return answer
    reply(call, answer)  # too late, which is noted there
    return PENDING


def _forget(error: BaseException, handled: BaseException | None) -> None:
    """Take out of the history of `error` what is that of the caller, who handles `handled`."""
    seen = set()
    while handled is not None and id(error) not in seen:
        seen.add(id(error))
        before = error.__context__
        if before is None:
            return
        if before is handled:
            error.__context__ = None
            return
        error = before


def _hand_over(process: Process, rest: HandedOver) -> object:
    process.handed_over = rest
    process.mailbox.wake_receivers()
    return PENDING
