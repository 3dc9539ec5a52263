"""Calls that are told of, while somebody listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.events import CALLS, GONE, heard, tell
from fauxtp._base.tracing import tracer
from fauxtp._messaging.addresses import class_of, find_pid

if TYPE_CHECKING:
    from fauxtp.registry import PID

__all__ = ["ToldCall", "told_attempt", "told_blocking", "told_rest"]


@final
class ToldCall:
    """A call of which the begin was told, and the end is to be."""

    __slots__ = ("_label", "_pid", "_request", "_to", "_trace", "began")

    def __init__(self, to: PID | str, request: Any) -> None:
        self._to, self._request = to, request
        self._pid = pid = find_pid(to)
        self._label = GONE if pid is None else class_of(pid)
        tell(("call_begun", self._label), pid, {"to": to, "request": request})
        traces = tracer()
        self._trace = None if traces is None else traces.call(self._label, pid, request)
        self.began = monotonic()

    def enter(self) -> None:
        """Let what is sent now come of this call."""
        if self._trace is not None:
            self._trace.enter()

    def leave(self) -> None:
        """Let it do so no more."""
        if self._trace is not None:
            self._trace.leave()

    def end(self, error: BaseException | None = None) -> None:
        """Tell that the call is over, by an answer or by `error`."""
        if self._trace is not None:
            self._trace.end(error)
        tell(
            ("call_ended", self._label),
            self._pid,
            {
                "to": self._to,
                "request": self._request,
                "seconds": monotonic() - self.began,
                "error": error,
            },
        )


def told_attempt(
    attempt: Callable[..., Any], unfinished: type[Any], to: PID | str, request: Any
) -> Any:
    """Do as `attempt` does, and tell of it; what is `unfinished` has its end told later."""
    if not heard(CALLS) and ((traces := tracer()) is None or not traces.goes_on()):
        return attempt(to, request, 0.0)
    told = ToldCall(to, request)
    try:
        try:
            told.enter()
            begun = attempt(to, request, told.began)
        finally:
            told.leave()
    except BaseException as error:
        told.end(error)
        raise
    if type(begun) is unfinished:
        begun.told = told
    else:
        told.end()
    return begun


async def told_rest(rest: Awaitable[Any], told: ToldCall) -> Any:
    """Do the rest of a call, and tell of its end."""
    try:
        answer = await rest
    except BaseException as error:
        told.end(error)
        raise
    told.end()
    return answer


def told_blocking(call: Callable[..., Any], to: PID | str, request: Any, timeout: Any) -> Any:
    """Do as `call` does, which blocks, and tell of it."""
    told = ToldCall(to, request)
    try:
        try:
            told.enter()
            answer = call(to, request, timeout)
        finally:
            told.leave()
    except BaseException as error:
        told.end(error)
        raise
    told.end()
    return answer
