"""Supervisor: starts its children, and starts them again when they end against the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fauxtp._actors.genserver import GenServer
from fauxtp._base.arguments import expect_text, unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.texts import shown
from fauxtp._core.calls import NO_REPLY, Call
from fauxtp._core.ports import Behaviour
from fauxtp._loops.current import give_way
from fauxtp._messaging.sending import call
from fauxtp._supervision.behaviour import Supervision
from fauxtp._supervision.child import Question
from fauxtp._supervision.child_spec import AutoShutdown, ChildInfo, ChildSpec, RestartStrategy
from fauxtp.registry import PID

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
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def child_specs(self) -> list[ChildSpec]:
        """Return the specs of the children, in the order in which they start."""
        return []

    def on_restart(self, child: ChildInfo, reason: ExitReason, count: int, /) -> object:
        """Hear that `child`, which ended by `reason`, is started again, for the `count`th time.

        What this raises is logged, and harms nobody; so with `on_give_up`.
        """

    def on_give_up(self, child: ChildInfo, reason: ExitReason, /) -> object:
        """Hear that `child`, which ended by `reason`, is given up, as it crashes too often.

        If it has no restart intensity of its own, the supervisor ends.
        """

    def child(self, id: str) -> PID | None:  # noqa: A002
        """Return the PID of the child `id`, or None if it does not run, or is not known."""
        process = self._fauxtp_process
        supervision = None if process is None else process.actor
        return supervision.child(id) if isinstance(supervision, Supervision) else None

    async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
        """Answer a call that is none of the questions to a supervisor: by an error."""
        what = f"expected a question for a supervisor, got {shown(request)}"
        from_.fail(ValueError(what))
        return NO_REPLY, state

    _fauxtp_keeps = ("run",)

    def _fauxtp_behaviour(self) -> Behaviour:
        return Supervision(self)

    def _fauxtp_specs(self) -> list[ChildSpec]:
        """Return the specs of the children, if they and the intensity make sense."""
        if not isinstance(self.strategy, RestartStrategy):
            raise unexpected("strategy", "a RestartStrategy", self.strategy)
        if not isinstance(self.auto_shutdown, AutoShutdown):
            raise unexpected("auto_shutdown", "an AutoShutdown", self.auto_shutdown)
        for name in ("max_restarts", "max_seconds"):
            if not isinstance(getattr(self, name), (int, float)):
                raise unexpected(name, "a number", getattr(self, name))
        if not (self.max_restarts >= 0 and self.max_seconds >= 0):
            raise ValueError(
                "expected max_restarts and max_seconds to be at least 0,"
                f" got {self.max_restarts} and {self.max_seconds}"
            )
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


async def which_children(supervisor: PID | str, timeout: float | None = USUAL) -> list[ChildInfo]:
    """Return what there is to tell of each child, in the order in which they start.

    The answer waits for changes that are under way, for a second at most: a child that takes
    longer to start has no PID in it. `timeout` is in seconds; None waits for ever.

    This and the other questions to a supervisor raise what `call` raises.
    """
    await give_way()
    children: list[ChildInfo] = await call(supervisor, Question("which"), timeout)
    return children


async def count_children(supervisor: PID | str, timeout: float | None = USUAL) -> dict[str, int]:
    """Return how many `"specs"`, `"active"`, `"supervisors"` and `"workers"` there are.

    It waits as `which_children` does.
    """
    children = await which_children(supervisor, timeout)
    supervisors = sum(issubclass(child.actor_class, Supervisor) for child in children)
    return {
        "specs": len(children),
        "active": sum(child.pid is not None for child in children),
        "supervisors": supervisors,
        "workers": len(children) - supervisors,
    }


async def start_child(supervisor: PID | str, spec: ChildSpec, timeout: float | None = None) -> PID:
    """Add a child, after the others, and return its PID when its `init` has finished.

    After `timeout` seconds, nobody waits for it any more, and it is started all the same.

    Raises `AlreadyStarted`, a `ValueError`, if there is a child of that id, `TypeError` if
    `spec` is no `ChildSpec`, and what its `init` raises.
    """
    await give_way()
    if not isinstance(spec, ChildSpec):
        raise unexpected("spec", "a ChildSpec", spec)
    pid: PID = await call(supervisor, Question("start", spec), timeout)
    return pid


async def terminate_child(
    supervisor: PID | str,
    id: str,  # noqa: A002
    timeout: float | None = None,
) -> None:
    """Stop the child `id`, also while it starts. Its spec stays, unless it is temporary.

    Raises `NoChild` if there is none of that id.
    """
    await give_way()
    await call(supervisor, Question("terminate", expect_text("id", id)), timeout)


async def restart_child(
    supervisor: PID | str,
    id: str,  # noqa: A002
    timeout: float | None = None,
) -> PID:
    """Start the child `id`, which does not run, and return its PID.

    Raises `NoChild` if there is none of that id, `AlreadyStarted`, a `ValueError`, if it runs,
    and what its `init` raises.
    """
    await give_way()
    question = Question("restart", expect_text("id", id))
    pid: PID = await call(supervisor, question, timeout)
    return pid


async def delete_child(
    supervisor: PID | str,
    id: str,  # noqa: A002
    timeout: float | None = None,
) -> None:
    """Forget the child `id`, which does not run.

    Raises `NoChild` if there is none of that id, and `AlreadyStarted`, a `ValueError`, if it
    runs.
    """
    await give_way()
    await call(supervisor, Question("delete", expect_text("id", id)), timeout)
