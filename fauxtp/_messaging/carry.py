"""Carry: context variables whose values go with messages."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from fauxtp._base.arguments import unexpected
from fauxtp._base.carrying import carry_also

__all__ = ["carry"]


def carry(variable: ContextVar[Any]) -> None:
    """Let whatever is sent from now on carry the value of `variable`, to who handles it.

    That is the value which the sender's context has as it sends, if it has one; a default is none.
    It goes with `call`, `call_blocking`, `start_call` and `call_many`, with `cast` and `send` in
    each of their forms, with `publish`, and with timers as they are set. The handler runs with it,
    and so do what that leaves to `handle_continue`, the tasks that it starts, and what it sends
    itself. Then the server's context has again what it had before. A process that is started has
    nothing of it: it belongs to no request.

    An actor that receives by itself has the value of the message that it has received last, until
    it receives again.

    Once is enough, in any thread, and it holds for good. Raises `TypeError` if `variable` is no
    `ContextVar`.

    >>> import anyio
    >>> from fauxtp import GenServer, call, exit
    >>> user = ContextVar("user", default="nobody")
    >>> carry(user)
    >>> class Diary(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return f"{request} by {user.get()}", state
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         diary = await Diary.start(task_group=task_group)
    ...         user.set("Anna")
    ...         print(await call(diary, "read"))
    ...         exit(diary)
    >>> anyio.run(main)
    read by Anna
    """
    if type(variable) is not ContextVar:
        raise unexpected("variable", "a ContextVar", variable)
    carry_also(variable)
