"""What fauxtp asks of an event loop, and of what waits in it, whichever kind that is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fauxtp._loops.alarms import Alarms

__all__ = ["Home", "Server", "Waiter"]


class Server(Protocol):
    """A process whose handlers others may run while its task waits for messages."""

    idle: bool
    interrupted: bool
    handling: Any
    handed_over: Any


class Waiter(Protocol):
    woken: bool
    """Whether it has been woken, in its event loop: there is no need to do it again."""

    def wake(self) -> bool:
        """End the wait, from whichever thread; return False if its event loop has ended.

        A second time nothing happens.
        """
        ...

    def time(self) -> float:
        """Return the seconds on the clock by which timeouts are measured."""
        ...

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        """Return True when woken, False after `timeout` seconds.

        With `common`, many waits have this timeout. Whoever stops waiting for one of these
        before its end should `wake` it.
        """
        ...


class Home(Protocol):
    """An event loop, as the place where something must be done."""

    @property
    def alarms(self) -> Alarms:
        """What is to be called here at its time, each in a context that is nobody's."""
        ...

    timers: dict[Any, None]
    """Those of nobody who lives here, that somebody elsewhere knows: they end with the loop."""

    idlers: dict[float, Any]
    """By timeout, the servers here that end when they have been idle for so long."""

    of_program: int
    """The PID of the program that made it: in one that was forked it does not run."""

    @property
    def is_asyncio(self) -> bool:
        """Whether it is one of asyncio."""
        ...

    def is_here(self) -> bool:
        """Return whether the loop runs in this thread."""
        ...

    def is_over(self) -> bool:
        """Return whether the loop has ended for good, as far as that can be known."""
        ...

    def end(self) -> None:
        """Bury who lives in the loop, which has ended."""
        ...

    def is_free(self) -> bool:
        """Return whether it is here, and may be told to do something now, not only soon."""
        ...

    def run(self, function: Callable[[], object]) -> bool:
        """Call `function` in the loop's thread: now if the loop is free, else soon.

        Return False if the loop has ended.
        """
        ...

    def run_soon(self, function: Callable[[], object]) -> bool:
        """Do as `run`, but never now."""
        ...

    def run_next(self, function: Callable[[], object]) -> None:
        """Call `function` in the next turn of the loop, in whose thread this is: quicker so."""
        ...

    def time(self) -> float:
        """Return the seconds on the loop's clock, in any thread."""
        ...

    def let_tell(self) -> None:
        """Let the loop tell when it has ended, as there is something that ends with it."""
        ...

    def running_task(self) -> Any:
        """Return the task that runs in the loop, which is the running one."""
        ...

    def runs(self, task: object) -> bool:
        """Return whether `task` is the one that runs, in this thread."""
        ...

    def new_waiter(self, server: Server | None = None) -> Waiter:
        """Return a waiter for a task of this loop, which is the running one.

        If it waits for the messages to a `server`, others may step that one meanwhile.
        """
        ...
