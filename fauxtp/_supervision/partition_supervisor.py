"""PartitionSupervisor: several children of one kind, and which of them a key belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar
from zlib import crc32

from fauxtp._actors.classes import lacking
from fauxtp._base.arguments import expect_text, unexpected
from fauxtp._core.mailbox import not_here
from fauxtp._messaging.addresses import find_pid
from fauxtp._supervision.child_spec import ChildSpec
from fauxtp._supervision.supervisor import Supervisor
from fauxtp.registry import default

__all__ = ["PartitionSupervisor", "partition"]

MOST = 65_536  # partitions: who wants more has mistaken the number of keys for theirs
DEEPEST = 8  # tuples in tuples

_sizes: dict[str, int] = {}  # how many partitions there are, by the name of the supervisor


class PartitionSupervisor(Supervisor):
    """A supervisor of several children of one kind, among which keys are spread.

    Subclass it and define `partition_spec`, and how many `partitions` there are. It needs a
    name, and each partition has one that is made of it: `"limiters:0"`, `"limiters:1"`, ….
    `partition("limiters", key)` is the name of the one that a key belongs to, now and after each
    restart. What one process would be too slow for, or too large, is so shared by several.

    >>> import anyio
    >>> from fauxtp import ChildSpec, GenServer, call, exit
    >>> class Counter(GenServer):
    ...     async def init(self):
    ...         return {}
    ...     async def handle_call(self, request, from_, state):
    ...         state[request] = state.get(request, 0) + 1
    ...         return state[request], state
    >>> class Counters(PartitionSupervisor):
    ...     partitions = 4
    ...     def partition_spec(self, number):
    ...         return ChildSpec("counter", Counter)
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Counters.start(task_group=task_group, register_as="counters")
    ...         for _ in range(2):
    ...             print(await call(partition("counters", "anna"), "anna"))
    ...         exit("counters")
    >>> anyio.run(main)
    1
    2
    """

    partitions: int = 8
    """How many children there are."""

    def partition_spec(self, number: int) -> ChildSpec:
        """Return the spec of the partition `number`, from 0. Its id and name are made for it.

        What it raises keeps the supervisor from starting, and is raised by whoever starts it.
        """
        raise lacking(type(self), "partition_spec")

    def child_specs(self) -> list[ChildSpec]:
        """Return the specs of all partitions."""
        size = self.partitions
        if not isinstance(size, int) or isinstance(size, bool):
            raise unexpected("partitions", "an int", size)
        if not 1 <= size <= MOST:
            raise ValueError(f"expected partitions to be from 1 to {MOST}, got {size}")
        names = default.names(self.pid)
        if not names:
            raise ValueError(f"expected {type(self).__name__} to be started with register_as")
        specs = [self._fauxtp_named(names[0], number) for number in range(size)]
        _sizes[names[0]] = size
        return specs

    _fauxtp_keeps: ClassVar = {
        "child_specs": "partition_spec says what its children are",
    }

    def _fauxtp_named(self, name: str, number: int) -> ChildSpec:
        spec = self.partition_spec(number)
        if not isinstance(spec, ChildSpec):
            raise unexpected(f"partition_spec({number})", "a ChildSpec", spec)
        name = f"{name}:{number}"
        return replace(spec, id=name, register_as=name)


def partition(supervisor: str, key: Any) -> str:
    """Return the name of the partition that `key` belongs to, of the supervisor of that name.

    Keys are strings, bytes, integers, and tuples of such. Equal keys belong together, in each run
    of a program and on each machine, as long as there are as many partitions.

    Raises `NoProcess` if no `PartitionSupervisor` was started under that name, `TypeError` if
    `key` is of another kind, and `ValueError` if its tuples are more than 8 deep, or the name is
    one of another node of a cluster.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> class Limiters(PartitionSupervisor):
    ...     partitions = 1
    ...     def partition_spec(self, number):
    ...         return ChildSpec("limiter", GenServer)
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Limiters.start(task_group=task_group, register_as="limiters")
    ...         print(partition("limiters", "anna"))
    ...         exit("limiters")
    >>> anyio.run(main)
    limiters:0
    """
    size = _sizes.get(expect_text("supervisor", supervisor))
    if size is None:
        raise not_here(supervisor, find_pid(supervisor))
    return f"{supervisor}:{crc32(_bytes(key)) % size}"


def _bytes(key: Any, depth: int = DEEPEST) -> bytes:
    if isinstance(key, str):
        return b"s" + str.encode(key, "utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + bytes.__add__(key, b"")
    if isinstance(key, int):
        return b"i%x" % key
    if isinstance(key, tuple):
        if not depth:
            raise ValueError(f"expected key to be at most {DEEPEST} tuples deep, got more")
        parts = [_bytes(part, depth - 1) for part in tuple.__iter__(key)]
        return b"t" + b"".join(b"%d:%s" % (len(part), part) for part in parts)
    raise unexpected("key", "a str, bytes, an int, or a tuple of such", key)
