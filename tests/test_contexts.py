"""What a process has of its starter: no context. And what its task is called."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from crew import Idle, Puppet, crash, pid_of, running, supervisor, three

from fauxtp import PID, GenServer, Task, call, cast, exit, wait_exit
from fauxtp._core.process import find_process

pytestmark = pytest.mark.anyio

setting: ContextVar[Any] = ContextVar("setting", default="unset")


async def get() -> Any:
    return setting.get()


async def test_a_process_begins_in_a_clean_context() -> None:
    setting.set("of the starter")
    in_init: list[object] = []

    class Looks(Puppet):
        async def init(self) -> None:
            in_init.append(setting.get())

    async with running() as task_group:
        for _ in range(2):  # the second begins in a turn of its starter's
            pid = await Looks.start(task_group=task_group)
            assert await call(pid, setting.get) == "unset"
            assert await call(pid, get) == "unset"
        assert in_init == ["unset"] * 2
        assert await (await Task.spawn(get, task_group)).join() == "unset"
    assert setting.get() == "of the starter"


async def test_what_a_server_sets_it_finds_again_and_its_children_too() -> None:
    seen: list[object] = []

    async def child() -> None:
        seen.append(setting.get())

    class Parent(Puppet):
        async def handle_info(self, message: Any, state: Any) -> None:
            self.start_soon_child(child)

    async with running() as task_group:
        pid = await Parent.start(task_group=task_group)
        await call(pid, lambda: setting.set("of the server"))
        setting.set("of the caller")
        assert await call(pid, get) == "of the server"
        await cast(pid, lambda: seen.append(setting.get()))
        process = find_process(pid)
        assert process is not None
        process.mailbox.deliver("have a child")
        await anyio.wait_all_tasks_blocked()
    assert seen == ["of the server"] * 2


async def test_children_of_a_supervisor_begin_in_a_clean_context_each_time() -> None:
    setting.set("of the starter")
    async with running() as task_group:
        await supervisor(*three([])).start(task_group=task_group)
        await call("b", lambda: setting.set("of the first"))
        await crash("b")
        for name in "abc":
            assert await call(name, setting.get) == "unset"


async def test_nothing_keeps_what_the_starter_had_in_its_context() -> None:
    class Request:
        pass

    async def start(seen: list[Any]) -> PID:
        request = Request()
        seen.append(weakref.ref(request))
        setting.set(request)
        pid = await Puppet.start(task_group=task_group)
        await call(pid, lambda: None)
        return pid

    async with running() as task_group:
        seen: list[Any] = []
        pids: list[PID] = []

        async def handle() -> None:
            pids.append(await start(seen))

        async with anyio.create_task_group() as requests:
            requests.start_soon(handle)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        assert seen[0]() is None
        assert await call(pids[0], lambda: "alive") == "alive"


async def test_who_asks_for_the_library_is_told_in_callbacks_too(anyio_backend: Any) -> None:
    sniffio = pytest.importorskip("sniffio")
    async with running() as task_group:
        pid = await Puppet.start(task_group=task_group)
        assert await call(pid, sniffio.current_async_library) == anyio_backend[0]
        if anyio_backend[0] == "asyncio":
            told: list[str] = []

            def ask() -> None:
                told.append(sniffio.current_async_library())

            await call(pid, lambda: asyncio.get_running_loop().call_soon(ask) and None)
            await anyio.wait_all_tasks_blocked()
            assert told == ["asyncio"]


def task_name(anyio_backend: Any) -> str:
    if anyio_backend[0] == "trio":
        return str(sys.modules["trio"].lowlevel.current_task().name)
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


async def test_a_task_has_the_name_of_its_process(anyio_backend: Any) -> None:
    class Session(Puppet):
        pass

    class Plain(GenServer[Any, Any]):
        async def init(self) -> str:
            return task_name(anyio_backend)

        async def handle_call(self, request: Any, from_: Any, state: str) -> Any:
            return state, state

    def own_name() -> str:
        return task_name(anyio_backend)

    async with running() as task_group:
        for name in ("session:anna", "it's"):
            pid = await Session.start(task_group=task_group, register_as=name)
            assert await call(pid, own_name) == f"Session {name!r} {pid!r}"
        pid = await Plain.start(task_group=task_group)
        assert await call(pid, None) == f"Plain {pid!r}"
        top = await supervisor(*three([])).start(task_group=task_group)
        assert await call("a", own_name) == f"Puppet 'a' {pid_of('a')!r}"
        exit(top)
        await wait_exit(top)


@pytest.mark.parametrize("name", [7, "", None])
async def test_a_name_that_is_none_is_refused_as_ever(name: Any) -> None:
    async with running() as task_group:
        if name is None:
            exit(await Idle.start(task_group=task_group, register_as=name))
        else:
            with pytest.raises((TypeError, ValueError)):
                await Idle.start(task_group=task_group, register_as=name)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_tasks_of_the_runtime_have_coroutines_that_tools_can_read() -> None:
    async with running() as task_group:
        pid = await Puppet.start(task_group=task_group, register_as="parent")
        process = find_process(pid)
        assert process is not None
        actor: Any = process.actor
        await call(pid, lambda: actor.start_soon_child(anyio.Event().wait))
        await anyio.wait_all_tasks_blocked()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert {f"Puppet 'parent' {pid!r}", f"children of {pid!r}"} <= names
        for task in asyncio.all_tasks():
            coroutine: Any = task.get_coro()
            assert all(hasattr(coroutine, it) for it in ("__qualname__", "cr_frame", "cr_running"))
