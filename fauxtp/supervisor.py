"""Supervisor: starts its children, and starts them again when they end against the plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, final

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
)
from anyio.abc import TaskGroup

from fauxtp.arguments import expect_text, unexpected
from fauxtp.children import ChildInfo, ChildSpec, RestartStrategy, RestartType
from fauxtp.errors import MaxRestartsExceeded, NoChild, ReceiveTimeout
from fauxtp.genserver import GenServer
from fauxtp.life import launch
from fauxtp.logs import logger
from fauxtp.messaging import call
from fauxtp.monitors import wait_exit
from fauxtp.process import ExitReason, Process
from fauxtp.registry import PID, Ref
from fauxtp.waiting import give_way

__all__ = [
    "Supervisor",
    "count_children",
    "delete_child",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]

_SHUTDOWN = ExitReason("shutdown")


@final
class _ChildDown:
    """The message that a child has ended."""

    __slots__ = ("id", "pid", "reason")

    def __init__(self, id: str, pid: PID, reason: ExitReason) -> None:  # noqa: A002
        self.id, self.pid, self.reason = id, pid, reason


@final
class _Child:
    """A child: its spec, and its process while it has one."""

    __slots__ = ("process", "spec", "watch")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: Process | None = None
        self.watch = Ref()

    @property
    def pid(self) -> PID | None:
        return None if self.process is None else self.process.pid


@final
class _Refusal:
    """An answer that is an error of the asker's, and none of the supervisor's."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Supervisor(GenServer[Any, Any]):
    """A process whose work is to keep others running.

    Subclass it and define `child_specs`. The children start in order, each after the `init`
    of the one before, and stop in reverse order. One that ends is started again as its
    `RestartType` says, with those of its siblings that the `strategy` names, when its
    predecessor is gone. More than `max_restarts` of these within `max_seconds` end the
    supervisor with `MaxRestartsExceeded`.

    >>> import anyio
    >>> class Store(GenServer):
    ...     pass
    >>> class Stores(Supervisor):
    ...     def child_specs(self):
    ...         return [ChildSpec("store", Store, register_as="kvstore")]
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Stores.start(task_group=task_group, register_as="stores")
    ...         print([child.id for child in await which_children("stores")])
    ...         print(whereis("kvstore") is not None)
    ...         exit("stores")
    >>> from fauxtp import exit, whereis
    >>> anyio.run(main)
    ['store']
    True
    """

    strategy: RestartStrategy = RestartStrategy.ONE_FOR_ONE
    max_restarts: int = 3
    max_seconds: float = 5.0

    def child_specs(self) -> list[ChildSpec]:
        """Return the specs of the children, in the order in which they start."""
        return []

    def child(self, id: str) -> PID | None:  # noqa: A002
        """Return the PID of the child `id`, or None if it does not run, or is not known."""
        child = self._by_id.get(id)
        return None if child is None else child.pid

    # Life

    async def init(self) -> Any:
        self._by_id: dict[str, _Child] = {}
        self._restarts: deque[float] = deque()
        self._all_stopped, self._hosted = Event(), Event()
        self._check_itself()
        specs = self.child_specs()
        _check_specs(specs)
        self.children.start_soon(self._host_children)
        await self._hosted.wait()
        for spec in specs:
            self._by_id[spec.id] = child = _Child(spec)
            await self._start(child)

    def _check_itself(self) -> None:
        if not isinstance(self.strategy, RestartStrategy):
            raise unexpected("strategy", "a RestartStrategy", self.strategy)
        for name in ("max_restarts", "max_seconds"):
            if not isinstance(getattr(self, name), (int, float)):
                raise unexpected(name, "a number", getattr(self, name))
        if not (self.max_restarts >= 0 and self.max_seconds >= 0):
            raise ValueError(
                "expected max_restarts and max_seconds to be at least 0,"
                f" got {self.max_restarts} and {self.max_seconds}"
            )

    async def _host_children(self) -> None:
        # Shielded: when everything is cancelled, the children still stop one after the other.
        with CancelScope(shield=True):
            async with create_task_group() as nursery:
                self._nursery: TaskGroup = nursery
                self._hosted.set()
                await self._all_stopped.wait()

    def _leave(self) -> Awaitable[None]:
        return self._end_children()

    async def _end_children(self) -> None:
        with CancelScope(shield=True):
            await self._stop_all(list(getattr(self, "_by_id", {}).values()))
            if hasattr(self, "_all_stopped"):
                self._all_stopped.set()

    async def handle_info(self, message: Any, state: Any) -> Any:
        if isinstance(message, _ChildDown):
            child = self._by_id.get(message.id)
            # One that was stopped meanwhile, or started anew, is no news.
            if child is not None and child.pid is message.pid:
                child.process = None
                await self._child_ended(child, message.reason)
        return state

    # Starting and stopping

    async def _start(self, child: _Child) -> None:
        spec = child.spec
        actor = spec.actor_class(*spec.args, **spec.kwargs)
        try:
            child.process = process = await launch(
                actor, self._nursery, register_as=spec.register_as, supervisor=self.pid
            )
        except get_cancelled_exc_class():
            child.process = actor._process  # it has yet to end, before the older ones
            raise
        mailbox = self._started().mailbox

        def tell(pid: PID, reason: ExitReason) -> None:
            mailbox.deliver(_ChildDown(spec.id, pid, reason))

        if not process.watch(child.watch, tell):
            assert process.reason is not None
            tell(process.pid, process.reason)

    async def _stop_all(self, children: list[_Child]) -> None:
        for child in reversed(children):
            await self._stop_child(child)

    async def _stop_child(self, child: _Child) -> None:
        process = child.process
        if process is None:
            return
        process.watchers.pop(child.watch, None)  # what was asked for is no news
        process.request_exit(_SHUTDOWN)
        try:
            await wait_exit(process.pid, child.spec.shutdown)
        except ReceiveTimeout:
            process.kill(_SHUTDOWN)
            await wait_exit(process.pid)
        child.process = None  # only now: if this is cancelled, `_leave` has to go on with it

    async def _child_ended(self, child: _Child, reason: ExitReason) -> None:
        if not _must_restart(child.spec.restart, reason):
            if child.spec.restart is RestartType.TEMPORARY:
                del self._by_id[child.spec.id]
            return
        while True:
            self._count_restart(child, reason)
            group = self._fate_of(child)
            await self._stop_all(group)
            try:
                await self._start_again(group)
            except Exception as error:  # an init that fails is one more crash
                logger().exception(
                    "child %r of %r could not be restarted", child.spec.id, self.pid
                )
                reason = ExitReason.error(error)
            else:
                return

    async def _start_again(self, group: list[_Child]) -> None:
        for child in group:
            if child.spec.restart is RestartType.TEMPORARY:
                del self._by_id[child.spec.id]
            elif child.process is None:
                await self._start(child)

    def _fate_of(self, child: _Child) -> list[_Child]:
        """Return whom the strategy restarts with `child`, in order."""
        everyone = list(self._by_id.values())
        match self.strategy:
            case RestartStrategy.ONE_FOR_ONE:
                return [child]
            case RestartStrategy.ONE_FOR_ALL:
                return everyone
            case RestartStrategy.REST_FOR_ONE:
                return everyone[everyone.index(child) :]

    def _count_restart(self, child: _Child, reason: ExitReason) -> None:
        now = current_time()
        self._restarts.append(now)
        while self._restarts[0] < now - self.max_seconds:
            self._restarts.popleft()
        if len(self._restarts) > self.max_restarts:
            raise MaxRestartsExceeded(
                child.spec.id, self.max_restarts, self.max_seconds
            ) from reason.exception

    # What others ask

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        # Anybody may send anything: what is no question is not looked at more closely.
        is_question = type(request) is tuple and request and type(request[0]) is str
        match request if is_question else None:
            case ("$which_children",):
                answer: Any = [self._info(child) for child in self._by_id.values()]
            case ("$count_children",):
                answer = self._count()
            case ("$start_child", ChildSpec() as spec):
                answer = await self._add(spec)
            case ("$terminate_child" | "$restart_child" | "$delete_child" as what, str(id_)):
                answer = await self._change(what, id_)
            case _:
                answer = _Refusal(ValueError("expected a question for a supervisor, got another"))
        return answer, state

    def _info(self, child: _Child) -> ChildInfo:
        return ChildInfo(child.spec.id, child.pid, child.spec.actor_class, child.spec.restart)

    def _count(self) -> dict[str, int]:
        children = self._by_id.values()
        supervisors = sum(issubclass(child.spec.actor_class, Supervisor) for child in children)
        return {
            "specs": len(children),
            "active": sum(child.process is not None for child in children),
            "supervisors": supervisors,
            "workers": len(children) - supervisors,
        }

    async def _add(self, spec: ChildSpec) -> PID | _Refusal | None:
        if spec.id in self._by_id:
            return _Refusal(ValueError(f"{self.pid!r} has a child {spec.id!r} already"))
        self._by_id[spec.id] = child = _Child(spec)
        try:
            await self._start(child)
        except Exception as error:
            del self._by_id[spec.id]
            return _Refusal(error)
        return child.pid

    async def _change(self, what: str, id_: str) -> PID | _Refusal | None:
        child = self._by_id.get(id_)
        if child is None:
            return _Refusal(NoChild(self.pid, id_))
        if what == "$terminate_child":
            await self._stop_child(child)
            if child.spec.restart is RestartType.TEMPORARY:
                del self._by_id[id_]
        elif child.process is not None:
            return _Refusal(ValueError(f"child {id_!r} of {self.pid!r} is running"))
        elif what == "$delete_child":
            del self._by_id[id_]
        else:
            try:
                await self._start(child)
            except Exception as error:
                return _Refusal(error)
        return child.pid


def _check_specs(specs: list[ChildSpec]) -> None:
    if not isinstance(specs, Sequence):
        raise unexpected("child_specs", "a list of ChildSpecs", specs)
    seen = set()
    for spec in specs:
        if not isinstance(spec, ChildSpec):
            raise unexpected("each of child_specs", "a ChildSpec", spec)
        if spec.id in seen:
            raise ValueError(f"two children have the id {spec.id!r}")
        seen.add(spec.id)


def _must_restart(restart: RestartType, reason: ExitReason) -> bool:
    if restart is RestartType.TRANSIENT:
        return reason.abnormal
    return restart is RestartType.PERMANENT


async def _ask(supervisor: PID | str, request: tuple[Any, ...]) -> Any:
    answer = await call(supervisor, request, timeout=None)
    if isinstance(answer, _Refusal):
        raise answer.error
    return answer


async def which_children(supervisor: PID | str) -> list[ChildInfo]:
    """Return what there is to tell of each child, in the order in which they start.

    This and the other questions to a supervisor raise what `call` raises.
    """
    await give_way()
    children: list[ChildInfo] = await _ask(supervisor, ("$which_children",))
    return children


async def count_children(supervisor: PID | str) -> dict[str, int]:
    """Return how many `"specs"`, `"active"`, `"supervisors"` and `"workers"` there are."""
    await give_way()
    counts: dict[str, int] = await _ask(supervisor, ("$count_children",))
    return counts


async def start_child(supervisor: PID | str, spec: ChildSpec) -> PID:
    """Add a child, after the others, and return its PID when its `init` has finished.

    Raises `ValueError` if there is a child of that id, `TypeError` if `spec` is no
    `ChildSpec`, and what its `init` raises.
    """
    await give_way()
    if not isinstance(spec, ChildSpec):
        raise unexpected("spec", "a ChildSpec", spec)
    pid: PID = await _ask(supervisor, ("$start_child", spec))
    return pid


async def terminate_child(supervisor: PID | str, id: str) -> None:  # noqa: A002
    """Stop the child `id`. Its spec stays, unless it is temporary.

    Raises `NoChild` if there is none of that id.
    """
    await give_way()
    await _ask(supervisor, ("$terminate_child", expect_text("id", id)))


async def restart_child(supervisor: PID | str, id: str) -> PID:  # noqa: A002
    """Start the child `id`, which does not run, and return its PID.

    Raises `NoChild` if there is none of that id, `ValueError` if it runs, and what its
    `init` raises.
    """
    await give_way()
    pid: PID = await _ask(supervisor, ("$restart_child", expect_text("id", id)))
    return pid


async def delete_child(supervisor: PID | str, id: str) -> None:  # noqa: A002
    """Forget the child `id`, which does not run.

    Raises `NoChild` if there is none of that id, and `ValueError` if it runs.
    """
    await give_way()
    await _ask(supervisor, ("$delete_child", expect_text("id", id)))
