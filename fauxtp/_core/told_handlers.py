"""Told handlers: those of a server while somebody listens to what is handled, or times it."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.durations import note_duration
from fauxtp._base.events import HANDLED, TIMED, tell, wanted
from fauxtp._base.tracing import tracer
from fauxtp._core.calls import Call, Cast

if TYPE_CHECKING:
    from fauxtp._core.process import Process
    from fauxtp.registry import PID

__all__ = ["told_handlers"]


def told_handlers(process: Process, message: Any, sent_at: float, /) -> Any:
    """Return what handles `message` as the process does; at the end it tells, or notes, of it.

    `sent_at` is when that was sent, if it does not know that itself.
    """
    return _Told(process, message, sent_at)


@final
class _Told:
    """Stands for a server's handlers, for one message."""

    __slots__ = ("_began", "_handlers", "_key", "_message", "_pid", "_waited", "_wanted")

    def __init__(self, process: Process, message: Any, sent_at: float) -> None:
        self._handlers: Any = process.actor
        self._key = "handled", process.kind.__name__
        self._pid = process.pid
        self._wanted = wanted(HANDLED | TIMED)
        self._message = message
        self._began = process.handled_since
        sent_at = message.sent_at if type(message) in {Call, Cast} else sent_at
        self._waited = max(0.0, self._began - sent_at) if sent_at else None

    def handle_call(self, request: Any, from_: Any, state: Any) -> Awaitable[Any]:
        return self._told(self._handlers.handle_call(request, from_, state))

    def handle_cast(self, request: Any, state: Any) -> Awaitable[Any]:
        return self._told(self._handlers.handle_cast(request, state))

    def handle_info(self, message: Any, state: Any) -> Awaitable[Any]:
        return self._told(self._handlers.handle_info(message, state))

    def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Awaitable[Any]:
        return self._told(self._handlers.handle_task_end(pid, status, result, state))

    async def _told(self, handling: Awaitable[Any]) -> Any:
        error: BaseException | None = None
        traces = tracer()
        trace = None
        if traces is not None:
            trace = traces.handle(self._key[1], self._pid, self._message)
        try:
            if trace is not None:
                trace.enter()
            return await handling
        except BaseException as failure:
            error = failure
            raise
        finally:
            seconds = monotonic() - self._began
            if trace is not None:
                trace.leave()
                trace.end(error)
            try:
                self._over(seconds, error)
            finally:
                error = None  # a circle else: its traceback has this frame

    def _over(self, seconds: float, error: BaseException | None) -> None:
        message, self._message = self._message, None
        if self._wanted & TIMED:
            note_duration(self._key[1], seconds)
        if self._wanted & HANDLED:
            details = {
                "message": message,
                "seconds": seconds,
                "waited": self._waited,
                "error": error,
            }
            tell(self._key, self._pid, details)
