"""Real tools that wrap coroutines, or run the event loop anew: servers live on under them."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from conftest import Run

# What each tool does to the event loop, as a function `install`; and why it cannot be tried.
TOOLS = {
    "sentry_sdk": """
import sentry_sdk
from sentry_sdk.integrations.asyncio import AsyncioIntegration

def install():
    sentry_sdk.init(
        traces_sample_rate=1.0,
        integrations=[AsyncioIntegration()],
        auto_enabling_integrations=False,  # to look for others takes longer than all the rest
    )
""",
    "aiomonitor": """
import aiomonitor

def install():
    loop = asyncio.get_running_loop()
    monitor = aiomonitor.start_monitor(
        loop, port=0, webui_port=0, console_enabled=False, hook_task_factory=True
    )
    at_the_end.append(monitor.close)
""",
    "nest_asyncio": """
import nest_asyncio

def install():
    nest_asyncio.apply(asyncio.get_running_loop())
""",
    "ddtrace": """
import os
os.environ.update(DD_TRACE_ENABLED="true", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
os.environ.update(DD_TRACE_AGENT_URL="http://127.0.0.1:1", DD_REMOTE_CONFIGURATION_ENABLED="false")
import logging
logging.disable(logging.CRITICAL)  # there is no agent
import ddtrace
from ddtrace.trace import tracer

def install():
    ddtrace.patch(asyncio=True)
    at_the_end.append(tracer.start_span("a request", activate=True).finish)
""",
}

PROGRAM = """
import asyncio, sys
import anyio
from fauxtp import *

at_the_end = []
TOOL

class Server(GenServer):
    async def init(self):
        return []

    async def handle_call(self, request, from_, state):
        return await getattr(self, request)(), state

    async def handle_cast(self, request, state):
        return [*state, request]

    async def handle_task_end(self, pid, status, result, state):
        return [*state, (status, result)]

    async def wait(self):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return "waited"

    async def child(self):
        self.start_soon_child(anyio.sleep, 60)
        return "child"

    async def task(self):
        return await self.spawn_task(self.wait)

    async def actor(self):
        return (await self.spawn_child_actor(Server)).pid

    async def crash(self):
        raise ValueError("a crash")

class Top(Supervisor):
    def child_specs(self):
        return [ChildSpec("server", Server, register_as="server")]

async def use(server):
    for request in ("wait", "child", "wait"):
        print(await call(server, request, timeout=30))
    await wait_exit(await call(server, "task", timeout=30))
    await cast(server, "cast")
    actor = await call(server, "actor", timeout=30)
    print(await call(actor, "wait", timeout=30))
    print(is_alive(server), is_alive(actor))

async def main():
    if sys.argv[1] == "early":
        install()
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group)
        await Server.start(task_group=group, register_as="second")
        if sys.argv[1] == "late":
            install()
        top = await Top.start(task_group=group)
        for each in (server, "second", "server"):
            await use(each)
        first = whereis("server")
        try:
            await call("server", "crash")
        except ProcessExited as error:
            print(repr(error.__cause__))
        print(await wait_registered("server") is not first)
        await use("server")
        for each in (server, "second", top):
            exit(each)
    for end in at_the_end:
        end()

asyncio.run(main())
print("ended")
"""

USED = ["waited", "child", "waited", "waited", "True True"]
PRINTED = [*USED * 3, "ValueError('a crash')", "True", *USED, "ended"]


def insist_on(tool: str) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: there may be no wheel for this Python")
    if tool == "nest_asyncio" and sys.version_info >= (3, 14):
        pytest.skip("nest_asyncio does not work with the asyncio of CPython 3.14 and later")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("hand_off", ["auto", "never"])
def test_servers_work_under_a_tool(tool: str, when: str, hand_off: str, run: Run) -> None:
    insist_on(tool)
    program = PROGRAM.replace("TOOL", TOOLS[tool])
    ended = run(program, when, FAUXTP_HANDOFF=hand_off)
    assert ended.stdout.splitlines() == PRINTED, ended.stderr
    assert "cannot enter context" not in ended.stderr


SPANS = """
import asyncio, anyio
from fauxtp import *

at_the_end = []
TOOL

class Server(GenServer):
    async def handle_call(self, request, from_, state):
        return current(), state

async def main():
    install()
    begin()
    assert current() is not None
    async with anyio.create_task_group() as group:
        for _ in range(3):
            server = await Server.start(task_group=group)
            print(await call(server, "span"))
            exit(server)
    for end in at_the_end:
        end()

asyncio.run(main())
"""

CURRENT = {
    "sentry_sdk": """
def begin():
    sentry_sdk.start_transaction(name="a request").__enter__()

def current():
    span = sentry_sdk.get_current_span()
    return span and span.containing_transaction  # a span of its own for each task is fine
""",
    "ddtrace": """
def begin():
    pass

def current():
    return tracer.current_span()
""",
}


@pytest.mark.parametrize("tool", CURRENT)
def test_the_spans_of_a_process_are_not_those_of_its_starter(tool: str, run: Run) -> None:
    insist_on(tool)
    ended = run(SPANS.replace("TOOL", TOOLS[tool] + CURRENT[tool]))
    assert ended.stdout.splitlines() == ["None"] * 3, ended.stderr


NESTED = """
import asyncio, sys
import anyio, nest_asyncio
from fauxtp import *

class Server(GenServer):
    async def init(self):
        return []

    async def handle_call(self, request, from_, state):
        if request == "history":
            return list(state), state
        loop = asyncio.get_running_loop()
        await cast(self.pid, "before")
        found = loop.run_until_complete(self.work())
        await cast(self.pid, "after")
        return found, state

    async def work(self):
        await cast(self.pid, "within")
        await asyncio.sleep(0.001)
        return 7

    async def handle_cast(self, request, state):
        return [*state, request]

class Caller(GenServer):
    async def handle_call(self, request, from_, state):
        return await call(request, "work", timeout=10), state

async def main():
    problems = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, problem: problems.append(problem))
    async with anyio.create_task_group() as group:
        await Caller.start(task_group=group)
        caller = await Caller.start(task_group=group)
        server = await Server.start(task_group=group)
        nest_asyncio.apply(loop)
        print(await call(server, "work", timeout=10))
        group.start_soon(send, caller, "meanwhile")
        print(await call(caller, server, timeout=10))
        print(await call(server, "history", timeout=10))
        await cast(server, "last")
        print((await call(server, "history", timeout=10))[-1])
        exit(caller)
        loop.call_soon(exit, server)
        try:
            await call(server, "work", timeout=10)
        except ProcessExited:
            pass
        await wait_exit(server, 10)
        group.cancel_scope.cancel()
    print(problems)

asyncio.run(main())
"""


@pytest.mark.parametrize("hand_off", ["auto", "never"])
def test_a_handler_may_run_the_event_loop_anew(hand_off: str, run: Run) -> None:
    insist_on("nest_asyncio")
    ended = run(NESTED, FAUXTP_HANDOFF=hand_off)
    history = ["before", "within", "after"] * 2
    assert ended.stdout.splitlines() == ["7", "7", repr(history), "last", "[]"], ended.stderr
