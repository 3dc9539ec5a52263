"""A small world of processes that must be unharmed, whatever is done to its public side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

import fauxtp
from fauxtp.testing import TestActor

ROUNDS = 60  # turns of the event loop that anything in this world has to happen


class Server(fauxtp.GenServer[Any, Any]):
    """Answers everything with itself; calls what it is cast."""

    trap_exit = True  # it links with whomever it is told to

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if type(request) is Inside:
            await request.run(self)
        return state


class Inside:
    """Something that the server does itself, and what came of it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._do = function, arguments
        self.done = anyio.Event()
        self.result: Any = None
        self.error: Exception | None = None

    async def run(self, server: Server) -> None:
        function, arguments = self._do
        try:
            self.result = function(server, *arguments)
            if hasattr(type(self.result), "__await__"):
                self.result = await self.result
        except Exception as error:
            self.error = error
        finally:
            self.done.set()


class Idle(fauxtp.Actor):
    async def run(self, state: Any) -> Any:
        await anyio.Event().wait()


class Chief(fauxtp.Supervisor):
    def child_specs(self) -> list[fauxtp.ChildSpec]:
        return [fauxtp.ChildSpec("child", Idle)]


class Parts(fauxtp.PartitionSupervisor):
    partitions = 2

    def partition_spec(self, number: int) -> fauxtp.ChildSpec:
        return fauxtp.ChildSpec("part", Server)


class World:
    """The processes, names and mailboxes, and where more of them can be started."""

    def __init__(self, group: TaskGroup, spent: TaskGroup) -> None:
        self.group = group
        self.spent = spent  # a task group that has ended
        self.gone = fauxtp.PID()
        self.turn = 0

    async def settle(self) -> None:
        """Start what must live."""
        self.server = await Server.start(task_group=self.group, register_as="server")
        self.chief = await Chief.start(task_group=self.group, register_as="chief")
        self.tester = await TestActor.start(task_group=self.group)
        self.mailbox = fauxtp.Mailbox()
        parts = await Parts.start(task_group=self.group, register_as="parts")
        fauxtp.exit(parts)  # who has partitions is known from then on
        await fauxtp.wait_exit(parts)
        self.alive = set(fauxtp.processes())
        self.names = self._names()

    def _names(self) -> dict[str, fauxtp.PID | None]:
        return {name: fauxtp.whereis(name) for name in fauxtp.registered()}

    async def tidy(self) -> None:
        """End what was started, and free what was named, by a call that was in order."""
        for pid in fauxtp.processes():
            if pid not in self.alive:
                fauxtp.exit(pid, "kill")
                await fauxtp.wait_exit(pid)
        for name in fauxtp.registered():
            if name not in self.names:
                fauxtp.unregister(name)

    async def check(self) -> None:
        """Raise unless everything lives, answers, and has its name."""
        question = object()
        assert set(fauxtp.processes()) == self.alive, fauxtp.tree()
        assert self._names() == self.names, "the registry has changed"
        assert await fauxtp.call(self.server, question) is question
        [child] = await fauxtp.which_children(self.chief)
        assert child.pid is not None
        assert fauxtp.is_alive(child.pid)
        assert TestActor.of(self.tester).get_messages() is not None
        while len(self.mailbox):
            self.mailbox.take_nowait()
        await self.mailbox.put(question)
        assert await self.mailbox.receive((object, lambda message: message)) is question


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Make a world, and end it."""
    async with anyio.create_task_group() as spent:
        pass
    async with anyio.create_task_group() as group:
        made = World(group, spent)
        await made.settle()
        try:
            yield made
        finally:
            group.cancel_scope.cancel()
