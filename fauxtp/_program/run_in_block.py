"""running: an application for as long as a block of code, without a task group around it."""

from __future__ import annotations

import signal
import sys
import threading
from asyncio import Task
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

from anyio import CancelScope, Event, create_task_group, get_cancelled_exc_class

from fauxtp._actors.actor import Actor, expect_actor_class
from fauxtp._actors.lifecycle import launch
from fauxtp._base.arguments import unexpected
from fauxtp._base.logs import logger
from fauxtp._core.process import Process
from fauxtp._loops.current import current_home, give_way
from fauxtp._supervision.children import SHUTDOWN
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["Running", "bare", "running"]

GIVE_UP = ("terminate", "raise")
_tasks: set[Task[None]] = set()  # asyncio itself does not keep them


def running(
    application: type[Actor],
    *args: Any,
    register_as: str | None = None,
    on_give_up: str = "terminate",
    **kwargs: Any,
) -> Running:
    """Run `application`, most often a supervisor, for as long as an `async with` block.

    It starts before the block, whose target is its PID, and has ended after it. It runs in a task
    of its own, and not in a task group or a cancel scope of this one, so that the block may be
    that of a fixture, or of the lifespan of a web framework. The arguments go to the constructor;
    with `register_as`, it has that name.

    If it gives up meanwhile, as it crashes too often, the block raises that when it is left. With
    `on_give_up="terminate"` the program is told to end as well: by SIGTERM if it has a handler
    for that, as servers do, else as by Ctrl-C. With `"raise"` it is not.

    As the block is left, the application is told to end, as by a supervisor; it may take its time.

    Raises `TypeError` or `ValueError` if an argument is not what it should be; the block, what
    the start raises.

    >>> import anyio
    >>> from fauxtp import GenServer, call
    >>> class Greeter(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return f"hello {request}", state
    >>> async def main():
    ...     async with running(Greeter) as greeter:
    ...         print(await call(greeter, "Anna"))
    >>> anyio.run(main)
    hello Anna
    """
    expect_actor_class("application", application)
    if not isinstance(on_give_up, str):
        raise unexpected("on_give_up", "'terminate' or 'raise'", on_give_up)
    if on_give_up not in GIVE_UP:
        raise ValueError(f"expected on_give_up to be 'terminate' or 'raise', got {on_give_up!r}")
    return Running(
        lambda: application(*args, **kwargs), register_as, terminates=on_give_up == "terminate"
    )


@final
class Running:
    """What `running` returns: the block that an application runs for."""

    def __init__(
        self, make: Callable[[], Actor], register_as: str | None, *, terminates: bool
    ) -> None:
        self._make = make
        self._register_as = register_as
        self._terminates = terminates
        self._process: Process | None = None
        self._error: BaseException | None = None
        self._is_asked_to_end = False

    async def __aenter__(self) -> PID:
        if self._process is not None:
            await give_way()
            raise RuntimeError("this application was started before")
        home = current_home()
        if home is None:
            raise RuntimeError("no event loop runs in this thread")
        self._started, self._ended = Event(), Event()
        self._scope = CancelScope()  # here: the task may begin only when this one is cancelled
        _begin(home, self._host)
        try:
            await self._started.wait()
        except BaseException:
            self._is_asked_to_end = True
            self._scope.cancel()
            await self._until_ended()
            raise
        if self._process is None:
            await self._ended.wait()
            raise self._error_without_group()
        return self._process.pid

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_asked_to_end = True
        assert self._process is not None
        self._process.shut_down(SHUTDOWN)
        await self._until_ended()
        if self._error is not None:
            raise self._error_without_group()

    async def ended(self) -> None:
        """Wait until the application has ended by itself, for whatever reason."""
        await self._ended.wait()

    async def _until_ended(self) -> None:
        """Wait for the end, also if asyncio cancels this task, which no scope shields from."""
        cancelled: BaseException | None = None
        while not self._ended.is_set():
            try:
                with CancelScope(shield=True):
                    await self._ended.wait()
            except get_cancelled_exc_class() as error:
                cancelled = error
        try:
            if cancelled is not None:
                raise cancelled
        finally:
            del cancelled  # a circle else: its traceback has this frame

    def _error_without_group(self) -> BaseException:
        assert self._error is not None
        error, self._error = bare(self._error), None
        return error

    async def _host(self) -> None:
        try:
            with self._scope:
                async with create_task_group() as group:
                    name = self._register_as
                    self._process = await launch(self._make(), group, register_as=name)
                    self._started.set()
        except BaseException as error:
            self._error = error
            if isinstance(error, get_cancelled_exc_class()):
                raise
        finally:
            process = self._process
            if process is not None and process.reason is not None and self._error is None:
                self._error = process.reason.exception
            self._ended.set()
            self._started.set()
            if process is not None and self._error is not None and not self._is_asked_to_end:
                self._give_up(process)

    def _give_up(self, process: Process) -> None:
        logger().critical("%s has given up", process.kind.__name__)
        if self._terminates:
            has_handler = callable(signal.getsignal(signal.SIGTERM)) and sys.platform != "win32"
            _tell_the_program(signal.SIGTERM if has_handler else signal.SIGINT)


def _tell_the_program(number: signal.Signals) -> None:
    """Send the program a signal, by which its main thread wakes up if that sleeps."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def _begin(home: Home, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin a task of the event loop's own, in a clean context."""
    if home.is_asyncio:
        import asyncio  # noqa: PLC0415

        create, coroutine = asyncio.get_running_loop().create_task, work()
        try:  # within the context, as not every task factory takes one
            task = Context().run(partial(create, coroutine, name="an application"))
        except BaseException:
            coroutine.close()
            raise
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    else:
        import trio  # noqa: PLC0415

        trio.lowlevel.spawn_system_task(work, name="an application", context=Context())


def bare(error: BaseException) -> BaseException:
    """Return what a task group has wrapped, if it is one error.

    >>> bare(ExceptionGroup("of a task group", [ValueError("wrong")]))
    ValueError('wrong')
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
