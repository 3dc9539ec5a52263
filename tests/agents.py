"""What tests of looking into programs share: a program, and servers in this one, to look into."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from conftest import PATIENCE

from fauxtp import ChildSpec, GenServer, Supervisor, call
from fauxtp import __main__ as commands
from fauxtp._commands.client import Viewer
from fauxtp.observe import Agent


def until(holds: Callable[[], Any]) -> Any:
    """Return the first answer that is true; nobody tells when that is."""
    end, pause = time.monotonic() + PATIENCE, 0.0
    while time.monotonic() < end:
        answer = holds()
        if answer:
            return answer
        time.sleep(pause)
        pause = min(pause + 0.0005, 0.02)
    raise AssertionError("it never was")


PROGRAM = """
import sys, anyio
from fauxtp import *

class Store(GenServer):
    async def handle_cast(self, request, state):
        await self.asks_the_database()
    async def asks_the_database(self):
        await anyio.sleep_forever()

class Application(Supervisor):
    def child_specs(self):
        return [ChildSpec("store", Store, register_as="store\\x1b[2J", shutdown=0)]

async def main():
    async with anyio.create_task_group() as group:
        await Application.start(task_group=group, register_as="app")
        await cast("store\\x1b[2J", ("get", "secret"))
        await anyio.wait_all_tasks_blocked()
        await send("store\\x1b[2J", "secret")
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        group.cancel_scope.cancel()

anyio.run(main, backend=sys.argv[1])
"""


@contextmanager
def program(
    backend: str = "asyncio", switch: str = "look", source: str = PROGRAM
) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", source, backend],
        env={**os.environ, "FAUXTP_OBSERVE": switch},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if source is PROGRAM else subprocess.DEVNULL,  # which crashes
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running.pid
        running.stdin.close()
    assert running.returncode == 0


def shows(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    commands.main(words)
    return capsys.readouterr().out


@contextmanager
def looking(one: Agent) -> Iterator[Viewer]:
    with Viewer(one.path) as viewer:
        yield viewer


class Busy(GenServer[Any, Any]):
    """Waits in a handler, or blocks its event loop, until it is let go on."""

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "wait":
            await self.waits_here()
        elif callable(request):
            request()
        return state

    async def waits_here(self) -> None:
        await anyio.sleep_forever()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await call(request, "anything", timeout=None), state


class Application(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec(name, Busy, register_as=name, shutdown=0.01) for name in ("a", "b", "c")]
