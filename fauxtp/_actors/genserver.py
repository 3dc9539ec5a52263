"""GenServer: a process that answers calls, handles casts, and takes other messages."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic
from weakref import WeakKeyDictionary

from fauxtp._actors.actor import Actor, children_of, started
from fauxtp._actors.classes import lacking
from fauxtp._actors.serving import Stop, serve
from fauxtp._actors.task import Task, start_task
from fauxtp._base.arguments import expect_callable
from fauxtp._base.coroutines import may_suspend
from fauxtp._base.logs import logger
from fauxtp._base.texts import label
from fauxtp._core.calls import NO_REPLY, Call
from fauxtp._core.continuing import Continue
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.process import Process
from fauxtp._loops.current import give_way
from fauxtp.registry import PID

__all__ = ["NO_REPLY", "Continue", "GenServer", "Stop"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # at run time it would cost 4 ms, and gives nothing

    R = TypeVar("R", default=Any)
    S = TypeVar("S", default=Any)
else:
    R, S = typing.TypeVar("R"), typing.TypeVar("S")


class GenServer(Actor, Generic[R, S]):
    """A server: define `handle_call`, `handle_cast`, `handle_info` in place of `run`.

    It handles one message at a time, in the order of arrival. Each handler gets the state
    and returns the next one; with `Continue(request)` behind it, the server has something to do
    before the next message.

    >>> import anyio
    >>> class Counter(GenServer):
    ...     async def init(self):
    ...         return 0
    ...     async def handle_call(self, request, from_, state):
    ...         return state, state
    ...     async def handle_cast(self, request, state):
    ...         return state + request
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         counter = await Counter.start(task_group=task_group, register_as="counter")
    ...         await cast("counter", 3)
    ...         print(await call("counter", "value"))
    ...         exit(counter)
    >>> from fauxtp import call, cast, exit
    >>> anyio.run(main)
    3
    """

    idle_timeout: float | None = None
    """After how many seconds without a message the server ends by itself; None is never.

    Its exit reason is "normal". The time counts from when it took up the last message. It does not
    end while it handles one, or owes an answer; nor if a message comes just as it is to end. It
    ends later than that by a sixteenth at most, and one that has handled a message for longer
    than the timeout, or whose event loop is a simulated one, by a whole timeout. One that defines
    `handle_timeout` is asked by that, and does not end by itself.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        timeout = cls.idle_timeout
        if timeout is None or hasattr(type(timeout), "__get__"):
            return
        from fauxtp._actors.idleness import expect_idle_timeout  # noqa: PLC0415

        expect_idle_timeout("idle_timeout", timeout)
        if cls.run is not GenServer.run:
            what = f"expected {cls.__name__} to have no run of its own"
            raise TypeError(f"{what}, as it has an idle_timeout, got {timeout!r}")

    # To be defined by subclasses

    async def handle_call(self, request: R, from_: Call, state: S, /) -> Any:
        """Answer a call: return `(reply, state)`.

        `request` is what was asked, `state` what the last handler returned.

        A request that is not as it should be is refused by `return Raise(error), state`: its
        caller gets that error, and the server goes on.

        To answer later, return `(NO_REPLY, state)` and call `reply(from_, value)` when the
        answer is there; `from_` is the `Call`. To answer and end, raise or return
        `Stop(reason, reply=…)`.
        """
        raise lacking(type(self), "handle_call", f" for {label(request)}")

    async def handle_cast(self, request: R, state: S, /) -> S:
        """Handle a `request` that nobody waits for; return the next `state`.

        What it raises ends the server. Where this is not defined, a request is logged, and a
        dead letter: `"unhandled"`.
        """
        _not_handled(self, "handle_cast", request)
        return state

    async def handle_info(self, message: Any, state: S, /) -> S:
        """Handle any other `message`; return the next `state`.

        What it raises ends the server. Where this is not defined, a message is logged, and a
        dead letter: `"unhandled"`.
        """
        _not_handled(self, "handle_info", message)
        return state

    async def handle_continue(self, request: Any, state: S, /) -> S:
        """Do what a handler, or `init`, has left to be done by `Continue(request)`.

        It returns what that could have returned: the state, or `(state, Continue(…))`. What it
        raises ends the server.
        """
        what = f"no handle_continue for {label(request)}"
        raise NotImplementedError(f"{type(self).__name__} has {what}")

    async def handle_timeout(self, state: S, /) -> Any:
        """Do what is to be done after `idle_timeout` seconds without a message.

        It returns the next `state`, `(state, Continue(…))`, or `Stop()`, by which the server ends.
        If it goes on, it is asked again after as long a time. What it raises ends the server.
        Where this is not defined, the server ends.
        """
        return Stop()

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: S, /) -> S:
        """Handle the end of the task `pid`, which `spawn_task` started; return the next `state`.

        What it raises ends the server. `status` is `"success"`, and `result` what the task
        returned; or `"failure"`, and `result` its exit reason: that of an error has it as its
        `exception`, and the error alone for its text, without the "error: " of other exit reasons.
        """
        return state

    # For use inside the server

    async def spawn_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> PID:
        """Run `func(*args, **kwargs)` beside the server, as a process; return its PID.

        It ends with the server. Its own end is told to `handle_task_end`. Raises `TypeError` if
        `func` cannot be called, and `RuntimeError` if the server does not run, or not in this
        event loop.
        """

        async def work() -> Any:
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        try:
            expect_callable("func", func)
            task, process, children = Task(work), started(self), children_of(self)
        except Exception:
            await give_way()
            raise
        handle = await start_task(task, children, notify=process.mailbox.deliver)
        return handle.pid

    # What others ask of any actor: see `fauxtp._core.protocols.Behaviour`

    async def run(self, state: S, /) -> S:
        """Handle one message."""
        process = started(self)
        process.state = state
        await serve(process, once=True)
        after: S = process.state
        return after

    _fauxtp_serves = True

    def _fauxtp_work(self, process: Process) -> Coroutine[Any, Any, None] | None:
        if self.idle_timeout is not None:
            (_watch or _end_when_idle)(process, self.idle_timeout)
        return serve(process) if type(self).run is GenServer.run else None

    @property
    def _fauxtp_times_out(self) -> bool:
        """Whether it says itself what it does when it has been idle for its time."""
        return type(self).handle_timeout is not GenServer.handle_timeout

    @property
    def _fauxtp_can_be_stepped(self) -> bool:
        return type(self).run is GenServer.run

    @property
    def _fauxtp_may_wait(self) -> bool:
        # Before any of the others runs, the scope is entered anyway: see `_continue`, `_goes_on`.
        return (
            may_suspend(self.handle_call)
            or may_suspend(self.handle_cast)
            or may_suspend(self.handle_info)
            or may_suspend(self.handle_task_end)
        )


# What most servers never need is imported when the first of them does.
_watch: Callable[[Process, float], None] | None = None


def _end_when_idle(process: Process, timeout: float) -> None:
    """Let a server end when nobody has wanted anything of it for its `idle_timeout`."""
    global _watch
    if _watch is None:
        from fauxtp._actors.idleness import end_when_idle  # noqa: PLC0415

        _watch = end_when_idle
    _watch(process, timeout)


_told: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()


def _not_handled(server: GenServer[Any, Any], handler: str, message: object) -> None:
    """Count a message that nobody wanted; log the first of each kind, as there may be many."""
    kind, pid = type(server), started(server).pid
    told = _told.setdefault(kind, set())
    if handler not in told:
        told.add(handler)
        logger().warning(
            "%s %r has no %s for %s; further ones are counted in dead_letters only",
            kind.__name__,
            pid,
            handler,
            label(message),
        )
    dead_letters.add(pid, message, "unhandled")
