"""in_thread: an application beside a program that has no event loop, in a thread of its own."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final
from weakref import WeakSet

import anyio

from fauxtp._actors.actor import Actor
from fauxtp._base.logs import logger
from fauxtp._loops.current import current_home
from fauxtp._messaging.call_blocking import call_blocking
from fauxtp._messaging.exits import is_alive
from fauxtp._messaging.sending import cast_nowait
from fauxtp._program.options import check_backend, check_shutdown, options_of
from fauxtp._program.run_in_block import Running, running
from fauxtp.observe.inspection import tree
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["InThread", "in_thread"]

USUAL: Final = 5.0  # seconds that a call waits for its answer


def in_thread(
    application: type[Actor],
    *args: Any,
    register_as: str | None = None,
    backend: str = "asyncio",
    uvloop: bool = False,
    shutdown: float = 30.0,
    on_give_up: str = "terminate",
    **kwargs: Any,
) -> InThread:
    """Return `application`, most often a supervisor, for a program without an event loop.

    It is started when it is first used, with an event loop in a thread of its own, and ends in
    order when the program does. A process that was forked has one of its own, started there when
    it is first used: so it may be made where a web server loads an application before it forks.

    The arguments go to the constructor; with `register_as`, it has that name. `backend` is
    `"asyncio"`, with `uvloop` if that is installed and wanted, or `"trio"`. Who has not ended
    `shutdown` seconds after it is stopped is named in the log, and left behind. If it gives up, as
    it crashes too often, the program is told to end, as by `running`; with
    `on_give_up="raise"` it is not. What has ended is started again when it is used.

    Raises `TypeError` or `ValueError` if an argument is not what it should be.

    >>> from fauxtp import GenServer
    >>> class Greeter(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return f"hello {request}", state
    >>> app = in_thread(Greeter, register_as="greeter")
    >>> app.call("greeter", "Anna")
    'hello Anna'
    >>> app.stop()
    """
    block = partial(
        running, application, *args, register_as=register_as, on_give_up=on_give_up, **kwargs
    )
    block()  # which says what is wrong with them
    check_backend(backend, uvloop)
    check_shutdown(shutdown)
    run = partial(anyio.run, backend=backend, backend_options=options_of(uvloop))
    return InThread(lambda: _Run(block, run), shutdown)


@final
class InThread:
    """What `in_thread` returns: an application that any thread may use, but none of its own.

    As a context manager it is started, whose target is its PID, and stopped.
    """

    def __init__(self, make: Callable[[], _Run], shutdown: float) -> None:
        self._make = make
        self._shutdown = shutdown
        self.forget()
        _everyone.add(self)

    def forget(self) -> None:
        """Know of no run: those there were run in another process."""
        self._latest: _Run | None = None
        self._changing = threading.RLock()  # a signal handler may stop what just starts

    def start(self) -> PID:
        """Start it, unless it runs; return its PID when its `init` has finished.

        Raises what its constructor or its `init` raises, to all who wait for that; and
        `RuntimeError` in a thread that runs an event loop, which it would block, and if it is
        stopped meanwhile.
        """
        run = self._latest
        if run is None or not run.serves:
            _refuse_to_block("start")
            run = self._current()
        return run.pid_when_started()

    def _current(self) -> _Run:
        with self._changing:
            run = self._latest
            if run is None or run.is_over:
                self._latest = run = self._make()
                atexit.register(self.stop)
                run.begin()
            return run

    def call(
        self,
        to: PID | str,
        request: Any,
        timeout: float | None = USUAL,
        wait: float | None = None,
    ) -> Any:
        """Do as `call_blocking`, when the application has started."""
        self.start()
        return call_blocking(to, request, timeout, wait)

    def cast(self, to: PID | str, request: Any) -> None:
        """Do as `cast_nowait`, when the application has started."""
        self.start()
        cast_nowait(to, request)

    def stop(self) -> None:
        """End it in order, also while it starts; return when it has ended, or its time is over.

        If it does not run, do nothing. Raises `RuntimeError` in a thread that runs an event loop.
        """
        if self._latest is None:
            return
        _refuse_to_block("stop")
        with self._changing:
            run, self._latest = self._latest, None
            atexit.unregister(self.stop)
        if run is not None:
            run.end(self._shutdown)

    def __enter__(self) -> PID:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _refuse_to_block(what: str) -> None:
    if current_home() is not None:
        raise RuntimeError(f"{what} would block the event loop that runs here: see running")


@final
class _Run:
    """One run of an application, from its start to its end, in a thread."""

    def __init__(self, block: Callable[[], Running], run: Callable[..., object]) -> None:
        self._block = block
        self._started = threading.Event()
        self._is_asked_to_end = False
        self._home: Home | None = None
        self._scope: anyio.CancelScope
        self._pid: PID | None = None
        self._error: BaseException | None = None
        # No thread that the interpreter waits for: it is stopped after those.
        self._thread = threading.Thread(
            target=self._live, args=(run,), name="an application", daemon=True
        )

    def begin(self) -> None:
        try:
            self._thread.start()
        except BaseException:
            if self._thread.ident is None:  # else a signal has come in between, and it runs
                self._started.set()
            raise

    def _live(self, run: Callable[..., object]) -> None:
        try:
            run(self._main)
        except BaseException as error:
            self._error = error
            if self._pid is not None and not isinstance(error, Exception):  # else it is logged
                logger().error("an application in a thread has ended", exc_info=error)
        finally:
            self._started.set()

    async def _main(self) -> None:
        with anyio.CancelScope() as self._scope:
            self._home = current_home()
            if self._is_asked_to_end:
                return
            block = self._block()
            async with block as self._pid:
                self._started.set()
                await block.ended()

    @property
    def serves(self) -> bool:
        """Whether it has started, and not ended."""
        return self._pid is not None and is_alive(self._pid)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or could not be started."""
        return self._started.is_set() and not self.serves

    def pid_when_started(self) -> PID:
        self._started.wait()
        if self._pid is not None:
            return self._pid
        raise self._error or RuntimeError("the application was stopped as it started")

    def end(self, seconds: float) -> None:
        self._is_asked_to_end = True
        if self._home is not None:
            self._home.run_soon(self._stop)
        if self._thread.ident is None:
            return  # who begins it is interrupted by this, and it ends as it begins
        self._thread.join(min(seconds, threading.TIMEOUT_MAX))
        if self._thread.is_alive():
            words = "an application in a thread has not ended within %g s; left:\n%s"
            logger().critical(words, seconds, tree() or "no process, but another task")

    def _stop(self) -> None:
        self._scope.cancel()


_everyone: WeakSet[InThread] = WeakSet()


def _after_fork_in_child() -> None:
    for one in list(_everyone):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
