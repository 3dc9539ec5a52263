"""Direct hand-off: a call to an idle server in the same event loop is run on the spot.

Two trips through the event loop cost more than most handlers do. So if the server is idle
and nothing lies in its mailbox, the caller takes the first step of its handler itself, as
the server's task and in the server's context: whatever asks for the current task, enters a
cancel scope or sets a context variable finds the server's. If the handler ends in that step,
the answer is there. If it only lets others have a turn, so does the caller, and then takes the
next step. If it waits for something, the rest is handed over to the server's own task, which
yields what the handler has yielded and goes on from there, as if it had begun it; so does
an error, or anything but a plain answer.

This works on asyncio only. Elsewhere, and where a condition does not hold, calls go through
the mailbox, with the same results.
"""

from __future__ import annotations

import math
import sys
from asyncio import CancelledError, Future, isfuture
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import Context
from functools import partial
from types import coroutine
from typing import Any, Final, final

from anyio import current_effective_deadline

from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING, Call
from fauxtp._core.process import Process
from fauxtp._loops.asyncio_internals import (
    current_task,
    is_in_cancelled_scope,
    set_blocking,
    set_current_task,
)
from fauxtp._loops.asyncio_loop import AsyncioHome, AsyncioWaiter

__all__ = [
    "HandedOver",
    "awaited",
    "drive",
    "failed",
    "hand_over",
    "shown_of",
    "suspended",
]

BUDGET: Final = 128  # calls handled on the spot, before the event loop has a turn
DEPTH: Final = 16  # servers that one after the other call the next directly
TURNS: Final = 4  # of the event loop, which a caller lets pass for a handler that gives way


@final
class HandedOver:
    """What is left of a call that somebody else has begun to handle."""

    __slots__ = ("_coroutine", "_error", "_result", "_yielded", "call", "interruption")

    def __init__(
        self,
        call: Call,
        coroutine: Coroutine[Any, Any, Any] | None = None,
        yielded: Any = None,
        result: Any = None,
        error: BaseException | None = None,
    ) -> None:
        self.call: Call = call
        self._coroutine = coroutine
        self._yielded = yielded
        self._result = result
        self._error = error
        self.interruption: BaseException | None = None  # of the server, before it goes on

    @property
    def is_over(self) -> bool:
        """Whether the handler has ended, and cannot be interrupted any more."""
        return self._coroutine is None

    @property
    def can_go_on(self) -> bool:
        """Whether what the handler waits for is there, and it is not to be cancelled before."""
        return isinstance(self._yielded, Future) and self._yielded.done()

    def outcome(self) -> Any:
        """Return what the handler has returned, or raise what it has raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def shows(self, name: str) -> Any:
        """Return an attribute of the handler's coroutine, for who follows what a task awaits."""
        return shown_of(self._coroutine, name)

    def finish(self, interruption: BaseException | None) -> Awaitable[Any]:
        """Return what the handler returns; `interruption` is what came in before this."""
        assert self._coroutine is not None
        return drive(self._coroutine, self._yielded, interruption)

    @coroutine
    def go_on(self, process: Process, caller: Process | None) -> Generator[None, None, Any]:
        """Let others have a turn, as the handler does, and take its next step: as `step` does.

        The server, too, could go on with it. It does so if a message or a cancellation has
        woken it meanwhile, or if this caller cannot any more.
        """
        rest = self
        try:
            for _ in range(TURNS):
                yield
                answer = rest._next_step(process, caller)
                if answer is DECLINED:
                    break
                if answer is not GAVE_WAY:
                    return answer
                rest = process.handed_over
        except BaseException:
            process.mailbox.wake_receivers()
            raise
        process.mailbox.wake_receivers()
        return PENDING

    def resume(self, process: Process, on: Any) -> None:
        """Take the handler's next step, as what it waits for has come; then let its caller go on.

        If a message or a cancellation has woken the server meanwhile, that goes on with it.
        """
        if type(on) is AsyncioWaiter:
            on.had_turn()
        if process.handed_over is not self:
            return  # that has gone on with it, and waits itself
        answer = self._next_step(process, None)
        if answer is DECLINED or answer is GAVE_WAY:
            process.mailbox.wake_receivers()
        elif answer is not PENDING:
            wake: Any = self.call.wake
            if wake is not None:  # that of an AsyncioWaiter; else the caller has yet to wait
                wake.__self__.wake_at_once()

    def _next_step(self, process: Process, caller: Process | None) -> Any:
        assert process.step is not None
        if process.handed_over is not self or not _sleeps(process):
            return DECLINED
        if self._yielded is None and _is_to_be_cancelled(process):
            return DECLINED  # nobody has told its task yet, which hears of it if it goes on itself
        return process.step(process, self.call, caller, self._coroutine)


@coroutine
def drive(
    handler: Coroutine[Any, Any, Any], yielded: Any, interruption: BaseException | None
) -> Generator[Any, Any, Any]:
    """Go on with `handler`, which has yielded `yielded` to somebody who cannot wait for it."""
    try:
        if interruption is not None and not _cancelled(yielded, interruption):
            yielded = handler.throw(interruption)
        elif yielded is None:
            # It gave way to others, who had their turn: but for the scope that is to cancel it.
            if current_effective_deadline() != -math.inf:
                yielded = handler.send(None)
        elif isfuture(yielded):
            set_blocking(yielded, True)  # now it is awaited
        while True:
            try:
                yield from _Again(handler, yielded)
                break
            except BaseException as error:
                yielded = handler.throw(error)
        return (yield from handler)  # as coroutines that are generators may
    except StopIteration as end:
        return end.value
    finally:
        interruption = None  # a circle else: its traceback has this frame


class _Again:
    """Yields once more what a handler has yielded, and looks like that handler meanwhile."""

    __slots__ = ("_handler", "_left")

    def __init__(self, handler: Coroutine[Any, Any, Any], yielded: Any) -> None:
        self._handler = handler
        self._left = [yielded]

    def __iter__(self) -> _Again:
        return self

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    def __getattr__(self, name: str) -> Any:
        return shown_of(self._handler, name)


def shown_of(coroutine: Coroutine[Any, Any, Any] | None, name: str) -> Any:
    """Return the attribute `name` of `coroutine` if it is one that tells what it awaits.

    What stands for the coroutine in an `await` has no other: the interpreter itself asks that
    for `throw` and `close`.
    """
    if coroutine is None or not (name.startswith("cr_") or name in {"__name__", "__qualname__"}):
        raise AttributeError(name)
    return getattr(coroutine, name)


def _cancelled(yielded: Any, interruption: BaseException) -> bool:
    """Cancel what the handler waits for, as a task does first; return False if it cannot be."""
    if not isinstance(interruption, CancelledError) or not isfuture(yielded):
        return False
    return yielded.cancel(*interruption.args[:1])


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """Await it: what is no coroutine of the interpreter's own becomes one."""
    return await awaitable


def suspended(process: Process, call: Call, handler: Coroutine[Any, Any, Any], on: Any) -> object:
    """Let the server go on with `handler`, which waits for `on`; None lets others have a turn."""
    rest = HandedOver(call, handler, on)
    if on is None:
        process.handed_over = rest
        return GAVE_WAY  # and the server sleeps on, as the caller may go on itself
    if isfuture(on):
        set_blocking(on, False)  # others may await it before the server does
        home: AsyncioHome = process.home  # type: ignore[assignment]
        task = process.task  # which must not wait for itself, and is told so if it tries
        here = on is not task and getattr(on, "get_loop", home.is_here)() is home.loop
        if here and _sleeps(process):
            process.handed_over = rest
            on.add_done_callback(partial(rest.resume, process), context=Context())
            return PENDING  # the server sleeps on, as there is nothing to do
    return hand_over(process, rest)


def _sleeps(process: Process) -> bool:
    for waiter in process.mailbox.waiting:  # noqa: SIM110  (a generator takes twice as long)
        if not waiter.waits:
            return False
    return True


def _is_to_be_cancelled(process: Process) -> bool:
    loop: Any = process.home.loop  # type: ignore[attr-defined]
    mine = current_task(loop)
    set_current_task(loop, process.task)
    try:
        return is_in_cancelled_scope(process.task)
    finally:
        set_current_task(loop, mine)


def failed(process: Process, call: Call, failure: BaseException) -> object:
    """Let the server see to the `failure` of a handler."""
    try:
        _forget(failure, sys.exc_info()[1])
        return hand_over(process, HandedOver(call, error=failure))
    finally:
        del failure  # a circle else: its traceback has this frame


def hand_over(process: Process, rest: HandedOver) -> object:
    """Leave the rest of a call to the server."""
    process.handed_over = rest
    process.mailbox.wake_receivers()
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
