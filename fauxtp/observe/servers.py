"""Servers from outside: their states, and a break, for tests and for who looks into a fault."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from fauxtp._base.arguments import expect_callable, unexpected
from fauxtp._core.calls import Call
from fauxtp._core.control import Control
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import not_here
from fauxtp._core.running_process import current_process
from fauxtp._loops.current import current_home, give_way, seconds
from fauxtp._messaging.addresses import find_pid
from fauxtp._messaging.pending_call import PendingCall
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

__all__ = ["get_state", "replace_state", "resume", "suspend"]

USUAL = 5.0  # seconds, as for a call


async def get_state(server: PID | str, timeout: float | None = USUAL) -> Any:
    """Return the state of `server`, or a supervisor, after all messages that lie there before.

    It is the very object, and no copy. `timeout` is in seconds; None waits for ever.

    Raises `TypeError` if the process does not serve, `ValueError` if it is of another node, and
    what `call` raises. There is room for what this asks in a full mailbox, too; so it is with
    `replace_state`, `suspend` and `resume`.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         server = await GenServer.start(task_group=task_group)
    ...         await replace_state(server, lambda state: {**state, "debug": True})
    ...         print(await get_state(server))
    ...         exit(server)
    >>> anyio.run(main)
    {'debug': True}
    """
    return await _ask(server, Control("get"), timeout)


async def replace_state(
    server: PID | str, change: Callable[[Any], Any], timeout: float | None = USUAL
) -> Any:
    """Let the state of `server` be what `change(state)` returns, and return that.

    `change` runs between two messages. What it raises is the caller's, and the state is as before.
    `timeout` is in seconds; None waits for ever.

    Raises `TypeError` if `change` cannot be called, or is async; else as `get_state`.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         server = await GenServer.start(task_group=task_group)
    ...         print(await replace_state(server, lambda state: {"was": state}))
    ...         exit(server)
    >>> anyio.run(main)
    {'was': {}}
    """
    try:
        expect_callable("change", change)
        if iscoroutinefunction(change):
            raise unexpected("change", "a function that is not async", change)
    except TypeError:
        await give_way()
        raise
    return await _ask(server, Control("replace", change), timeout)


async def suspend(server: PID | str, timeout: float | None = USUAL) -> None:
    """Let `server` handle no message after those that lie there, until somebody resumes it.

    It can be asked for its state meanwhile, and to end; if it traps exits, it goes on as its
    supervisor ends it, with what lies in its mailbox. Once is enough, also twice. `timeout` is in
    seconds; None waits for ever.

    Raises what `get_state` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, ReceiveTimeout, call, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         server = await GenServer.start(task_group=task_group)
    ...         await suspend(server)
    ...         try:
    ...             await call(server, "hello", timeout=0.01)
    ...         except ReceiveTimeout as error:
    ...             print(error.taken_up, await get_state(server))
    ...         exit(server)
    >>> anyio.run(main)
    False {}
    """
    await _ask(server, Control("suspend"), timeout)


async def resume(server: PID | str, timeout: float | None = USUAL) -> None:
    """Let `server`, which is suspended, go on. If it is not, nothing happens.

    `timeout` is in seconds; None waits for ever. Raises what `get_state` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, send
    >>> class Printer(GenServer):
    ...     async def handle_info(self, message, state):
    ...         print(message)
    ...         self.stop()
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         printer = await Printer.start(task_group=task_group)
    ...         await suspend(printer)
    ...         await send(printer, "second")
    ...         print("first")
    ...         await resume(printer)
    >>> anyio.run(main)
    first
    second
    """
    await _ask(server, Control("resume"), timeout)


async def _ask(server: PID | str, control: Control, timeout: float | None) -> Any:
    try:
        pending = _asked(server, control, timeout)
    except Exception:
        await give_way()
        raise
    return await pending


def _asked(server: PID | str, control: Control, timeout: float | None) -> PendingCall[Any]:
    seconds(timeout)
    pid, home = find_pid(server), current_home()
    process = meet(pid)
    if process is None or home is None:
        raise not_here(server, pid)
    if not process.kind._fauxtp_serves:
        raise TypeError(f"expected a server, got {process.kind.__name__}, which has its own run")
    caller = current_process(own_task=True)
    call = Call(control, process.pid, None if caller is None else caller.pid)
    call.pass_by()
    if not process.mailbox.deliver(call):  # whether or not there is room
        raise NoProcess(server)
    return PendingCall(call, server, timeout, home)
