"""Memory: when there is none, when it should come back, and whose it is."""

from __future__ import annotations

import gc
import shutil
import sys
import sysconfig
import weakref
from types import ModuleType
from typing import Any

import anyio
import pytest
from conftest import unmeasured

from fauxtp import GenServer, exit, wait_exit
from fauxtp._base import switches
from fauxtp._hosting import asyncio_scope
from hostile import effort, programs
from hostile.twins import short_name


@unmeasured
def test_when_memory_runs_out_the_table_is_what_it_was(twin: Any) -> None:
    testcapi = pytest.importorskip("_testcapi", reason="this interpreter comes without it")
    if not hasattr(testcapi, "set_nomemory"):
        pytest.skip("this interpreter cannot run out of memory on demand")
    done = programs.run("nomemory", short_name(twin))
    done.check()
    assert int(done.stdout.split()[0].replace(",", "")) > 100, "allocations did fail"
    effort.report(f"no memory, {twin.__name__}: {done.stdout.strip()}")


@unmeasured
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("program", "least"),
    [("nomemory_runtime", 100), ("nomemory_death", 50)],
    ids=["life", "death"],
)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this interpreter crashes by itself then")
def test_when_memory_runs_out_a_server_lives_or_is_dead(
    program: str, least: int, backend: str, form: str
) -> None:
    testcapi = pytest.importorskip("_testcapi", reason="this interpreter comes without it")
    if not hasattr(testcapi, "set_nomemory"):
        pytest.skip("this interpreter cannot run out of memory on demand")
    switch = "always" if form == "compiled" else "never"
    done = programs.run(program, backend, FAUXTP_EXTENSIONS=switch)
    assert (done.returncode, done.hung) == (0, False), done.stderr
    assert int(done.stdout.split()[0].replace(",", "")) > least, "allocations did fail"
    effort.report(f"no memory, {backend}, {form}: {done.stdout.strip()}")


def test_a_turn_for_which_there_is_no_memory_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    async def main() -> None:
        async with anyio.create_task_group() as group:
            pid = await GenServer.start(task_group=group)
            exit(pid)
            monkeypatch.setattr(switches, "hand_off", True)
            monkeypatch.setattr(asyncio_scope, "give_turn", no_memory)
            with pytest.raises(MemoryError):
                await wait_exit(pid)
            monkeypatch.undo()
            assert await wait_exit(pid, timeout=60) == "shutdown"

    anyio.run(main)


@pytest.mark.once
def test_what_is_done_by_half_is_found() -> None:
    pytest.importorskip("_testcapi", reason="this interpreter comes without it")
    done = programs.run("nomemory", "TwoSteps")
    assert done.returncode == 1
    assert "AssertionError: ('register" in done.stderr


def test_no_operation_leaves_memory_behind(twin: Any) -> None:
    done = programs.run("leaks", short_name(twin), effort.times(4000, 1_000_000))
    done.check()
    effort.report(f"leaks, {twin.__name__}: {done.stdout.strip()}")


@pytest.mark.once
def test_a_leak_is_found() -> None:
    done = programs.run("leaks", "Keeps", 4000)
    assert done.returncode == 1
    assert "Leak" in done.stderr


def test_names_that_nobody_watches_any_more_take_no_memory(registry: Any) -> None:
    def watch_and_unwatch(group: str) -> None:
        names = [f"{group}:{number}" for number in range(200)]
        for _ in range(2):
            for name in names:
                registry.watch(name, print)
        for name in names * 2:
            assert registry.unwatch(name, print)

    def grown(group: str) -> int:
        gc.collect()
        before = sys.getallocatedblocks()
        watch_and_unwatch(group)
        gc.collect()
        return sys.getallocatedblocks() - before

    watch_and_unwatch("before")  # what the table keeps is there by then
    # A thread that another test has left to its end may take some meanwhile, but not each time.
    assert any(grown(str(number)) < 100 for number in range(5))


@unmeasured
@pytest.mark.parametrize("way", ["unregister", "transfer", "release", "retire"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("guests", [False, True])
def test_who_has_lost_all_names_takes_what_it_took_before(
    twin: Any, way: str, count: int, guests: bool
) -> None:
    registry, home, heir = twin.Registry(), twin.Registry(), twin.PID()

    def come_and_go(pids: list[Any]) -> None:
        for number, pid in enumerate(pids):
            for name in [f"name:{number}:{letter}" for letter in "ab"[:count]]:
                registry.register(name, pid)
        for pid in pids:
            for name in registry.names(pid):
                if way == "unregister":
                    registry.unregister(name)
                elif way == "transfer":
                    registry.transfer(name, pid, heir)
            if way == "release":
                registry.release(pid)
            elif way == "retire":
                twin.retire(pid)
        registry.release(heir)

    def grown(turn: int) -> int:
        pids = [twin.PID() for _ in range(200)]
        for number, pid in enumerate(pids if guests else []):
            home.register(f"home:{turn}:{number}", pid)
        gc.collect()
        before = sys.getallocatedblocks()
        come_and_go(pids)
        gc.collect()
        return sys.getallocatedblocks() - before

    come_and_go([twin.PID() for _ in range(200)])  # what tables keep is there by then
    assert any(grown(turn) < 100 for turn in range(5))  # as above


def test_while_a_registry_is_collected_a_pid_can_be_retired(twin: Any) -> None:
    """By then it is still listed, and no longer there."""

    class Owner:
        pass

    kept, pid = twin.Registry(), twin.PID()
    assert kept.register("kvstore", pid)
    retired: list[Any] = []

    def make() -> weakref.ref[Any]:
        owner: Any = Owner()
        owner.itself, owner.registry = owner, twin.Registry()
        return weakref.ref(owner, lambda _: retired.append(twin.retire(pid)))

    watched = make()
    gc.collect()
    assert (watched(), retired) == (None, [None])
    assert kept.registered() == []


def test_a_registry_that_is_found_while_it_is_collected_can_be_used(compiled: Any) -> None:
    """By who lists all objects then, to look for leaks. Its tables may have been cleared."""

    class Directory(compiled.Registry):  # type: ignore[misc]
        __slots__ = ()

    seen: list[Any] = []

    def look(reference: object) -> None:
        seen.extend(one for one in gc.get_objects() if type(one) is Directory)

    def make() -> weakref.ref[Any]:
        directory, last = Directory(), compiled.PID()
        directory.register("kvstore", compiled.PID())
        cycle = [directory, last]
        cycle.append(cycle)
        return weakref.ref(last, look)  # the cycle goes bit by bit: first the table, then this

    gc.collect()
    watched = make()
    gc.collect()
    assert watched() is None
    assert seen, "nobody could look"
    for one in seen:
        assert repr(one).startswith("<Directory of ")
        assert one.register("new", compiled.PID())
        assert "new" in one


def valgrind(module: str, *arguments: object) -> programs.Ended:
    """Run a module of the tests under memcheck; values are its own business on 3.11."""
    if shutil.which("valgrind") is None:
        pytest.skip("there is no valgrind here")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this interpreter has no allocator that valgrind could look into")
    options = ("--quiet", "--error-exitcode=99", "--undef-value-errors=no")
    return programs.run(module, *arguments, before=("valgrind", *options), PYTHONMALLOC="malloc")


def test_valgrind_finds_nothing(compiled: ModuleType) -> None:
    done = valgrind("driver", effort.SEED, effort.times(1, 20))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    effort.report("valgrind: nothing found")


@pytest.mark.once
def test_valgrind_finds_an_overrun() -> None:
    done = valgrind("overrun")
    assert done.returncode == 99
    assert "Invalid write" in done.stderr
