"""Tracing: who is to make a span of each call, of each message and of what handles it.

There is nobody, or one: `fauxtp.observe.opentelemetry` sets it, and has it asked by what tells
listeners of the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fauxtp._base.carried import Values

    class Trace(Protocol):
        """A span that has begun, of which something is to become the context, and then an end."""

        def enter(self) -> object:
            """Let it be the current one, here: what is sent meanwhile comes of it."""
            ...

        def leave(self) -> object:
            """Let it be so no more."""
            ...

        def end(self, error: BaseException | None) -> object:
            """Note that it is over, in any thread."""
            ...

    class Tracer(Protocol):
        """Begins spans. None of it raises anything; None is no span."""

        def goes_on(self) -> bool:
            """Return whether a call that is made here may have a span."""
            ...

        def goes_on_with(self, values: Values, /) -> bool:
            """Return whether what handles a message may have one that has brought `values`."""
            ...

        def later(self, values: Values, /) -> Values:
            """Return what a message that is sent later is to carry of `values` of here and now."""
            ...

        def call(self, kind: str, pid: Any, request: Any, /) -> Trace | None:
            """Begin one of a call, to a process of the class of that name."""
            ...

        def send(self, how: str, kind: str, pid: Any, message: Any, /) -> Trace | None:
            """Begin one of a message to such a process."""
            ...

        def handle(self, kind: str, pid: Any, message: Any, /) -> Trace | None:
            """Begin one of what such a process does with a message."""
            ...

        def within(self, how: str, kind: str, pid: Any, what: Any, /) -> Trace | None:
            """Begin one of what such a process does by itself: `what` is its label, or None."""
            ...


__all__ = ["set_tracer", "traced_within", "tracer"]


_tracer: Tracer | None = None


def set_tracer(tracer: Tracer | None) -> None:
    """Let `tracer` be asked, or nobody. Who sets it has it asked by `carry_also`, too."""
    global _tracer
    _tracer = tracer


def tracer() -> Tracer | None:
    """Return who is to be asked, if there is one."""
    return _tracer


async def traced_within(
    handling: Awaitable[Any], traces: Tracer, how: str, kind: str, pid: Any, what: Any
) -> Any:
    """Await what a process of such a class does by itself, in a span of its own.

    `how` and `what` are as `Tracer.within` has them.
    """
    error: BaseException | None = None
    trace = traces.within(how, kind, pid, what)
    try:
        if trace is not None:
            trace.enter()
        return await handling
    except BaseException as failure:
        error = failure
        raise
    finally:
        if trace is not None:
            trace.leave()
            trace.end(error)
        error = None  # a circle else: its traceback has this frame
