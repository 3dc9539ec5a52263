"""Actor: a process in Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, final

import anyio

from fauxtp import _loops
from fauxtp._actors.classes import check_class
from fauxtp._actors.lifecycle import OnExit, launch
from fauxtp._actors.of_class import of_class
from fauxtp._actors.verdicts import ActorExit
from fauxtp._base.arguments import expect_callable, expect_text, unexpected
from fauxtp._base.coroutines import without_effect
from fauxtp._base.events import CARRYING, wanted
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp._core.calls import NO_REPLY, Call
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._core.receiving import Pattern, receive
from fauxtp._core.running_process import current_process
from fauxtp._loops.current import give_way
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Startable

__all__ = ["Actor", "ActorHandle", "children_of", "expect_actor_class", "start_link", "started"]


@final
@record
class ActorHandle:
    """A started actor: `pid`, and the `cancel_scope` that ends it.

    >>> import anyio
    >>> from fauxtp import GenServer, wait_exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         handle = await GenServer.start_link(task_group=task_group)
    ...         handle.cancel_scope.cancel()
    ...         print(await wait_exit(handle.pid))
    >>> anyio.run(main)
    cancelled
    """

    pid: PID
    cancel_scope: anyio.CancelScope

    def __init__(self, pid: PID, cancel_scope: anyio.CancelScope) -> None:
        fill(self, pid, cancel_scope)


class Actor(ABC):
    """A process: it has a PID, a mailbox, and a state that only it touches.

    Subclass it and define `run`, which is called again and again with the state that it
    returned before. `init` makes the first state, `terminate` cleans up. An error in `init`
    or `run` ends the actor, and nobody else: whoever wants to know monitors it.

    Attributes may have any names but those that begin with `_fauxtp`, which are fauxtp's own:
    a class that defines one is refused with a `TypeError`.

    >>> import anyio
    >>> class Echo(Actor):
    ...     async def run(self, state):
    ...         await self.receive((("echo", PID, ANY), send))
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     async with anyio.create_task_group() as task_group:
    ...         echo = await Echo.start(task_group=task_group)
    ...         await send(echo, ("echo", mailbox.pid, "hello"))
    ...         print(await mailbox.receive((str, str.upper)))
    ...         exit(echo)
    >>> from fauxtp import ANY, Mailbox, exit, send
    >>> anyio.run(main)
    HELLO
    """

    mailbox_size: int = 0
    """How many messages wait before `send` does; 0 means any number."""

    trap_exit: bool = False
    """Whether the actor is sent an `Exit` where it would be ended by a link or by `exit`.

    It is also not cancelled when its supervisor ends it, but has the `shutdown` seconds of its
    `ChildSpec`. A server handles what lies in its mailbox by then, and ends by itself, with
    `"shutdown"`; what comes later is not handled. Another actor is sent an `Exit`, with the PID of
    its supervisor, and has to end then. Who does not trap exits is cancelled in the middle of its
    handler, and what lies in its mailbox is dropped.
    """

    _fauxtp_process: Process | None = None
    _fauxtp_keeps: ClassVar[Mapping[str, str]] = {}  # what else no subclass may define, and why

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)

    # To be defined by subclasses

    async def init(self) -> Any:
        """Return the first state.

        What it raises ends the actor, and is raised by whoever starts it; a `Stop` that it
        returns ends it, too. A cancel scope or a task group that is opened here must be closed
        here, too: what is to live as long as the actor belongs to `children`.
        """
        return {}

    @abstractmethod
    async def run(self, state: Any, /) -> Any:
        """Do one round of work, and return the state for the next.

        `state` is what `init`, or the round before, has returned. What it raises ends the actor.
        """

    @without_effect
    async def terminate(self, reason: ExitReason, state: Any, /) -> None:
        """Clean up. It runs once, at whatever end, if `init` had finished.

        `reason` is the exit reason, `state` what `run` returned last. The names of the actor
        are released afterwards, whatever happens here; what it raises is logged.
        """

    @without_effect
    def format_state(self, state: Any, /) -> Any:
        """Return what of `state` may be shown in the report of a crash; None, as here, is nothing.

        What a state contains may be nobody's business: `get_state` tells it to who asks, but a
        log only so much of it. If this raises, that is told in place of the state.
        """
        return None

    # For use inside the actor

    @property
    def pid(self) -> PID:
        """The PID of the actor. Raises `RuntimeError` before it is started."""
        return started(self).pid

    @property
    def children(self) -> anyio.abc.TaskGroup:
        """A task group that ends with the actor. An error in it ends the actor.

        It is one of anyio: a task in it that is cancelled by itself cancels the actor, and nobody
        is told why. In one of `start_soon_child`, that is an error.

        Raises `RuntimeError` before the actor is started, and outside of its event loop.
        """
        return children_of(self)

    def receive(
        self, *patterns: Pattern, timeout: float | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Take the first message that matches out of the mailbox; return what its handler says.

        `patterns` are pairs, `timeout` is in seconds, and it raises the same: see
        `Mailbox.receive`.
        """
        process = started(self)
        if wanted(CARRYING):
            from fauxtp._actors.receiving_for import receive_for  # noqa: PLC0415  (few need it)

            return receive_for(process, patterns, timeout)
        return receive(process.mailbox, patterns, timeout)

    def stop(self, reason: str = "normal") -> None:
        """End the actor. Called by the actor itself, this does not return.

        It counts as a normal end, whatever the words of `reason`. Raises `RuntimeError` before
        the actor is started, and `TypeError` if `reason` is no str.
        """
        process = started(self)
        why = ExitReason(expect_text("reason", reason))
        if current_process(own_task=True) is process:
            raise ActorExit(why)
        process.request_exit(why)

    def start_soon_child(
        self, fn: Callable[..., Coroutine[Any, Any, object]], *args: Any, name: str | None = None
    ) -> None:
        """Run `fn(*args)` in a task that ends with the actor, as `children.start_soon`.

        `name` is that of the task, for who debugs. An error in it ends the actor. Raises
        `RuntimeError` if the actor does not run, or not in this event loop, and `TypeError` if
        `fn` cannot be called.
        """
        children = children_of(self)
        expect_callable("fn", fn)
        if not started(self).home.is_asyncio:
            children.start_soon(fn, *args, name=name)
            return
        # Imported here, as it imports asyncio.
        from fauxtp._actors.child_task import child_task  # noqa: PLC0415

        begun: list[Coroutine[Any, Any, object]] = []
        try:
            children.start_soon(child_task(fn, begun), *args, name=name)
        except BaseException:
            for coroutine in begun:
                coroutine.close()  # as the group is over, nobody awaits it
            raise

    def reply_later(self, from_: Call, fn: Callable[..., Any], *args: Any) -> Any:
        """Answer a call by what `fn(*args)` returns, in a task that ends with the actor.

        A server does so by `return self.reply_later(from_, fn, *args), state`, and handles other
        messages meanwhile. `fn` may be async. An error in it is the caller's, as if it had been
        refused by `Raise(error)`, and ends nobody.

        Returns `NO_REPLY`. Raises `TypeError` if `from_` is no call or `fn` cannot be called.

        >>> import anyio
        >>> from fauxtp import GenServer, call, exit
        >>> class Divider(GenServer):
        ...     async def handle_call(self, request, from_, state):
        ...         return self.reply_later(from_, self.divide, *request), state
        ...     async def divide(self, one, other):
        ...         await anyio.sleep(0.01)
        ...         return one / other
        >>> async def main():
        ...     async with anyio.create_task_group() as task_group:
        ...         divider = await Divider.start(task_group=task_group)
        ...         try:
        ...             await call(divider, (6, 0))
        ...         except ZeroDivisionError as error:
        ...             print(error)
        ...         print(await call(divider, (6, 2)))
        ...         exit(divider)
        >>> anyio.run(main)
        division by zero
        3.0
        """
        if not isinstance(from_, Call):
            raise unexpected("from_", "a Call", from_)
        expect_callable("fn", fn)
        from fauxtp._actors.answer_by_task import answer_by  # noqa: PLC0415  (few need it)

        children_of(self).start_soon(answer_by, from_, fn, args)
        return NO_REPLY

    async def spawn_child_actor(
        self,
        actor_cls: type[Actor],
        *args: Any,
        on_exit: OnExit | None = None,
        register_as: str | None = None,
        **kwargs: Any,
    ) -> ActorHandle:
        """Start an actor of `actor_cls` that ends with this one; return its handle.

        The arguments, `on_exit` and `register_as` are those of `start_link`. Raises what that
        raises, and `RuntimeError` if this one does not run, or not in this event loop.
        """
        try:
            children = children_of(self)
            actor = expect_actor_class("actor_cls", actor_cls)(*args, **kwargs)
        except Exception:
            await give_way()
            raise
        return await start_link(actor, children, on_exit=on_exit, register_as=register_as)

    # What the runtime asks: see `fauxtp._core.protocols.Behaviour`

    _fauxtp_serves: bool = False  # whether `serve` does all the work
    _fauxtp_behaviour: Any = None  # of some classes, a method: makes one beside the actor
    _fauxtp_leave: Any = None  # likewise: does what comes before the end of the children

    def _fauxtp_work(self, process: Process) -> Coroutine[Any, Any, None] | None:
        return None

    @property
    def _fauxtp_can_be_stepped(self) -> bool:
        return False

    @property
    def _fauxtp_may_wait(self) -> bool:
        return True

    # Starting

    @of_class
    async def start(
        cls,
        *args: Any,
        task_group: _loops.AnyTaskGroup,
        register_as: str | None = None,
        **kwargs: Any,
    ) -> PID:
        """Start an actor in `task_group`; return its PID when its `init` has finished.

        The arguments go to the constructor. With `register_as`, it has that name before
        `init` runs.

        Raises what the constructor or `init` raises, and `NameTaken` if the name is taken.
        """
        try:
            actor = cls(*args, **kwargs)
        except Exception:
            await give_way()
            raise
        return (await launch(actor, task_group, register_as=register_as)).pid

    @of_class
    async def start_link(
        cls,
        *args: Any,
        task_group: _loops.AnyTaskGroup,
        on_exit: OnExit | None = None,
        register_as: str | None = None,
        **kwargs: Any,
    ) -> ActorHandle:
        """Do as `start` does; return the PID with a cancel scope that ends the actor.

        `task_group`, `register_as` and the arguments are those of `start`. At the very end,
        `on_exit(pid, reason)` is awaited. Raises what `start` raises.
        """
        try:
            actor = cls(*args, **kwargs)
        except Exception:
            await give_way()
            raise
        return await start_link(actor, task_group, on_exit=on_exit, register_as=register_as)


async def start_link(
    actor: Actor,
    task_group: _loops.AnyTaskGroup,
    *,
    on_exit: OnExit | None = None,
    register_as: str | None = None,
) -> ActorHandle:
    """Do as `Actor.start_link` does, whatever the class of `actor` has of that name."""
    process = await launch(actor, task_group, on_exit=on_exit, register_as=register_as)
    scope = process.scope  # None: it has ended already, and nothing can cancel it
    return ActorHandle(process.pid, anyio.CancelScope() if scope is None else scope.own_scope)


def started(actor: Startable) -> Process:
    """Return the process of `actor`, or raise `RuntimeError` if it was not started yet."""
    process: Process | None = actor._fauxtp_process
    if process is None:
        raise RuntimeError(f"this {type(actor).__name__} is not started")
    return process


def children_of(actor: Startable) -> anyio.abc.TaskGroup:
    """Do as `Actor.children` does, whatever the class of `actor` has of that name."""
    process: Process | None = actor._fauxtp_process
    scope = None if process is None else process.scope
    if process is None or scope is None or process.task is None:
        raise RuntimeError(f"this {type(actor).__name__} is not running")
    if process.phase is DEAD:
        raise RuntimeError(f"this {type(actor).__name__} has ended")
    if not process.home.is_here():
        raise RuntimeError(f"this {type(actor).__name__} runs in another event loop")
    return scope.children


def expect_actor_class(parameter: str, came: type[Actor]) -> type[Actor]:
    """Return `came`, or raise `TypeError` if it is no class of actors."""
    if not (isinstance(came, type) and issubclass(came, Actor)):
        raise unexpected(parameter, "a class of actors", came)
    return came
