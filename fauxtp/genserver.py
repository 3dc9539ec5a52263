"""GenServer: a process that answers calls, handles casts, and takes other messages."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, final

from fauxtp.actor import Actor, ActorExit
from fauxtp.calls import NO_REPLY, Call, Cast, reply
from fauxtp.handoff import HandedOver
from fauxtp.process import ExitReason, Process
from fauxtp.registry import PID
from fauxtp.task import Task, TaskEnd

__all__ = ["NO_REPLY", "GenServer", "Stop"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # at run time it would cost 4 ms, and gives nothing

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

    async def handle_call(self, request: R, from_: Any, state: S) -> Any:
        """Answer a call: return `(reply, state)`.

        To answer later, return `(NO_REPLY, state)` and call `reply(from_, value)` when the
        answer is there; `from_` is the `Call`. To answer and end, raise or return
        `Stop(reason, reply=…)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle_call for {request!r}")

    async def handle_cast(self, request: R, state: S) -> S:
        """Handle a request that nobody waits for; return the state."""
        return state

    async def handle_info(self, message: Any, state: S) -> S:
        """Handle any other message; return the state."""
        return state

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: S) -> S:
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

        task = Task(work, notify=self._started().mailbox.deliver)
        handle = await task.launch(self.children)
        return handle.pid

    # The loop

    async def run(self, state: S) -> S:
        process = self._started()
        message = await self._next(process)
        state = process.state  # calls may have been handled without this task
        kind = type(message)
        try:
            if kind is Call or kind is HandedOver:
                if kind is Call:
                    if not message.take():
                        return state
                    result = await self.handle_call(message.request, message, state)
                else:
                    result = await message.finish(process.interruption)
                    message = message.call
                if type(result) is not tuple or len(result) != 2:
                    raise self._no_answer(result)
                answer, state = result
                if answer is NO_REPLY:
                    process.defer(message)
                elif not message.answer(answer):
                    reply(message, answer)  # too late, which is noted there
            else:
                if kind is Cast:
                    after: Any = await self.handle_cast(message.request, state)
                elif kind is TaskEnd:
                    after = await self.handle_task_end(
                        message.pid, message.status, message.result, state
                    )
                else:
                    after = await self.handle_info(message, state)
                if isinstance(after, Stop):
                    raise after
                state = after
        except Stop as stop:
            self._stop(stop)
        process.handling = None
        return state

    async def _next(self, process: Process) -> Any:
        """Return the next message, or what is left of a call that somebody has begun."""
        mailbox = process.mailbox
        while not (mailbox._inbox or mailbox._kept):
            process.idle = type(self).run is GenServer.run
            process.interruption = None
            try:
                await mailbox.wait_to_take()
            except BaseException as error:
                if process.handed_over is None:
                    raise
                process.interruption = error
            finally:
                process.idle = False
            rest = process.handed_over
            if rest is not None:
                process.handed_over = None
                return rest
        message = mailbox.take_nowait()
        process.depth = 0
        process.handling = message
        process.handled_since = monotonic()
        return message

    def _no_answer(self, result: Any) -> BaseException:
        if type(result) is Stop:
            return result
        return TypeError(
            f"expected {type(self).__name__}.handle_call to return (reply, state) or Stop,"
            f" got {type(result).__name__}"
        )

    def _stop(self, stop: Stop) -> None:
        handling = self._started().handling
        if isinstance(handling, Call) and stop.reply is not NO_REPLY:
            reply(handling, stop.reply)
        self.stop(stop.reason)
