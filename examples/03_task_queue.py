"""A queue of jobs and a pool of workers.

Clients call the queue and get the result of their job. Workers call it, too, and get a job.
Whoever has to wait is answered later: the queue keeps the call and goes on.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import anyio

from fauxtp import (
    NO_REPLY,
    Actor,
    Call,
    ChildSpec,
    GenServer,
    Supervisor,
    call,
    cast,
    exit,
    reply,
)

WORKERS = 3
JOBS = 9


class Queue(GenServer[Any, Any]):
    async def init(self) -> None:
        self.jobs: deque[tuple[Call, int]] = deque()  # with whoever waits for the result
        self.idle: deque[Call] = deque()  # workers that wait for a job

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:
            case ("compute", int(number)):
                self.jobs.append((from_, number))
            case "give me work":
                self.idle.append(from_)
        while self.jobs and self.idle:
            reply(self.idle.popleft(), self.jobs.popleft())
        return NO_REPLY, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        match request:
            case ("done", client, result):
                reply(client, result)
        return state


class Worker(Actor):
    def __init__(self, number: int) -> None:
        self.number = number

    async def run(self, state: Any) -> Any:
        client, number = await call("queue", "give me work", timeout=None)
        await anyio.sleep(0.001)  # the work
        await cast("queue", ("done", client, (number, number**2, f"worker {self.number}")))


class Pool(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        workers = [
            ChildSpec(f"worker {number}", Worker, args=(number,))
            for number in range(1, WORKERS + 1)
        ]
        return [ChildSpec("queue", Queue, register_as="queue"), *workers]


async def main() -> None:
    results: list[tuple[int, int, str]] = []

    async def client(number: int) -> None:
        results.append(await call("queue", ("compute", number)))

    async with anyio.create_task_group() as task_group:
        await Pool.start(task_group=task_group, register_as="pool")
        async with anyio.create_task_group() as clients:
            for number in range(1, JOBS + 1):
                clients.start_soon(client, number)
        exit("pool")

    for number, square, worker in sorted(results):
        print(f"{number} squared is {square}, says {worker}")
    print("jobs done:", len(results))
    print("by each worker:", dict(sorted(Counter(worker for _, _, worker in results).items())))


if __name__ == "__main__":
    anyio.run(main)
