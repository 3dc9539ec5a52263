"""Looking into a program: what its agent answers, whom it lets in, and when it is there."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import Busy, looking, until
from conftest import PATIENCE
from crew import Puppet

from fauxtp import GenServer, call, cast, cast_nowait, exit, send_nowait, wait_exit
from fauxtp._commands.client import Unreachable, Viewer, programs
from fauxtp._core import await_chain
from fauxtp.observe import Agent, agent, agent_answers, places, serve
from fauxtp.observe.actions import number_of
from fauxtp.observe.agent_answers import PIECE
from fauxtp.observe.asker import Asker

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="it cannot fork")


# What is answered


@pytest.mark.usefixtures("application")
def test_it_tells_of_each_process_what_it_does(served: Agent) -> None:
    send_nowait("a", "one")
    with looking(served) as viewer:
        send_nowait("b", "two")
        cast_nowait("a", "wait")
        rows = {name: row for row in viewer.processes() for name in row["names"]}
        assert set(rows) == {"app", "a", "b", "c"}
        assert rows["app"]["supervisor"] is None
        assert {rows[name]["supervisor"] for name in "abc"} == {rows["app"]["pid"]}
        assert rows["app"]["children"] == 3
        row = until(lambda: busy(viewer, "a"))
        assert (row["class"], row["phase"], row["handling"]) == ("Busy", "running", "Cast 'wait'")
        for message in range(3):
            send_nowait("a", message)
        assert viewer.processes("top", by="mailbox")[0]["names"] == ["a"]
        assert viewer.processes("top", by="handler", most=1)[0]["names"] == ["a"]
        assert viewer.processes("top", by="children", most=1)[0]["names"] == ["app"]
        assert len(viewer.processes("top", by="monitors", most=2)) == 2


def busy(viewer: Viewer, name: str) -> Any:
    row = next(iter(viewer.ask("process", which=name)))["process"]
    return row if row["handling"] is not None and row["stack"] else None


@pytest.mark.usefixtures("application")
def test_it_tells_where_a_handler_waits(served: Agent) -> None:
    cast_nowait("a", "wait")
    with looking(served) as viewer:
        row = until(lambda: busy(viewer, "a"))
        assert "waits_here" in [name for _, _, name in row["stack"]]
        assert row["module"] == "agents"
        by_number = next(iter(viewer.ask("process", which=row["pid"])))["process"]
        assert by_number["names"] == ["a"]
        [one] = [row for row in viewer.processes("stacks") if row["names"] == ["a"]]
        assert one["stack"] == row["stack"]


@pytest.mark.usefixtures("application")
def test_it_answers_while_an_event_loop_is_blocked(served: Agent) -> None:
    blocked, may_go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        may_go_on.wait(PATIENCE)

    cast_nowait("a", block)
    assert blocked.wait(PATIENCE)
    try:
        with looking(served) as viewer:
            assert viewer.processes("top", by="handler", most=1)[0]["names"] == ["a"]
            if await_chain._has_gil():  # or no frames are looked at while they run
                rows = {row["names"][0]: row for row in viewer.processes("stacks")}
                assert [name for name, row in rows.items() if row["runs"]] == ["a"]
                assert "block" in [name for _, _, name in rows["a"]["stack"]]
    finally:
        may_go_on.set()


@pytest.mark.anyio
async def test_many_processes_are_told_of_in_pieces(served: Agent) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(2 * PIECE + 1):
            await Puppet.start(task_group=group)

        def look() -> list[int]:
            with looking(served) as viewer:
                return [len(piece["processes"]) for piece in viewer.ask("processes")]

        assert await anyio.to_thread.run_sync(look) == [PIECE, PIECE, 1, 0]
        group.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("question", [b'{"ask": "processes"}', b'{"ask": "stacks"}'])
async def test_who_has_come_meanwhile_is_told_of_too(question: bytes) -> None:
    """As the successor of who has ended before it was told of."""
    async with anyio.create_task_group() as group:
        ended = [await Puppet.start(task_group=group) for _ in range(PIECE + 1)][-1]
        pieces = agent_answers.answers(question, Asker())
        told = next(pieces)["processes"]
        exit(ended)
        await wait_exit(ended)
        successor = await Puppet.start(task_group=group)
        told += [row for piece in pieces for row in piece["processes"]]
        known = {row["pid"] for row in told}
        assert number_of(successor) in known
        assert number_of(ended) not in known
        assert len(known) == len(told) == PIECE + 1
        group.cancel_scope.cancel()


class Does(GenServer[Any, Any]):
    """Does what it is told in a cast."""

    mailbox_size = 1

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await request()
        return state


class Starts(GenServer[Any, Any]):
    async def init(self) -> Any:
        await anyio.sleep_forever()


@pytest.mark.anyio
async def test_what_somebody_waits_for_is_told(served: Agent) -> None:
    async with anyio.create_task_group() as group:
        for name in ("hangs", "answer", "room", "start"):
            await Does.start(task_group=group, register_as=name)
        await cast("hangs", anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        await cast("answer", partial(call, "hangs", None, timeout=None))
        await anyio.wait_all_tasks_blocked()  # its call lies in the one place that there is
        await cast("room", partial(cast, "hangs", None))
        await cast("start", partial(Starts.start, task_group=group))
        await anyio.wait_all_tasks_blocked()

        def look() -> dict[str, str | None]:
            with looking(served) as viewer:
                return {
                    row["names"][0]: row["waits"] for row in viewer.processes() if row["names"]
                }

        told = await anyio.to_thread.run_sync(look)
        assert told == {"hangs": None, **{it: it for it in ("answer", "room", "start")}}
        group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_who_waits_for_whom_is_told(served: Agent) -> None:
    async with anyio.create_task_group() as group:
        first = await Busy.start(task_group=group, register_as="first")
        await Busy.start(task_group=group, register_as="second")
        await cast("second", "wait")
        await anyio.wait_all_tasks_blocked()
        group.start_soon(lambda: call(first, "second", timeout=None))
        await anyio.wait_all_tasks_blocked()

        def look() -> dict[str, Any]:
            with looking(served) as viewer:
                return {row["names"][0]: row for row in viewer.processes()}

        rows = await anyio.to_thread.run_sync(look)
        assert rows["first"]["waiting_for"] == rows["second"]["pid"]
        group.cancel_scope.cancel()


# Who may look


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="nobody tells who asks")
@pytest.mark.parametrize(("user", "may"), [(os.geteuid(), True), (0, True), (54_321, False)])
def test_only_the_same_user_and_root_may_look(user: int, may: bool) -> None:
    class Peer:
        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("3i", 1, user, 1)

    assert agent._may_look(Peer()) is may  # type: ignore[arg-type]


# From its start to its end


def test_there_is_one_until_it_is_closed() -> None:
    one = serve()
    with pytest.raises(RuntimeError, match="others can look in already"):
        serve()
    one.close()
    one.close()
    assert not one.path.exists()
    with serve() as other:
        assert other.path == one.path
    assert all(thread.name != "fauxtp.observe" for thread in threading.enumerate())


def test_who_looks_while_a_program_starts_does_it_no_harm(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = agent._Server.server_activate
    seen: list[Any] = []

    def looked_for(server: Any) -> None:
        with monkeypatch.context() as another:
            another.setattr(os, "getpid", lambda: 1)
            seen.extend(programs())
        listen(server)

    monkeypatch.setattr(agent._Server, "server_activate", looked_for)
    with serve() as one:
        assert seen == []
        with looking(one) as viewer:
            assert viewer.program()
        assert list(one.path.parent.iterdir()) == [one.path]


@pytest.mark.parametrize("fails", ["listen", "chmod", "rename", "begin"])
def test_an_agent_that_cannot_be_had_leaves_nothing_behind(
    fails: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("not here")

    where: dict[str, tuple[Any, str]] = {
        "listen": (agent._Server, "server_activate"),
        "chmod": (Path, "chmod"),
        "rename": (Path, "rename"),
        "begin": (threading.Thread, "start"),
    }
    with monkeypatch.context() as broken:
        broken.setattr(*where[fails], fail)
        with pytest.raises(OSError, match="not here"):
            serve()
    assert list(places.made_folder().iterdir()) == []
    with serve() as one, looking(one) as viewer:
        assert viewer.program()


def test_it_ends_at_once_though_its_socket_was_cleared_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(agent, "sleep", pauses.append)
    one = serve()
    one.path.unlink()
    one.close()
    assert not one._thread.is_alive()
    assert pauses == []


def test_who_still_looks_as_it_is_closed_is_told() -> None:
    with serve() as one:
        viewer = Viewer(one.path)
        viewer.program()
    with viewer, pytest.raises(Unreachable, match="does not answer"):
        until(lambda: not viewer.program())


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_none_and_leaves_its_parents_alone(served: Agent) -> None:
    with looking(served) as viewer:
        viewer.program()
        child = os.fork()
        if child == 0:
            os._exit(0 if agent._agent is None and served.path.exists() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert viewer.program()["pid"] == os.getpid()
    with looking(served) as viewer:
        assert viewer.program()["pid"] == os.getpid()


@forks
def test_a_process_that_such_a_program_forks_can_be_looked_into() -> None:
    source = """
import os, sys
from fauxtp.observe import agent
if os.fork() == 0:
    print(agent._agent.path.name.startswith(f"{os.getpid()}-"), flush=True)
    sys.exit()
os.wait()
print(agent._agent.path.exists())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env={**os.environ, "FAUXTP_OBSERVE": "look"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_a_program_that_nobody_can_look_into_goes_on(place: Path) -> None:
    (place / f"fauxtp-{os.geteuid()}").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import fauxtp; print('goes on')"],
        env={**os.environ, "FAUXTP_OBSERVE": "look"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "goes on\n"
    assert "nobody can look in: expected " in done.stderr
