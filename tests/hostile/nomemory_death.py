"""Every allocation of a death fails in turn; and each whom it concerns is told once, all the same.

A program, as it may hang: `python -m hostile.nomemory_death BACKEND`. Somebody waits for the end
of a server, somebody monitors it, one is linked with it and traps exits, a supervisor is to start
it again, a call is being handled, one is owed an answer and one lies in the mailbox; and it has a
name, and is in a group that is followed.
"""

from __future__ import annotations

import _testcapi  # type: ignore[import-not-found]
import faulthandler
import logging
import sys
from typing import Any
from unittest.mock import patch

import anyio

from fauxtp import (
    NO_REPLY,
    Actor,
    Call,
    ChildSpec,
    ExitReason,
    GenServer,
    ProcessExited,
    Supervisor,
    call,
    exit,
    join,
    link,
    members,
    monitor,
    monitor_group,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._actors import lifecycle
from fauxtp._core import death
from fauxtp._core.ended_loops import living
from fauxtp._core.process import Process
from fauxtp.registry import PID
from hostile.intruded_servers import Wrong
from hostile.nomemory_runtime import ENOUGH, LIMIT, OUT_OF_MEMORY

MINUTE = 60


class Server(GenServer[Any, Any]):
    async def init(self) -> int:
        join("group")
        return 0

    async def handle_call(self, request: Any, from_: Call, state: int) -> Any:
        if request == "later":
            return NO_REPLY, state
        await anyio.sleep_forever()
        return request, state


class Top(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("server", Server, register_as="server")]


class Witness(Actor):
    """Is told of the end of the server, in four ways."""

    trap_exit = True

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    async def init(self) -> None:
        monitor("server")
        link("server")
        monitor_group("group")

    async def run(self, state: Any) -> Any:
        await self.receive((object, self.heard.append))


async def ask(request: str, outcomes: list[str]) -> None:
    try:
        await call("server", request, timeout=MINUTE)
    except ProcessExited as error:
        outcomes.append(f"{request}: {error.taken_up}")


async def settle() -> None:
    """Let all have the turns that they need."""
    for _ in range(20):
        await anyio.sleep(0)


class Failing:
    """Bury one process, while the allocation of a number fails; all others as they are."""

    def __init__(self, pid: PID, number: int) -> None:
        self.pid, self.number, self.failed = pid, number, False

    def bury(self, process: Process, reason: ExitReason) -> None:
        if process.pid is not self.pid:
            death.bury(process, reason)
            return
        _testcapi.set_nomemory(self.number, self.number + 1)
        try:
            death.bury(process, reason)
            self.failed = has_failed()
        finally:
            _testcapi.remove_mem_hooks()


def has_failed() -> bool:
    """Return whether the allocation that was to fail has done so: the next are another's."""
    return bool(_failed())


def _failed() -> bool:
    # The hook counts; whoever allocates so many more would meet the one that fails.
    try:
        for _ in range(LIMIT):
            bytearray(1)
    except OUT_OF_MEMORY:
        return False
    return True


async def scene(number: int) -> bool:
    """Let the server die with that failure, and judge; return whether it came to it."""
    heard: list[Any] = []
    outcomes: list[str] = []
    async with anyio.create_task_group() as group:
        top = await Top.start(task_group=group)
        server = whereis("server")
        assert server is not None
        witness = await Witness.start(heard, task_group=group)
        for request in ("later", "now", "too late"):
            group.start_soon(ask, request, outcomes)
            await settle()
        group.start_soon(wait, server, outcomes)
        await settle()
        heard.clear()  # of who was in the group
        failing = Failing(server, number)
        with patch.object(lifecycle, "bury", failing.bury):
            exit(server)
            with anyio.fail_after(MINUTE):
                successor = await wait_registered("server", timeout=MINUTE)
                while successor is server:
                    await anyio.sleep(0)
                    successor = await wait_registered("server", timeout=MINUTE)
        await settle()
        judge(heard, outcomes, server)
        exit(witness, "kill")
        exit(top)
        await wait_exit(top)
    return failing.failed


async def wait(server: PID, outcomes: list[str]) -> None:
    outcomes.append(f"end: {await wait_exit(server, timeout=MINUTE)}")


def judge(heard: list[Any], outcomes: list[str], server: PID) -> None:
    told = sorted(type(news).__name__ for news in heard if news.pid is server)
    if told != ["Down", "Exit", "Left"]:
        raise Wrong(f"the witness was told {heard}")
    right = ["end: shutdown", "later: True", "now: True", "too late: False"]
    if sorted(outcomes) != right:
        raise Wrong(f"{outcomes}, expected {right}")
    if server in members("group"):
        raise Wrong("it is in its group")
    if any(process.pid is server for process in living()):
        raise Wrong("it lives")


def main(backend: str) -> None:
    logging.disable()
    count = clean = 0
    for number in range(LIMIT):
        faulthandler.dump_traceback_later(3 * MINUTE, exit=True)
        print(f"at {number}:", file=sys.stderr, flush=True)  # noqa: T201
        failed = anyio.run(scene, number, backend=backend)
        count, clean = (count + 1, 0) if failed else (count, clean + 1)
        if clean == ENOUGH:
            break
    print(f"{count:,} failed allocations of a death")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
