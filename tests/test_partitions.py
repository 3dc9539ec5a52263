"""Partitions: several children of one kind, and which of them a key belongs to."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from crew import Puppet, boom, pid_of, running

from fauxtp import (
    ChildSpec,
    NoProcess,
    PartitionSupervisor,
    RestartType,
    call,
    cast,
    exit,
    partition,
    wait_exit,
    wait_registered,
    which_children,
)
from fauxtp._supervision import partition_supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nobody_was_started() -> Iterator[None]:
    partition_supervisor._sizes.clear()
    yield
    partition_supervisor._sizes.clear()


class Parts(PartitionSupervisor):
    partitions = 4

    def partition_spec(self, number: int) -> ChildSpec:
        return ChildSpec("part", Puppet, args=(str(number),), restart=RestartType.PERMANENT)


async def test_each_key_has_its_partition_also_after_a_crash() -> None:
    async with running() as group:
        chief = await Parts.start(task_group=group, register_as="parts")
        ids = [child.id for child in await which_children(chief)]
        assert ids == ["parts:0", "parts:1", "parts:2", "parts:3"]
        name = partition("parts", "anna")
        assert await call(name, lambda: "served") == "served"
        pid = pid_of(name)
        await cast(pid, boom)
        await wait_exit(pid)
        assert await wait_registered(name) != pid
        assert partition("parts", "anna") == name
        exit(chief)


KEYS: list[tuple[str, Any]] = [
    ("strings", [f"user:{number}" for number in range(4000)]),
    ("integers", list(range(4000))),
    ("bytes", [b"%d" % number for number in range(4000)]),
    ("tuples", [("user", number) for number in range(4000)]),
]


@pytest.mark.parametrize(("what", "keys"), KEYS, ids=[what for what, _ in KEYS])
def test_keys_are_spread_evenly(what: str, keys: list[Any]) -> None:
    partition_supervisor._sizes["parts"] = 4
    counts = Counter(partition("parts", key) for key in keys)
    assert len(counts) == 4
    assert min(counts.values()) > 800, what


def test_a_key_belongs_to_the_same_in_each_program() -> None:
    program = (
        "from fauxtp import partition\n"
        "from fauxtp._supervision import partition_supervisor\n"
        "partition_supervisor._sizes['parts'] = 1000\n"
        "print([partition('parts', key) for key in ('anna', b'anna', 5, ('anna', 5))])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert said == {"['parts:753', 'parts:915', 'parts:354', 'parts:584']\n"}


@pytest.mark.parametrize(("one", "other"), [(1, True), ((1, "a"), (True, "a"))])
def test_equal_keys_belong_together(one: Any, other: Any) -> None:
    partition_supervisor._sizes["parts"] = 1000
    assert partition("parts", one) == partition("parts", other)


async def test_without_a_name_there_is_none() -> None:
    async with running() as group:
        with pytest.raises(ValueError, match="expected Parts to be started with register_as"):
            await Parts.start(task_group=group)


async def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(NoProcess, match="nobody"):
        partition("nobody", 1)
    with pytest.raises(TypeError, match="expected supervisor to be a str, got int"):
        partition(5, 1)  # type: ignore[arg-type]
    partition_supervisor._sizes["parts"] = 4
    for key in (1.5, None, ["a"], ("a", None)):
        with pytest.raises(TypeError, match="expected key to be a str, bytes, an int"):
            partition("parts", key)
    with pytest.raises(ValueError, match="expected key to be at most 8 tuples deep"):
        partition("parts", ((((((((("a",),),),),),),),),))
    for size, kind in ((0, ValueError), (10**9, ValueError), ("4", TypeError), (True, TypeError)):
        bad: Any = type("Bad", (Parts,), {"partitions": size})
        async with running() as group:
            with pytest.raises(kind, match="expected partitions to be"):
                await bad.start(task_group=group, register_as="bad")
    undefined: Any = type("Undefined", (PartitionSupervisor,), {})
    wrong: Any = type("Wrong", (PartitionSupervisor,), {"partition_spec": lambda *_: 5})
    async with running() as group:
        with pytest.raises(NotImplementedError, match="Undefined has no partition_spec"):
            await undefined.start(task_group=group, register_as="bad")
        with pytest.raises(TypeError, match=r"partition_spec\(0\) to be a ChildSpec, got int"):
            await wrong.start(task_group=group, register_as="bad")
