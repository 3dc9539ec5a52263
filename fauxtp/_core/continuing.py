"""Continue: what a server is to do before its next message."""

from __future__ import annotations

from typing import Any, final

from fauxtp._base.carried import Values

__all__ = ["Continue", "carry_on"]


@final
class Continue:
    """Work that a server does next, before any message: `handle_continue` gets `request`.

    It stands behind what a handler returns otherwise: `return state, Continue(request)`, and for
    a call, which has its answer before that, `return answer, state, Continue(request)`. After
    `init`, whoever has started the server does not wait for it.

    >>> import anyio
    >>> from fauxtp import Call, GenServer, call, exit
    >>> class Prices(GenServer):
    ...     async def init(self):
    ...         return {}, Continue("load")  # which may take its time
    ...     async def handle_continue(self, request, prices):
    ...         return {**prices, "tea": 3}
    ...     async def handle_call(self, name, from_, prices):
    ...         return prices[name], prices
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         prices = await Prices.start(task_group=task_group)
    ...         print(await call(prices, "tea"))
    ...         exit(prices)
    >>> anyio.run(main)
    3
    """

    __slots__ = ("carried", "request")
    __match_args__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request: Any = request
        self.carried: Values = ()  # by the message after which it comes

    def __repr__(self) -> str:
        return f"Continue({self.request!r})"


def carry_on(rest: Continue, values: Values) -> Continue:
    """Return one like `rest`, which may be somebody's constant, with the values of a message."""
    mine = Continue(rest.request)
    mine.carried = values
    return mine
