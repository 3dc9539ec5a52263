"""Carried handlers: those of a server, for a message that has brought values of the sender's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.carried import Values, bare
from fauxtp._base.carrying import Applied, Kept, apart, carried_variables, has_strays, within
from fauxtp._base.events import CARRYING, HANDLED, TIMED, heard, wanted
from fauxtp._base.tracing import tracer
from fauxtp._core.calls import Cast
from fauxtp._core.carried_messages import values_of
from fauxtp._core.continuing import Continue, carry_on

if TYPE_CHECKING:
    from fauxtp._core.process import Process
    from fauxtp.registry import PID

__all__ = ["CarriedHandlers", "handlers_of"]


def handlers_of(
    process: Process, message: Any, sent_at: float = 0.0, values: Values | None = None
) -> Any:
    """Return what handles `message` with the values that it brings, and tells who listens.

    Those of a call it has itself; if these are not None, it was put into a `Carried`, and the
    handlers take it out. `sent_at` is as `begin` has it.
    """
    handlers: Any = process.actor
    is_carried = values is not None
    values = values_of(message) if values is None else values
    traces = tracer()
    is_traced = traces is not None and traces.goes_on_with(values)
    if is_traced or heard(HANDLED) or wanted(TIMED):
        from fauxtp._core.told_handlers import told_handlers  # noqa: PLC0415  (seldom needed)

        handlers = told_handlers(process, message, sent_at)
    stands = is_carried or bool(values) or wanted(CARRYING)
    return CarriedHandlers(handlers, values) if stands else handlers


@final
class CarriedHandlers:
    """Stands for a server's `handlers`, for one message: they run with its `values`.

    They begin there, too: whoever steps the server has made no more than a coroutine. At the end
    all that is carried has the values that it had before, whatever a handler has set.
    """

    __slots__ = ("_values", "handlers")

    def __init__(self, handlers: Any, values: Values) -> None:
        self.handlers: Any = handlers
        self._values = values

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await self._applied(self.handlers.handle_call, request, from_, state)

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return await self._applied(self.handlers.handle_cast, request, state)

    async def handle_info(self, message: Any, state: Any) -> Any:
        """Do what there is to be done with `message`, which may be a cast that was carried."""
        message = bare(message)
        if type(message) is Cast:
            return await self._applied(self.handlers.handle_cast, message.request, state)
        return await self._applied(self.handlers.handle_info, message, state)

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        return await self._applied(self.handlers.handle_task_end, pid, status, result, state)

    async def _applied(self, handler: Callable[..., Any], *arguments: Any) -> Any:
        if has_strays(self._values):
            return self._noted(await within(apart(self._values), _begun(handler, arguments)))
        if not self._values:
            return await _kept(handler, arguments)
        applied = Applied(self._values, carried_variables())
        try:
            applied.enter()
            return self._noted(await handler(*arguments))
        finally:
            applied.leave()

    def _noted(self, result: Any) -> Any:
        """Return the `result` of a handler; what that leaves to be done has the values, too."""
        if type(result) is not tuple or not result or type(result[-1]) is not Continue:
            return result
        return (*result[:-1], carry_on(result[-1], self._values))


async def _kept(handler: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
    kept = Kept(carried_variables())
    try:
        result = await handler(*arguments)
    except GeneratorExit:
        raise  # it is never to end, and this may be another context
    except BaseException:
        kept.put_back()
        raise
    kept.put_back()
    return result


async def _begun(handler: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return await handler(*arguments)
