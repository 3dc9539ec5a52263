"""What every supervision is as a server: beside the user's class, which hears all else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar, final

from anyio import CancelScope

from fauxtp._actors.actor import children_of, started
from fauxtp._actors.serving import serve
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import NO_REPLY, Call
from fauxtp._core.process import Process
from fauxtp._core.protocols import Handlers, Startable
from fauxtp._supervision.changes import Changes, InLine
from fauxtp._supervision.child import Child, Expected, Failed, Question
from fauxtp._supervision.child_spec import ChildSpec
from fauxtp._supervision.children import Shelter
from fauxtp._supervision.intensity import Intensity, intensity_of
from fauxtp._supervision.restarts import Hooks
from fauxtp.registry import PID

__all__ = ["Beside", "Chief"]


class Chief(Startable, Handlers, Hooks, Protocol):
    """What the user's class of a supervisor has made."""

    max_restarts: int
    max_seconds: float


C = TypeVar("C", bound=Chief)


class Beside(ABC, Generic[C]):
    """The `fauxtp._core.protocols.Behaviour` of a supervisor: `chief` is what its class has made.

    Children are started in a shelter, and changed beside the supervisor's own work.
    """

    def __init__(self, chief: C) -> None:
        self._chief = chief
        self._shelter = Shelter()
        self._changes = Changes(self._fail)
        self._intensity: Intensity

    @property
    def trap_exit(self) -> bool:
        return self._chief.trap_exit

    @property
    def _process(self) -> Process:
        return started(self._chief)

    async def init(self) -> Any:
        state = await self._chief.init()
        self._intensity = intensity_of(self._chief)
        children_of(self._chief).start_soon(self._shelter.keep)
        await self._shelter.opened()
        await self._start_first()
        return state

    async def run(self, state: Any, /) -> Any:
        raise NotImplementedError("a supervisor serves")

    async def terminate(self, reason: ExitReason, state: Any, /) -> None:
        await self._chief.terminate(reason, state)

    def format_state(self, state: Any, /) -> Any:
        return self._chief.format_state(state)

    @final
    async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
        if type(request) is not Question and type(request) is not Expected:
            return await self._chief.handle_call(request, from_, state)
        try:
            answer = self._asked(request, from_)
            if type(answer) is not PID and answer is not NO_REPLY:
                answer = await answer
        except Exception as error:  # it is the asker's affair
            from_.fail(error)
            answer = NO_REPLY
        return answer, state

    async def handle_cast(self, request: Any, state: Any, /) -> Any:
        return await self._chief.handle_cast(request, state)

    async def handle_continue(self, request: Any, state: Any, /) -> Any:
        return await self._chief.handle_continue(request, state)

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any, /) -> Any:
        return await self._chief.handle_task_end(pid, status, result, state)

    @final
    async def handle_info(self, message: Any, state: Any, /) -> Any:
        if type(message) is Failed:
            raise message.error
        if self._hears_of_an_end(message):
            return state
        return await self._chief.handle_info(message, state)

    def _fauxtp_work(self, process: Process) -> Coroutine[Any, Any, None]:
        return serve(process)

    _fauxtp_can_be_stepped = True
    _fauxtp_may_wait = True

    @property
    def has_begun_to_end(self) -> bool:
        """Whether its children are ended, and it answers nobody any more. In any thread."""
        return self._changes.have_ended

    def _fauxtp_leave(self) -> Awaitable[None]:
        return self._end_children()

    async def _end_children(self) -> None:
        with CancelScope(shield=True):
            await self._changes.end()
            await self._stop_everybody()
            self._shelter.close()

    def _begin(
        self,
        work: Callable[[], Awaitable[Any]],
        of: InLine,
        from_: Call | None = None,
        revocable: bool = False,
    ) -> None:
        """Begin to change a child, and answer `from_` when that is done; see `Changes.begin`."""
        self._changes.begin(children_of(self._chief), of, work, from_, revocable=revocable)

    def _fail(self, error: BaseException) -> None:
        """Let the supervisor end by `error`."""
        self._process.mailbox.deliver(Failed(error))

    def restarts(self) -> dict[PID | None, int]:
        """Return how often each child was started again, by its PID; None are all without one.

        In any thread, and while there are changes.
        """
        found: dict[PID | None, int] = {}
        for child in self._ever_restarted():
            found[child.pid] = found.get(child.pid, 0) + child.restarts
        return found

    def waiting(self) -> list[tuple[ChildSpec, float]]:
        """Return whose restart waits, and when it comes, on the clock of the event loop.

        In any thread, and while there are changes.
        """
        times = [(child.spec, child.restarts_at) for child in self._ever_restarted()]
        return [(spec, at) for spec, at in times if at is not None]

    @abstractmethod
    def _ever_restarted(self) -> list[Child]:
        """Return the children that were started again, and maybe others."""

    @abstractmethod
    async def _start_first(self) -> None:
        """Check what the class says, and start the children that are there from the start."""

    def _asked(self, question: Any, from_: Call) -> Any:
        """Return the PID of who has begun, `NO_REPLY`, or what is to be awaited for the answer."""
        return self._answer(question, from_)

    @abstractmethod
    async def _answer(self, question: Question, from_: Call) -> Any:
        """Return the answer, or `NO_REPLY` if it comes later; raise what the asker gets."""

    @abstractmethod
    def _hears_of_an_end(self, message: Any) -> bool:
        """See to a child that has ended, if it is that which the message tells."""

    @abstractmethod
    async def _stop_everybody(self) -> None:
        """Stop the children, and wait for their ends."""
