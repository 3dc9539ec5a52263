"""run: an application as a program, until it ends or is told to by a signal."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeGuard, final

import anyio

from fauxtp._actors.actor import Actor, expect_actor_class
from fauxtp._actors.lifecycle import launch
from fauxtp._base.logs import logger
from fauxtp._core.crash_log import logged, starts_of
from fauxtp._core.process import Process
from fauxtp._loops.current import current_home
from fauxtp._messaging.exits import exit
from fauxtp._program.options import check_backend, check_shutdown, options_of
from fauxtp._program.run_in_block import bare
from fauxtp._supervision.children import SHUTDOWN
from fauxtp.errors import ProcessExited
from fauxtp.observe.inspection import processes, tree

__all__ = ["run"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS: Final = 1.0  # seconds, as who keeps the program may keep the log or a stream, too


def run(
    application: type[Actor],
    *args: Any,
    register_as: str | None = None,
    backend: str = "asyncio",
    uvloop: bool = False,
    shutdown: float = 30.0,
    **kwargs: Any,
) -> None:
    """Run `application`, most often a supervisor, until it ends: all of a program's main.

    SIGTERM, or SIGINT, ends it in order, each child in its time; a second one kills every
    process. The status is 0 after that, also if some were killed. After `shutdown` seconds those
    that still run are named in the log, and the program ends at once, with status 1.

    The arguments go to the constructor; with `register_as`, it has that name. `backend` is
    `"asyncio"`, with `uvloop` if that is installed and wanted, or `"trio"`.

    Return after an orderly end. Raises `SystemExit`, with status 1 and the last crash as text, if
    the application crashes, gives up or cannot be started, which is logged; and `RuntimeError`
    anywhere but in the main thread, where signals go, or if an event loop runs there.

    >>> from fauxtp import Stop, Supervisor
    >>> class Application(Supervisor):
    ...     async def init(self):
    ...         print("started")
    ...         self.stop()
    >>> run(Application)
    started
    """
    expect_actor_class("application", application)
    check_backend(backend, uvloop)
    check_shutdown(shutdown)
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("expected to run in the main thread, where signals go: see running")
    if current_home() is not None:
        raise RuntimeError("expected no event loop to run here: see running")
    program = _Program(
        application.__name__, lambda: application(*args, **kwargs), register_as, shutdown
    )
    try:
        anyio.run(program.main, backend=backend, backend_options=options_of(uvloop))
    finally:
        program.is_over()
    if program.error is not None:
        raise SystemExit(f"{application.__name__}: {_words(program.error)}") from program.error


def _words(error: BaseException) -> str:
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{told}{starts_of(error)}"


@final
class _Program:
    def __init__(
        self, name: str, make: Callable[[], Actor], register_as: str | None, shutdown: float
    ) -> None:
        self._name = name
        self._make = make
        self._register_as = register_as
        self._shutdown = shutdown
        self._actor: Actor | None = None
        self._signals = 0
        self._over = allocate_lock()
        self._over.acquire()
        self.error: BaseException | None = None

    async def main(self) -> None:
        process: Process | None = None
        with self._heard():
            try:
                async with anyio.create_task_group() as group:
                    self._actor = self._make()
                    if not self._signals:
                        process = await launch(self._actor, group, register_as=self._register_as)
                        if self._signals:
                            self._ask_to_end()
            except Exception as error:
                self.error = bare(error)
                if process is None:
                    self._not_started(self.error)
        if self._is_own_end(self.error) and self.error.reason.exception is None:
            self.error = None  # it has ended within its init, as it was told to
        if self.error is None and process is not None and process.reason is not None:
            self.error = process.reason.exception

    def _not_started(self, error: BaseException) -> None:
        """Tell of an error that nobody else has told of, as nothing runs yet."""
        if self._is_own_end(error):
            return
        with logged(error) as shown:
            logger().critical("%s could not be started", self._name, exc_info=shown)

    def _is_own_end(self, error: BaseException | None) -> TypeGuard[ProcessExited]:
        """Return whether it tells of the end of the application, and not of another process."""
        process = None if self._actor is None else self._actor._fauxtp_process
        if not isinstance(error, ProcessExited):
            return False
        return bool(self._signals) or (process is not None and error.pid is process.pid)

    # Signals

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Hear signals ourselves: event loops do so only while nothing keeps them from running."""
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals > 1:
            for pid in processes():
                exit(pid, "kill")
            logger().warning("%s again: all processes are killed", name)
            return
        self._ask_to_end()
        # A raw one: a thread of `threading` waits for locks that the signal may have interrupted.
        start_new_thread(self._last_resort, ())
        logger().info("%s: the program ends", name)

    def _ask_to_end(self) -> None:
        process = None if self._actor is None else self._actor._fauxtp_process
        if process is not None:
            process.shut_down(SHUTDOWN)

    def _last_resort(self) -> None:
        """End a program that has not ended in its time, and say who keeps it."""
        if self._over.acquire(timeout=min(self._shutdown, threading.TIMEOUT_MAX)):
            return
        try:
            told = allocate_lock()
            told.acquire()
            start_new_thread(self._tell_who_is_left, (told,))
            told.acquire(timeout=LAST_WORDS)
        finally:
            os._exit(1)

    def _tell_who_is_left(self, told: LockType) -> None:
        try:
            left = tree() or "no process, but something else: a thread, or another task"
            words = "not ended within %g s, but at once; left:\n%s"
            logger().critical(words, self._shutdown, left)
            logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        finally:
            told.release()

    def is_over(self) -> None:
        self._over.release()
