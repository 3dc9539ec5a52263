"""GenServer: a process that answers calls, handles casts, and takes other messages."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, final

from anyio.lowlevel import checkpoint

from fauxtp.actor import Actor
from fauxtp.arguments import expect_callable
from fauxtp.calls import NO_REPLY, Call, Cast, reply
from fauxtp.life import ROUNDS, ActorExit
from fauxtp.process import ExitReason, Process
from fauxtp.registry import PID
from fauxtp.task import Task, TaskEnd
from fauxtp.waiting import give_way

__all__ = ["NO_REPLY", "GenServer", "Stop"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # at run time it would cost 4 ms, and gives nothing

    from fauxtp.handoff import HandedOver

    R = TypeVar("R", default=Any)
    S = TypeVar("S", default=Any)
else:
    R, S = typing.TypeVar("R"), typing.TypeVar("S")


@final
class Stop(ActorExit):
    """Ends a server from a handler that raises or returns it.

    `reason` is the exit reason. With `reply`, the call that is being handled is answered
    before; without, its caller hears that the server has ended.
    """

    def __init__(self, reason: str = "normal", reply: Any = NO_REPLY) -> None:
        super().__init__(ExitReason(reason))
        self.reply = reply


class GenServer(Actor, Generic[R, S]):
    """A server: define `handle_call`, `handle_cast`, `handle_info` in place of `run`.

    It handles one message at a time, in the order of arrival. Each handler gets the state
    and returns the next one.

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

    # To be defined by subclasses

    async def handle_call(self, request: R, from_: Call, state: S, /) -> Any:
        """Answer a call: return `(reply, state)`.

        To answer later, return `(NO_REPLY, state)` and call `reply(from_, value)` when the
        answer is there; `from_` is the `Call`. To answer and end, raise or return
        `Stop(reason, reply=…)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle_call for {request!r}")

    async def handle_cast(self, request: R, state: S, /) -> S:
        """Handle a request that nobody waits for; return the state."""
        return state

    async def handle_info(self, message: Any, state: S, /) -> S:
        """Handle any other message; return the state."""
        return state

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: S, /) -> S:
        """Handle the end of a task that `spawn_task` started; return the state.

        `status` is `"success"`, and `result` what the task returned; or `"failure"`, and
        `result` its exit reason.
        """
        return state

    # For use inside the server

    async def spawn_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> PID:
        """Run `func(*args, **kwargs)` beside the server, as a process; return its PID.

        It ends with the server. Its own end is told to `handle_task_end`.
        """

        async def work() -> Any:
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        try:
            expect_callable("func", func)
            task = Task(work, notify=self._started().mailbox.deliver)
            children = self.children
        except Exception:
            await give_way()
            raise
        handle = await task.launch(children)
        return handle.pid

    # The loop

    async def run(self, state: S, /) -> S:
        """Handle one message."""
        process = self._started()
        process.state = state
        await self._serve(process, once=True)
        after: S = process.state
        return after

    @property
    def _can_be_stepped(self) -> bool:
        return type(self).run is GenServer.run

    def _work(self, process: Process) -> Coroutine[Any, Any, None] | None:
        return self._serve(process) if type(self).run is GenServer.run else None

    async def _serve(  # noqa: PLR0912, PLR0915  (in one piece, as each message goes through it)
        self, process: Process, once: bool = False
    ) -> None:
        """Handle messages until the process, being idle, is to end; with `once`, only one."""
        mailbox, family = process.mailbox, process.family
        assert family is not None
        if mailbox._inbox or mailbox._kept:
            family.enter()
        left = 1 if once else ROUNDS
        while True:
            if not (mailbox._inbox or mailbox._kept):
                process.handling = message = result = None  # nor are they kept here
                interruption = None
                waiter = process.home.new_waiter(process)
                must_wait = mailbox.listen(waiter)
                try:
                    if must_wait:
                        process.idle = process.step is not None and process.exit_request is None
                        await waiter.wait(None)
                except BaseException as error:
                    if not family.put_off(error):
                        if process.handed_over is None:
                            raise
                        interruption = error
                finally:
                    process.idle = False
                    mailbox.stop_listening(waiter)
                del waiter
                rest, process.handed_over = process.handed_over, None
                if rest is not None:
                    try:
                        await self._finish(process, rest, interruption)
                    finally:
                        rest = interruption = None  # or that would know itself, by this frame
                elif process.exit_request is not None and not process.interrupted:
                    return
                process.interrupted = False
                process.depth = 0
                if mailbox._inbox or mailbox._kept:
                    family.enter()
                continue
            if mailbox._kept or mailbox.max_size:
                message = mailbox.take_nowait()
            else:
                message = mailbox._inbox.popleft()
            kind = type(message)
            process.handling = message
            process.handled_since = monotonic()
            try:
                if kind is Call:
                    if message.take():
                        result = await self.handle_call(message.request, message, process.state)
                        self._answer(process, message, result)
                    else:
                        mailbox.forget(message)
                else:
                    if kind is Cast:
                        result = await self.handle_cast(message.request, process.state)
                    else:
                        result = await self._handle_other(message, process.state)
                    if type(result) is Stop:
                        raise result
                    process.state = result
            except Stop as stop:
                self._stop(stop)
            except BaseExceptionGroup as group:  # of a task group that the handler was in
                self._reply(group)
                raise
            left -= 1
            if not left:
                process.handling = message = result = None
                if once:
                    return
                left = ROUNDS
                await checkpoint()  # who always finds a message must let others run

    async def _finish(
        self, process: Process, rest: HandedOver, interruption: BaseException | None
    ) -> None:
        """Do the rest of a call; `interruption` is what has come in before."""
        try:
            result = rest.outcome() if rest.is_over else await rest.finish(interruption)
            self._answer(process, rest.call, result)
            if interruption and rest.is_over:
                raise interruption  # the handler could not
        except Stop as stop:
            self._stop(stop)
        except BaseExceptionGroup as group:
            self._reply(group)
            raise
        finally:
            interruption = None  # or it would know itself, by this frame

    async def _handle_other(self, message: Any, state: S) -> Any:
        if type(message) is TaskEnd:
            return await self.handle_task_end(message.pid, message.status, message.result, state)
        return await self.handle_info(message, state)

    def _answer(self, process: Process, call: Call, result: Any) -> None:
        """Answer `call` as the handler's `result` says."""
        if type(result) is not tuple or len(result) != 2:
            raise self._no_answer(result)
        answer, process.state = result
        if answer is NO_REPLY:
            process.defer(call)
        elif not call.answer(answer):
            reply(call, answer)  # too late, which is noted there

    def _no_answer(self, result: Any) -> BaseException:
        if type(result) is Stop:
            return result
        return TypeError(
            f"expected {type(self).__name__}.handle_call to return (reply, state) or Stop,"
            f" got {type(result).__name__}"
        )

    def _stop(self, stop: Stop) -> None:
        self._reply(stop)
        self.stop(stop.reason)

    def _reply(self, end: Stop | BaseExceptionGroup) -> None:
        """Answer the call that is being handled as `end` says, or the first in it that does."""
        handling, first = self._started().handling, _first_answer(end)
        if isinstance(handling, Call) and first is not NO_REPLY:
            reply(handling, first)


def _first_answer(end: BaseException) -> Any:
    if isinstance(end, BaseExceptionGroup):
        answers = (_first_answer(error) for error in end.exceptions)
        return next((answer for answer in answers if answer is not NO_REPLY), NO_REPLY)
    return end.reply if isinstance(end, Stop) else NO_REPLY
