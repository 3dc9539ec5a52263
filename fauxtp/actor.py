"""Actor: a process in Python, and its life from start to death."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope, get_cancelled_exc_class
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from fauxtp import registry
from fauxtp.arguments import expect_callable, unexpected
from fauxtp.calls import Call
from fauxtp.errors import MaxRestartsExceeded, NameTaken, ProcessExited
from fauxtp.hosting import run_in, turn
from fauxtp.logs import logger
from fauxtp.mailbox import Pattern
from fauxtp.process import CANCELLED, ExitReason, Phase, Process, current_process, enter
from fauxtp.registry import PID
from fauxtp.stack import TO_END, insist_on_room
from fauxtp.suspending import may_suspend
from fauxtp.waiting import current_home

__all__ = ["Actor", "ActorExit", "ActorHandle"]

ROUNDS = 64  # of `run`, before the event loop has a turn

OnExit = Callable[[PID, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ActorHandle:
    """A started actor: its PID, and the cancel scope that ends it."""

    pid: PID
    cancel_scope: CancelScope


class ActorExit(BaseException):
    """Ends the actor that raises it; `Actor.stop` does so."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Actor(ABC):
    """A process: it has a PID, a mailbox, and a state that only it touches.

    Subclass it and define `run`, which is called again and again with the state that it
    returned before. `init` makes the first state, `terminate` cleans up. An error in `init`
    or `run` ends the actor, and nobody else: whoever wants to know monitors it.

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
    """Whether the actor is sent an `Exit` where it would be ended by a link or by `exit`."""

    _process: Process | None = None

    # To be defined by subclasses

    async def init(self) -> Any:
        """Return the first state.

        A cancel scope or a task group that is opened here must be closed here, too: what is to
        live as long as the actor belongs to `children`.
        """
        return {}

    @abstractmethod
    async def run(self, state: Any) -> Any:
        """Do one round of work, and return the state for the next."""

    async def terminate(self, reason: str, state: Any) -> None:
        """Clean up. It runs once, at whatever end, if `init` had finished.

        `reason` is the exit reason, `state` what `run` returned last. The names of the actor
        are released afterwards, whatever happens here.
        """

    # For use inside the actor

    @property
    def pid(self) -> PID:
        """The PID of the actor. Raises `RuntimeError` before it is started."""
        return self._started().pid

    @property
    def children(self) -> TaskGroup:
        """A task group that ends with the actor. An error in it ends the actor.

        Raises `RuntimeError` before the actor is started, and outside of its event loop.
        """
        process = self._process
        if process is None or process.task is None or process.phase is Phase.DEAD:
            raise RuntimeError(f"this {type(self).__name__} is not running")
        if not process.home.is_here():
            raise RuntimeError(f"this {type(self).__name__} runs in another event loop")
        assert process.family is not None
        return process.family.children

    def receive(
        self, *patterns: Pattern, timeout: float | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Take the first message that matches out of the mailbox: see `Mailbox.receive`."""
        return self._started().mailbox.receive(*patterns, timeout=timeout)

    def stop(self, reason: str = "normal") -> None:
        """End the actor. Called by the actor itself, this does not return.

        It counts as a normal end, whatever the words of `reason`.
        """
        process = self._started()
        why = ExitReason(reason)
        if current_process(own_task=True) is process:
            raise ActorExit(why)
        process.request_exit(why)

    def start_soon_child(
        self, fn: Callable[..., Coroutine[Any, Any, object]], *args: Any, name: str | None = None
    ) -> None:
        """Run `fn(*args)` in a task that ends with the actor, as `children.start_soon`."""
        self.children.start_soon(fn, *args, name=name)

    async def spawn_child_actor(
        self, actor_cls: type[Actor], *args: Any, on_exit: OnExit | None = None, **kwargs: Any
    ) -> ActorHandle:
        """Start an actor that ends with this one; see `start_link`."""
        return await expect_actor_class("actor_cls", actor_cls).start_link(
            *args, task_group=self.children, on_exit=on_exit, **kwargs
        )

    def _work(self, process: Process) -> Coroutine[Any, Any, None] | None:
        """Return what does all the work, or None if `run` does it round by round."""
        return None

    @property
    def _can_be_stepped(self) -> bool:
        """Whether others may handle a call to it on the spot."""
        return False

    async def _leave(self) -> None:
        """Do what must be done before the children are cancelled."""

    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"this {type(self).__name__} is not started")
        return self._process

    # Starting

    @classmethod
    async def start(
        cls, *args: Any, task_group: TaskGroup, register_as: str | None = None, **kwargs: Any
    ) -> PID:
        """Start an actor in `task_group`; return its PID when its `init` has finished.

        The arguments go to the constructor. With `register_as`, it has that name before
        `init` runs.

        Raises what the constructor or `init` raises, and `NameTaken` if the name is taken.
        """
        actor = cls(*args, **kwargs)
        return (await launch(actor, task_group, register_as=register_as)).pid

    @classmethod
    async def start_link(
        cls,
        *args: Any,
        task_group: TaskGroup,
        on_exit: OnExit | None = None,
        register_as: str | None = None,
        **kwargs: Any,
    ) -> ActorHandle:
        """Do as `start` does; return the PID with a cancel scope that ends the actor.

        At the very end, `on_exit(pid, reason)` is awaited.
        """
        actor = cls(*args, **kwargs)
        process = await launch(actor, task_group, on_exit=on_exit, register_as=register_as)
        assert process.family is not None
        return ActorHandle(process.pid, process.family.scope)


def expect_actor_class(parameter: str, came: type[Actor]) -> type[Actor]:
    """Return `came`, or raise `TypeError` if it is no class of actors."""
    if not (isinstance(came, type) and issubclass(came, Actor)):
        raise unexpected(parameter, "a class of actors", came)
    return came


async def launch(
    actor: Actor,
    task_group: TaskGroup,
    *,
    on_exit: OnExit | None = None,
    register_as: str | None = None,
    supervisor: PID | None = None,
) -> Process:
    """Run `actor` in `task_group`, and return its process when its `init` has finished."""
    if actor._process is not None:
        raise RuntimeError(f"this {type(actor).__name__} was started before")
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    if not hasattr(type(task_group), "start_soon"):
        raise unexpected("task_group", "a task group", task_group)
    if on_exit is not None:
        expect_callable("on_exit", on_exit)
    insist_on_room(TO_END)  # to begin, and to end it again
    actor._process = process = Process(actor, home, supervisor)
    starter = current_process(own_task=True)
    if starter is not None:  # it cannot answer: whoever calls it meanwhile should know
        starter.waiting_for = waiting = Call(None, process.pid, starter.pid)
        process.on_started(lambda: waiting.answer(None))
    life = _Life(process, on_exit, register_as)
    try:
        run_in(task_group, process, life.live, actor._can_be_stepped)
        if process.phase is Phase.STARTING:
            ready = home.new_waiter()
            process.on_started(ready.wake)
            await ready.wait(None)
    except BaseException:
        life.abandon()
        raise
    finally:
        if starter is not None:
            starter.waiting_for = None
    if life.failure is not None:
        raise life.failure
    return process


class _Life:
    """What happens between start and death, in the actor's own task."""

    __slots__ = ("failure", "name", "on_exit", "process")

    def __init__(self, process: Process, on_exit: OnExit | None, name: str | None) -> None:
        self.process = process
        self.on_exit = on_exit
        self.name = name
        self.failure: BaseException | None = None  # of init, for whoever started the actor

    def abandon(self) -> None:
        """End a process whose starter does not wait for it any more."""
        if self.process.task is None:  # its task has not begun, and may never do so
            self.process.bury(CANCELLED)
        else:
            self.process.request_exit(CANCELLED)

    async def live(self, begins: bool) -> None:  # noqa: PLR0912, PLR0915
        # What an idle process awaits is its `_work`, and that is all there is in between:
        # each further coroutine would take as much memory as its mailbox and its PID.
        process = self.process
        actor = process.actor
        family = process.family
        if process.phase is Phase.DEAD or family is None:
            return
        enter(process)
        reason: ExitReason | None = None
        outer: BaseException | None = None
        try:
            try:
                async with family:  # on trio: a task group
                    if process.exit_request is not None or may_suspend(type(actor).init):
                        family.enter()
                    try:
                        if self.name is not None:
                            self._take_name(self.name)
                        process.state = await actor.init()
                        if process.step is not None:
                            family.leave()
                        process.started(Phase.RUNNING)
                        if begins and (process.step is None or len(process.mailbox)):
                            await turn()  # what comes now need not be over before `start` is
                        if process.exit_request is None:
                            if process.step is None:
                                family.enter()
                            work = actor._work(process)
                            if work is not None:
                                await work
                            else:
                                left = ROUNDS
                                while True:
                                    process.state = await actor.run(process.state)
                                    left -= 1
                                    if not left:
                                        left = ROUNDS
                                        await checkpoint()  # others must run, too
                    except ActorExit as error:  # one name for all: each takes room in the frame
                        reason = error.reason
                    except Exception as error:
                        reason = ExitReason.error(error)
                    finally:
                        if type(actor)._leave is not Actor._leave:
                            await actor._leave()
            except GeneratorExit:  # the event loop is gone: nothing can be awaited any more
                raise
            except get_cancelled_exc_class() as error:
                outer = error
            except BaseExceptionGroup as error:
                reason, outer = self._sort_out(error, reason)
            except Exception as error:  # a scope of its own is open, so the family's cannot end
                reason = ExitReason.error(error)
            except BaseException as error:
                reason, outer = ExitReason.error(error), error
            reason = reason or process.exit_request or CANCELLED
            outer = await self._close(reason) or outer
        finally:  # also if the event loop itself cancels `terminate`, which no shield prevents
            process.bury(reason or CANCELLED)
        if self.on_exit is not None:
            outer = await self._tell(self.on_exit, reason or CANCELLED) or outer
        if outer is not None:
            raise outer
        family.over()

    async def _close(self, reason: ExitReason) -> BaseException | None:
        """Do what comes between `run` and death; return what the task group must hear of."""
        process = self.process
        if process.phase is not Phase.RUNNING:
            self.failure = reason.exception or ProcessExited(process.pid, reason)
            return None
        process.phase = Phase.STOPPING
        fatal = self._crashed(reason)
        if type(self.process.actor).terminate is not Actor.terminate:
            fatal = await self._terminate(reason) or fatal
        return fatal

    def _sort_out(
        self, group: BaseExceptionGroup, reason: ExitReason | None
    ) -> tuple[ExitReason, BaseException | None]:
        """Return why the actor ended, and what of `group` is more than its own affair.

        `reason` is what is known already; errors that came after it are logged.
        """
        stops, others = group.split(ActorExit)
        errors, fatal = (None, None) if others is None else others.split(Exception)
        if stops is not None:  # `stop` was called in a task group of the actor's own
            reason = reason or _first(stops).reason
        if errors is not None and reason is not None:
            logger().error("%s failed as it ended", self._who(), exc_info=_plain(errors))
        elif errors is not None:
            reason = ExitReason.error(_plain(errors))
        if fatal is None:
            return reason or CANCELLED, None
        return reason or ExitReason.error(_plain(fatal)), _plain(fatal)

    def _take_name(self, name: str) -> None:
        if not registry.register(name, self.process.pid):
            raise NameTaken(name, registry.whereis(name))

    async def _terminate(self, reason: ExitReason) -> BaseException | None:
        with CancelScope(shield=True) as scope:
            self.process.closing_scope = scope
            if self.process.killed:
                scope.cancel()
            try:
                await self.process.actor.terminate(reason, self.process.state)
            except ActorExit:
                pass  # it ends already
            except Exception:
                logger().exception("terminate of %s failed", self._who())
            except GeneratorExit:
                raise
            except get_cancelled_exc_class():
                raise
            except BaseException as fatal:
                return fatal
        return None

    async def _tell(self, on_exit: OnExit, reason: ExitReason) -> BaseException | None:
        with CancelScope(shield=True):
            try:
                await on_exit(self.process.pid, reason)
            except Exception:
                logger().exception("on_exit of %s failed", self._who())
            except GeneratorExit:
                raise
            except get_cancelled_exc_class():
                raise
            except BaseException as fatal:
                return fatal
        return None

    def _crashed(self, reason: ExitReason) -> BaseException | None:
        """Log the crash, if it is one and its own; return what the task group must hear of."""
        if reason.exception is None or reason is self.process.exit_request:
            return None
        # Before `terminate`, which may give up the name.
        logger().error("%s crashed", self._who(), exc_info=reason.exception)
        escalates = isinstance(reason.exception, MaxRestartsExceeded)
        return reason.exception if escalates and self.process.supervisor is None else None

    def _who(self) -> str:
        names = registry.default.names(self.process.pid)
        called = f" {', '.join(map(repr, names))}" if names else ""
        return f"{type(self.process.actor).__name__}{called} {self.process.pid!r}"


def _plain(group: BaseExceptionGroup) -> BaseException:
    return group.exceptions[0] if len(group.exceptions) == 1 else group


def _first(stops: BaseExceptionGroup[ActorExit]) -> ActorExit:
    first: BaseException = stops
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, ActorExit)
    return first
