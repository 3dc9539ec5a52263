"""Carried handlers: those of a server, for a message that has brought values of the sender's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from fauxtp._base.carried import Values
from fauxtp._base.carrying import Applied
from fauxtp._base.events import HANDLED, TIMED, wanted
from fauxtp._core.calls import Cast
from fauxtp._core.carried_messages import values_of
from fauxtp._core.continuing import Continue, carry_on

if TYPE_CHECKING:
    from fauxtp._core.process import Process

__all__ = ["CarriedHandlers", "handlers_of"]


def handlers_of(process: Process, message: Any) -> Any:
    """Return what handles `message` with the values that a call brings, and tells who listens."""
    handlers: Any = process.actor
    if wanted(HANDLED | TIMED):
        from fauxtp._core.told_handlers import told_handlers  # noqa: PLC0415  (seldom needed)

        handlers = told_handlers(process, message)
    values = values_of(message)
    return CarriedHandlers(handlers, values) if values else handlers


@final
class CarriedHandlers:
    """Stands for a server's `handlers`, for one message: they run with its `values`.

    They begin there, too: whoever steps the server has made no more than a coroutine.
    """

    __slots__ = ("_handlers", "_values")

    def __init__(self, handlers: Any, values: Values) -> None:
        self._handlers = handlers
        self._values = values

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        applied = Applied(self._values)
        try:
            applied.enter()
            return self._noted(await self._handlers.handle_call(request, from_, state))
        finally:
            applied.leave()

    async def handle_info(self, carried: Any, state: Any) -> Any:
        """Do what there is to be done with `carried`, which may be a cast."""
        message, handlers, applied = carried.message, self._handlers, Applied(self._values)
        try:
            applied.enter()
            if type(message) is Cast:
                return self._noted(await handlers.handle_cast(message.request, state))
            return self._noted(await handlers.handle_info(message, state))
        finally:
            applied.leave()

    def _noted(self, result: Any) -> Any:
        """Return the `result` of a handler; what that leaves to be done has the values, too."""
        if type(result) is not tuple or not result or type(result[-1]) is not Continue:
            return result
        return (*result[:-1], carry_on(result[-1], self._values))
