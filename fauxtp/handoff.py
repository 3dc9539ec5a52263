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

import os
import sys
from collections.abc import Coroutine, Generator
from time import monotonic
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp.calls import NO_REPLY, Call, reply
from fauxtp.process import Phase, Process
from fauxtp.waiting import running_asyncio_loop

if TYPE_CHECKING:
    import asyncio

__all__ = ["HandedOver", "can_step", "step"]

DEPTH: Final = 16  # servers that one after the other call the next directly
AWAY: Final = 32  # calls that take the ordinary way after a handler has suspended

enabled = os.environ.get("FAUXTP_HANDOFF", "auto") != "never"
"""Whether calls are handed off at all. `FAUXTP_HANDOFF=never` turns it off."""


@final
class HandedOver:
    """What is left of a call that somebody else has begun to handle."""

    __slots__ = ("_awaitable", "_coroutine", "_error", "_result", "_yielded", "call")

    def __init__(
        self,
        call: Call,
        coroutine: Coroutine[Any, Any, Any] | None = None,
        yielded: Any = None,
        result: Any = None,
        error: BaseException | None = None,
        awaitable: Any = None,
    ) -> None:
        self.call = call
        self._coroutine = coroutine
        self._yielded = yielded
        self._result = result
        self._error = error
        self._awaitable = awaitable

    async def finish(self, interruption: BaseException | None) -> Any:
        """Return what the handler returns; `interruption` is what came in before this."""
        if self._error is not None:
            raise self._error
        if self._awaitable is not None:
            return await self._awaitable
        if self._coroutine is None:
            return self._result
        return await _drive(self._coroutine, self._yielded, interruption)


@coroutine
def _drive(
    handler: Coroutine[Any, Any, Any], yielded: Any, interruption: BaseException | None
) -> Generator[Any, Any, Any]:
    """Go on with `handler`, which has yielded `yielded` to somebody who cannot wait for it."""
    try:
        if interruption is None:
            if yielded is not None:
                yielded._asyncio_future_blocking = True  # now it is awaited
        elif yielded is None or not yielded.cancel(*interruption.args[:1]):
            yielded = handler.throw(interruption)
        while True:
            try:
                value = yield yielded
            except BaseException as error:
                yielded = handler.throw(error)
            else:
                yielded = handler.send(value)
    except StopIteration as end:
        return end.value


def can_step(process: Process, caller: Process | None) -> bool:
    """Return whether a call to `process` can be handled on the spot."""
    if process.stays_away > 0:
        process.stays_away -= 1
        return False
    return (
        process.idle
        and enabled
        and not (process.mailbox._inbox or process.mailbox._kept)
        and process.exit_request is None
        and process.phase is Phase.RUNNING
        and (caller is None or caller.depth < DEPTH)
        and process.context is not None
        and running_asyncio_loop() is process.task.get_loop()
    )


def step(process: Process, call: Call, caller: Process | None) -> None:
    """Begin to handle `call`; end it, if that takes one step."""
    asyncio_tasks = sys.modules["asyncio"].tasks
    server: asyncio.Task[None] = process.task
    loop = server.get_loop()
    mine = asyncio_tasks.current_task(loop)
    process.idle = False
    process.depth = 1 if caller is None else caller.depth + 1
    process.handling = call
    process.handled_since = monotonic()
    actor: Any = process.actor
    context = process.context
    assert context is not None
    call.take()
    asyncio_tasks._leave_task(loop, mine)
    asyncio_tasks._enter_task(loop, server)
    handler: Any = None
    yielded: Any = None
    try:
        handler = context.run(actor.handle_call, call.request, call, process.state)
        if type(handler) is CoroutineType:
            yielded = context.run(handler.send, None)
    except StopIteration as end:
        _ended(process, call, end.value)
    except BaseException as error:
        _hand_over(process, HandedOver(call, error=error))
    else:
        process.stays_away = AWAY
        if type(handler) is CoroutineType:
            if yielded is not None:  # others may await it before the server does
                yielded._asyncio_future_blocking = False
            _hand_over(process, HandedOver(call, handler, yielded))
        else:
            _hand_over(process, HandedOver(call, awaitable=handler))
    finally:
        asyncio_tasks._leave_task(loop, server)
        asyncio_tasks._enter_task(loop, mine)


def _ended(process: Process, call: Call, result: Any) -> None:
    if type(result) is not tuple or len(result) != 2 or result[0] is NO_REPLY:
        _hand_over(process, HandedOver(call, result=result))
        return
    process.state = result[1]
    process.handling = None
    process.idle = True
    if not call.answer(result[0]):
        reply(call, result[0])  # too late, which is noted there


def _hand_over(process: Process, rest: HandedOver) -> None:
    process.handed_over = rest
    process.mailbox.wake_receivers()
