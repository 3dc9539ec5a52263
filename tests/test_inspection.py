"""Looking in: what there is to tell of living processes."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Idle, Puppet, crash, pid_of, running, supervisor

from fauxtp import (
    PID,
    ChildSpec,
    NoProcess,
    Phase,
    Supervisor,
    call,
    exit,
    link,
    monitor,
    process_info,
    process_infos,
    processes,
    register,
    send,
    start_child,
    terminate_child,
    tree,
    wait_exit,
)
from fauxtp._core.calls import Call

inspection: Any = importlib.import_module("fauxtp.observe.inspection")

pytestmark = pytest.mark.anyio


async def test_processes_are_listed_from_the_oldest_to_the_youngest() -> None:
    assert processes() == []
    async with running() as task_group:
        pids = [await Idle.start(task_group=task_group) for _ in range(3)]
        assert processes() == pids
        exit(pids[1])
        await wait_exit(pids[1])
        assert processes() == [pids[0], pids[2]]


async def test_an_idle_process_has_little_to_tell() -> None:
    async with running() as task_group:
        pid = await Idle.start(task_group=task_group, register_as="idle")
        register("lazy", pid)
        await send(pid, "one")
        await send(pid, "two")
        info = process_info("idle")
        assert info == process_info(pid)
        assert (info.pid, info.names, info.actor_class) == (pid, ["idle", "lazy"], Idle)
        assert (info.phase, info.mailbox_length) == (Phase.RUNNING, 2)
        assert (info.handling, info.handling_for, info.waiting_for) == (None, 0.0, None)
        assert (info.links, info.monitors, info.monitored_by) == ([], [], 0)
        assert (info.supervisor, info.children) == (None, [])


async def test_who_is_not_there_has_nothing_to_tell() -> None:
    for nobody in (PID(), "nobody"):
        with pytest.raises(NoProcess):
            process_info(nobody)
    with pytest.raises(TypeError):
        process_info(7)  # type: ignore[arg-type]


async def test_links_and_monitors_are_told_by_both_sides() -> None:
    async with running() as task_group:
        one = await Puppet.start(task_group=task_group)
        two = await Puppet.start(task_group=task_group)
        await call(one, lambda: link(two))
        await call(one, lambda: monitor(two))
        await call(one, lambda: monitor(two))
        first, second = process_info(one), process_info(two)
        assert (first.links, first.monitors, first.monitored_by) == ([two], [two], 0)
        assert (second.links, second.monitors, second.monitored_by) == ([one], [], 2)


async def test_what_a_server_handles_is_seen_with_whom_it_waits_for() -> None:
    go = anyio.Event()
    async with running() as task_group:
        one = await Puppet.start(task_group=task_group)
        two = await Puppet.start(task_group=task_group)
        async with anyio.create_task_group() as callers:
            callers.start_soon(call, one, lambda: call(two, go.wait))
            await anyio.wait_all_tasks_blocked()
            earlier, info = process_info(one), process_info(one)
            assert isinstance(info.handling, Call)
            assert info.waiting_for is two
            assert 0 < earlier.handling_for <= info.handling_for
            assert process_info(two).waiting_for is None
            go.set()
        assert process_info(one).handling is None
        assert process_info(one).waiting_for is None


async def test_the_phases_of_a_life_can_be_seen() -> None:
    phases: list[Phase] = []

    class Looks(Puppet):
        async def init(self) -> None:
            phases.append(process_info(self.pid).phase)

        async def terminate(self, reason: str, state: Any) -> None:
            phases.append(process_info(self.pid).phase)

    async with running() as task_group:
        pid = await Looks.start(task_group=task_group)
        phases.append(process_info(pid).phase)
        exit(pid)
        await wait_exit(pid)
    assert phases == [Phase.STARTING, Phase.RUNNING, Phase.STOPPING]


async def test_the_tree_shows_each_process_below_its_supervisor() -> None:
    leaf = ChildSpec("leaf", Idle, register_as="leaf")
    below = ChildSpec("below", supervisor(leaf), register_as="below")
    side = ChildSpec("side", Idle, register_as="side")
    async with running() as task_group:
        top = await supervisor(below, side).start(task_group=task_group, register_as="top")
        await send("side", "unread")
        alone = await Idle.start(task_group=task_group)
        assert tree().splitlines() == [
            f"Chief 'top' {top!r} running",
            f"  Chief 'below' {pid_of('below')!r} running",
            f"    Idle 'leaf' {pid_of('leaf')!r} running",
            f"  Idle 'side' {pid_of('side')!r} running (1 waiting)",
            f"Idle {alone!r} running",
        ]
        assert process_info(top).children == [pid_of("below"), pid_of("side")]
        assert process_info("below").supervisor is top
    assert tree() == ""


async def test_the_children_are_those_that_start_or_live() -> None:
    class Looks(Puppet):
        async def init(self) -> None:
            assert process_info("top").children[-1:] == [self.pid]

    specs = [ChildSpec(name, Looks, register_as=name) for name in ("a", "b")]
    async with running() as task_group:
        top = await supervisor(*specs).start(task_group=task_group, register_as="top")
        assert process_info(top).children == [pid_of("a"), pid_of("b")]
        again = await crash("a")
        assert process_info(top).children == [pid_of("b"), again]
        await start_child(top, ChildSpec("c", Looks))
        assert len(process_info(top).children) == 3
        await terminate_child(top, "c")
        await terminate_child(top, "b")
        assert process_info(top).children == [again]


async def test_what_one_process_does_is_told_without_a_look_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_of_them() -> Any:
        raise AssertionError("looks at all processes")

    async with running() as task_group:
        top = await supervisor(ChildSpec("leaf", Idle)).start(task_group=task_group)
        (leaf,) = process_info(top).children
        monkeypatch.setattr(inspection, "living", all_of_them)
        assert process_info(top).children == [leaf]
        assert process_info(leaf).supervisor is top


async def test_all_processes_are_told_of_at_once() -> None:
    leaf = ChildSpec("leaf", Idle, register_as="leaf")
    async with running() as task_group:
        await supervisor(leaf).start(task_group=task_group)
        await Puppet.start(task_group=task_group)
        assert process_infos() == [process_info(pid) for pid in processes()]
        assert len(process_infos()) == 3
    assert process_infos() == []


async def test_a_tree_may_be_as_deep_as_it_likes() -> None:
    depth = sys.getrecursionlimit() + 100

    class Link(Supervisor):
        def __init__(self, left: int) -> None:
            self.left = left

        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("next", Link, (self.left - 1,))] if self.left else []

    async with running() as task_group:
        top = await Link.start(depth, task_group=task_group)
        lines = tree().splitlines()
        assert [len(line) - len(line.lstrip()) for line in lines] == list(
            range(0, 2 * depth + 1, 2)
        )
        exit(top)
        await wait_exit(top)


async def test_other_threads_may_look_in_while_processes_come_and_go() -> None:
    over, failures = threading.Event(), []

    def look() -> None:
        try:
            while not over.is_set():
                tree()
                process_infos()
                for pid in processes():
                    try:
                        process_info(pid)
                    except NoProcess:
                        pass
        except BaseException as failure:
            failures.append(failure)

    async with running() as task_group:
        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(50):
                pids = [await Puppet.start(task_group=task_group) for _ in range(5)]
                for pid in pids:
                    await call(pids[0], lambda pid=pid: link(pid))
                    await call(pids[0], lambda pid=pid: monitor(pid))
                exit(pids[0])
                for pid in pids:
                    await wait_exit(pid)
        finally:
            over.set()
            await anyio.to_thread.run_sync(thread.join)
    assert not failures
