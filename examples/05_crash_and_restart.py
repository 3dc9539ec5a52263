"""A named server is killed while many clients call it, and stays reachable.

The name always means the process that lives now. A call that the dying server had not
answered fails at once, with the reason; nobody sits through a timeout. The crash is logged,
with its traceback, to stderr.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio

from fauxtp import (
    PID,
    Call,
    ChildSpec,
    GenServer,
    NoProcess,
    ProcessExited,
    Supervisor,
    call,
    cast,
    exit,
    wait_exit,
    wait_registered,
    whereis,
)

CLIENTS = 20
CALLS = 50  # of each client


class Greeter(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await anyio.sleep(0)  # others have their turn: so there are always calls waiting
        return f"hello {request}", state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        raise RuntimeError(f"what is {request!r}?")


class Keeper(Supervisor):
    max_restarts = 10

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("greeter", Greeter, register_as="greeter")]


class Client:
    """Calls again and again; what fails it repeats, as soon as the name is there again."""

    answers = failures = 0

    async def work(self) -> None:
        for number in range(CALLS):
            while not await self.succeeds(number):
                await wait_registered("greeter")

    async def succeeds(self, number: int) -> bool:
        try:
            answer = await call("greeter", number)
        except (NoProcess, ProcessExited):
            self.failures += 1
            return False
        assert answer == f"hello {number}"
        self.answers += 1
        return True


async def main() -> None:
    clients = [Client() for _ in range(CLIENTS)]
    third: PID | None = None
    async with anyio.create_task_group() as task_group:
        await Keeper.start(task_group=task_group, register_as="keeper")
        async with anyio.create_task_group() as load:
            for client in clients:
                load.start_soon(client.work)

            first = await wait_registered("greeter")
            await call("greeter", "from main")
            exit(first, "kill")  # from outside
            print("the first greeter ended:", await wait_exit(first))

            second = await wait_registered("greeter")
            await call("greeter", "from main")
            await cast("greeter", "this")  # by a bug of its own
            print("the second greeter ended:", await wait_exit(second))

            third = await wait_registered("greeter")
            print("a third one has the name:", third not in (first, second))

        print("answers:", sum(client.answers for client in clients), "of", CLIENTS * CALLS)
        print("failures that were repeated:", sum(client.failures for client in clients))
        print("still the third:", whereis("greeter") == third)
        exit("keeper")


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    anyio.run(main)
