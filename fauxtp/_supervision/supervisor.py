"""Supervisor: starts its children, and starts them again when they end against the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fauxtp._base.arguments import expect_text, unexpected
from fauxtp._core.mailbox import find_elsewhere, not_here
from fauxtp._core.process import find_process
from fauxtp._loops.current import give_way
from fauxtp._messaging.addresses import find_pid
from fauxtp._messaging.sending import call
from fauxtp._supervision.any_supervisor import AnySupervisor
from fauxtp._supervision.child import Question
from fauxtp._supervision.child_spec import AutoShutdown, ChildInfo, ChildSpec, RestartStrategy
from fauxtp._supervision.supervision import Supervision
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Behaviour

__all__ = [
    "Supervisor",
    "count_children",
    "delete_child",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]

USUAL = 5.0  # seconds to wait for what a supervisor knows


class Supervisor(AnySupervisor):
    """A process whose work is to keep others running.

    Subclass it and define `child_specs`. The children start in order, each after the `init`
    of the one before, and stop in reverse order. One that ends is started again as its
    `RestartType` says, with those of its siblings that the `strategy` names, when its
    predecessor is gone. More than `max_restarts` of these within `max_seconds` end the
    supervisor with `MaxRestartsExceeded`.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, whereis
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
    >>> anyio.run(main)
    ['store']
    True
    """

    strategy: RestartStrategy = RestartStrategy.ONE_FOR_ONE
    """Which children are started again with one that has ended: unless said, it alone."""

    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    """Whether the end of `significant` children is that of the supervisor: unless said, never."""

    def child_specs(self) -> list[ChildSpec]:
        """Return the specs of the children, in the order in which they start.

        What it raises keeps the supervisor from starting, and is raised by whoever starts it.
        """
        return []

    def child(self, id: str) -> PID | None:  # noqa: A002
        """Return the PID of the child `id`, or None if it does not run, or is not known.

        It is for code of the supervisor itself, and raises nothing; others ask `which_children`.
        """
        process = self._fauxtp_process
        supervision = None if process is None else process.actor
        return supervision.child(id) if isinstance(supervision, Supervision) else None

    _fauxtp_keeps: ClassVar = {"max_children": "that is for a DynamicSupervisor"}

    def _fauxtp_behaviour(self) -> Behaviour:
        return Supervision(self)

    def _fauxtp_specs(self) -> list[ChildSpec]:
        """Return the specs of the children, if they make sense."""
        if not isinstance(self.strategy, RestartStrategy):
            raise unexpected("strategy", "a RestartStrategy", self.strategy)
        if not isinstance(self.auto_shutdown, AutoShutdown):
            raise unexpected("auto_shutdown", "an AutoShutdown", self.auto_shutdown)
        specs = self.child_specs()
        _check_specs(specs)
        for spec in specs:
            self._fauxtp_check(spec)
        return specs

    def _fauxtp_check(self, spec: ChildSpec) -> None:
        if spec.significant and self.auto_shutdown is AutoShutdown.NEVER:
            raise ValueError(
                f"expected {spec.id!r} not to be significant: its supervisor does not shut down"
            )


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


async def _ask(supervisor: PID | str, question: Question, timeout: float | None) -> Any:
    """Return the answer to `question`, which is for supervisors: it would end other servers."""
    try:
        pid = find_pid(supervisor)
        process = None if pid is None else find_process(pid)
        if process is not None and not issubclass(process.kind, AnySupervisor):
            kind = process.kind.__name__
            raise TypeError(f"expected {supervisor!r} to be a supervisor, got {kind}")
        if process is None and pid is not None and find_elsewhere(pid) is not None:
            raise not_here(supervisor, pid)  # specs and errors are of this program
    except (TypeError, ValueError):
        await give_way()
        raise
    return await call(supervisor, question, timeout)


async def which_children(supervisor: PID | str, timeout: float | None = USUAL) -> list[ChildInfo]:
    """Return what there is to tell of each child, in the order in which they start.

    The answer waits for changes that are under way, for a second at most: a child that takes
    longer to start has no PID in it. `supervisor` is a PID or a name. `timeout` is in seconds;
    None waits for ever.

    Raises `TypeError` if the process is no supervisor, `ValueError` if it is of another node of a
    cluster, and what `call` raises, as do the other questions to a supervisor.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         await start_child("top", ChildSpec("worker", GenServer))
    ...         for child in await which_children("top"):
    ...             print(child.id, child.restarts, child.pid is not None)
    ...         exit("top")
    >>> anyio.run(main)
    worker 0 True
    """
    await give_way()
    children: list[ChildInfo] = await _ask(supervisor, Question("which"), timeout)
    return children


async def count_children(supervisor: PID | str, timeout: float | None = USUAL) -> dict[str, int]:
    """Return how many `"specs"`, `"active"`, `"supervisors"` and `"workers"` there are.

    Of `supervisor`, a PID or a name; "active" are those that run. It waits for `timeout` seconds,
    and raises, as `which_children` does. Raises what `call` raises.

    >>> import anyio
    >>> from fauxtp import exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         print(await count_children("top"))
    ...         exit("top")
    >>> anyio.run(main)
    {'specs': 0, 'active': 0, 'supervisors': 0, 'workers': 0}
    """
    children = await which_children(supervisor, timeout)
    supervisors = sum(issubclass(child.actor_class, AnySupervisor) for child in children)
    return {
        "specs": len(children),
        "active": sum(child.pid is not None for child in children),
        "supervisors": supervisors,
        "workers": len(children) - supervisors,
    }


async def start_child(supervisor: PID | str, spec: ChildSpec, timeout: float | None = None) -> PID:
    """Add a child to `supervisor`, after the others; return its PID when its `init` has finished.

    After `timeout` seconds, nobody waits for it any more, and it is started all the same.

    Raises `AlreadyStarted`, a `ValueError`, if there is a child of that id, `TypeError` if
    `spec` is no `ChildSpec`, what its `init` raises, and what `call` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, whereis
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         spec = ChildSpec("store", GenServer, register_as="store")
    ...         print(await start_child("top", spec) is whereis("store"))
    ...         exit("top")
    >>> anyio.run(main)
    True
    """
    if not isinstance(spec, ChildSpec):
        await give_way()
        raise unexpected("spec", "a ChildSpec", spec)
    pid: PID = await _ask(supervisor, Question("start", spec), timeout)
    return pid


async def terminate_child(
    supervisor: PID | str,
    id: str | PID,  # noqa: A002
    timeout: float | None = None,
) -> None:
    """Stop the child `id` of `supervisor`, also while it starts.

    Its spec stays, unless it is temporary. It may be known by its PID, too; that of a
    `DynamicSupervisor`, by its PID only. After `timeout` seconds, nobody waits for its end any
    more.

    Raises `NoChild` if there is none of that id or PID, `TypeError` if `id` is neither, and what
    `call` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, is_alive
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         worker = await start_child("top", ChildSpec("worker", GenServer))
    ...         await terminate_child("top", "worker")
    ...         print(is_alive(worker), [child.pid for child in await which_children("top")])
    ...         exit("top")
    >>> anyio.run(main)
    False [None]
    """
    await give_way()
    child = id if type(id) is PID else expect_text("id", id)
    await _ask(supervisor, Question("terminate", child), timeout)


async def restart_child(
    supervisor: PID | str,
    id: str,  # noqa: A002
    timeout: float | None = None,
) -> PID:
    """Start the child `id` of `supervisor`, which does not run, and return its PID.

    After `timeout` seconds, nobody waits for it any more, and it is started all the same.

    Raises `NoChild` if there is none of that id, `AlreadyStarted`, a `ValueError`, if it runs,
    what its `init` raises, and what `call` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, is_alive
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         await start_child("top", ChildSpec("worker", GenServer))
    ...         await terminate_child("top", "worker")
    ...         print(is_alive(await restart_child("top", "worker")))
    ...         exit("top")
    >>> anyio.run(main)
    True
    """
    await give_way()
    question = Question("restart", expect_text("id", id))
    pid: PID = await _ask(supervisor, question, timeout)
    return pid


async def delete_child(
    supervisor: PID | str,
    id: str,  # noqa: A002
    timeout: float | None = None,
) -> None:
    """Let `supervisor` forget the child `id`, which does not run, within `timeout` seconds.

    Raises `NoChild` if there is none of that id, `AlreadyStarted`, a `ValueError`, if it runs,
    and what `call` raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         await start_child("top", ChildSpec("worker", GenServer))
    ...         await terminate_child("top", "worker")
    ...         await delete_child("top", "worker")
    ...         print(await which_children("top"))
    ...         exit("top")
    >>> anyio.run(main)
    []
    """
    await give_way()
    await _ask(supervisor, Question("delete", expect_text("id", id)), timeout)
