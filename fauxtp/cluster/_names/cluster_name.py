"""A name of a cluster, to be used where a PID or a name is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self, final

from fauxtp.cluster._names.names import Names
from fauxtp.registry import PID

__all__ = ["ClusterName"]


@final
class ClusterName(str):
    """The name `name` of a cluster: `Cluster.name` makes it.

    To call it is to call whoever has it then. As `register_as`, it is taken before `init`. As
    text, it is followed by the cluster's name.

    >>> import anyio
    >>> from fauxtp import GenServer, call, exit
    >>> from fauxtp.cluster import Cluster
    >>> from fauxtp.cluster.memory_broker import MemoryBroker
    >>> class Till(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return f"{request} paid", state
    >>> async def main():
    ...     engine = MemoryBroker("shop").engine("a")
    ...     async with (
    ...         anyio.create_task_group() as task_group,
    ...         Cluster.join(engine, cluster="shop", node="a") as cluster,
    ...     ):
    ...         till = await Till.start(task_group=task_group, register_as=cluster.name("till"))
    ...         print(await call(cluster.name("till"), "tea"), cluster.name("till"))
    ...         exit(till)
    >>> anyio.run(main)
    tea paid till@shop
    """

    __slots__ = ("_claim", "name", "names")
    name: str
    names: Names
    _claim: Callable[[str, PID], Awaitable[bool]]

    @classmethod
    def of(
        cls, cluster: str, name: str, names: Names, claim: Callable[[str, PID], Awaitable[bool]]
    ) -> Self:
        """Return a name of `cluster` that is looked up in `names`, and is taken by `claim`."""
        self = cls(f"{name}@{cluster}")
        self.name, self.names, self._claim = name, names, claim
        return self

    def noting(self, note: Callable[[PID], object]) -> Self:
        """Return the same name, which tells `note` who is to have it, before it is taken."""
        claim = self._claim

        async def noted(name: str, pid: PID) -> bool:
            note(pid)
            return await claim(name, pid)

        cluster = str.__str__(self).removeprefix(f"{self.name}@")
        return self.of(cluster, self.name, self.names, noted)

    def _fauxtp_whereis(self, _: str) -> PID | None:
        return self.names.whereis(self.name)

    async def _fauxtp_claim(self, pid: PID) -> bool:
        return await self._claim(self.name, pid)

    async def _fauxtp_wait_registered(self, _: str, timeout: float | None) -> PID:
        return await self.names.wait_registered(self.name, timeout)

    def _fauxtp_wait_registered_blocking(self, _: str, timeout: float | None) -> PID:
        return self.names.wait_registered_blocking(self.name, timeout)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object, /) -> Self:
        return self

    def __reduce__(self) -> Any:
        return str, (str.__str__(self),)
