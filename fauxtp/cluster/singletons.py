"""Singletons: children that run on one node of a cluster, whichever has their name."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

import anyio

from fauxtp._base.arguments import kind_of, unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.process import Process, find_process
from fauxtp._messaging.exits import wait_exit
from fauxtp._supervision.child_spec import ChildSpec, RestartType
from fauxtp._supervision.dynamic_supervisor import DynamicSupervisor
from fauxtp._supervision.supervisor import start_child, terminate_child
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._names.claims import was_ended
from fauxtp.cluster._names.cluster_name import ClusterName
from fauxtp.errors import NameTaken, NoChild
from fauxtp.registry import PID

__all__ = ["singleton"]

AGAIN: Final = 0.1  # seconds, if somebody was quicker to take the name
TO_STOP: Final = 1.0  # seconds, beside those that the child has


def singleton(spec: ChildSpec) -> ChildSpec:
    """Return the spec of a child that runs on one node of a cluster, as `spec` tells.

    Its `register_as` is a name of the cluster. Where supervisors of several nodes have such a
    child, each waits in line for the name; whoever gets it starts the child. When that has ended,
    or its node is gone, or leaves, another starts it. Each supervisor takes it for a child that
    runs: it is what waits in line, and has the child below it.

    If the child ends by itself, this ends too, and is started again by the rules of `spec`: its
    restart type, intensity and backoff. If the name is lost, the child is ended, has its
    `shutdown` for that, and this stands in line again, which counts as no restart.

    Raises `TypeError` if `spec` is no `ChildSpec`, and `ValueError` if its `register_as` is no
    name of a cluster.

    >>> from fauxtp import GenServer, Supervisor, call, exit
    >>> from fauxtp.testing import cluster
    >>> class Till(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return f"{request} paid", state
    >>> class Shop(Supervisor):
    ...     def __init__(self, cluster):
    ...         self.cluster = cluster
    ...     def child_specs(self):
    ...         name = self.cluster.name("till")
    ...         return [singleton(ChildSpec("till", Till, register_as=name))]
    >>> async def main():
    ...     async with cluster("a", "b") as (a, b), anyio.create_task_group() as task_group:
    ...         for one in (a, b):
    ...             await Shop.start(one, task_group=task_group)
    ...         print(await call(b.name("till"), "tea", wait=5))
    ...         task_group.cancel_scope.cancel()
    >>> anyio.run(main)
    tea paid
    """
    if not isinstance(spec, ChildSpec):
        raise unexpected("spec", "a ChildSpec", spec)
    name = spec.register_as
    if not isinstance(name, ClusterName):
        expected = f"expected the register_as of {spec.id!r} to be a name of a cluster"
        raise ValueError(f"{expected}, got {kind_of(name)}")
    return replace(
        spec,
        actor_class=Singleton,
        args=(spec, name),
        kwargs={},
        shutdown=spec.shutdown + TO_STOP,
        register_as=None,
        start_timeout=None,
    )


@final
class Singleton(DynamicSupervisor):
    """Waits in line for a name, and has one child while it has that."""

    max_children: int | None = 1

    def __init__(self, spec: ChildSpec, name: ClusterName) -> None:
        self._spec = replace(
            spec,
            restart=RestartType.TEMPORARY,  # it is this that is started again
            backoff=None,
            max_restarts=None,
            significant=False,
            register_as=name.noting(self._begins),
        )
        self._name = name
        self._names = name.names
        self._child: Process | None = None  # kept when it has ended: it knows why

    async def init(self) -> None:
        self.start_soon_child(self._stand_in_line)

    def _begins(self, pid: PID) -> None:
        self._child = find_process(pid)

    async def _stand_in_line(self) -> None:
        reason: ExitReason | None = None
        try:
            while reason is None:
                await self._names.wait_free(self._name.name)
                self._child = None
                reason = await self._run_child()
        except Exception as error:  # of an `init`
            if isinstance(error, NoConnection) and self._names.is_left:
                return  # nobody here has a name of the cluster any more
            reason = ExitReason.error(error)
        else:
            reason = ExitReason(str(reason), abnormal=reason.abnormal)  # its crash is logged
        process = find_process(self.pid)
        if process is not None:
            process.request_exit(reason)

    async def _run_child(self) -> ExitReason | None:
        """Return why the child has ended, or None if it has not got the name, or has lost it."""
        try:
            pid = await start_child(self.pid, self._spec)
        except NameTaken as taken:
            if taken.name != self._name:
                raise
            await anyio.sleep(AGAIN)
            return None
        except Exception:
            if self._child is not None and was_ended(self._child):
                return None  # while it was in its `init`
            raise
        async with anyio.create_task_group() as group:
            group.start_soon(self._end_in_time, pid)
            await wait_exit(pid)
            group.cancel_scope.cancel()
        assert self._child is not None, "it has had the name"
        return None if was_ended(self._child) else self._child.reason

    async def _end_in_time(self, pid: PID) -> None:
        """When the child has lost the name, let its end take no longer than its `shutdown`."""
        process = find_process(pid)
        if process is None:
            return
        try:
            is_to_end = lambda: process.exit_request is not None  # noqa: E731
            await self._names.wait_until(self._name.name, is_to_end)
        except NoConnection:
            pass  # the cluster was left, and it was told so
        try:
            await terminate_child(self.pid, pid)
        except NoChild:
            pass  # it has ended
