"""How the time grows of what is done n times, while n things lie, wait or watch.

    python -m bench.growth [n]

For each structure: the time for n and for 4 n, and how often the one goes into the other. That
is 4 where each takes the same time; it is 16 where each takes as long as there are others. The
collector is off, as what that costs depends on all that there is.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    ANY,
    PID,
    Call,
    GenServer,
    Mailbox,
    ReceiveTimeout,
    Ref,
    call,
    exit,
    link,
    monitor,
    wait_exit,
    wait_registered,
)

USUAL = 10_000
TIMES = 4


class Watcher(GenServer[Any, Any]):
    """Watches whom it is told to."""

    async def handle_call(self, request: PID, from_: Call, state: Any) -> tuple[Ref, Any]:
        link(request)
        return monitor(request), state


async def scanned(number: int) -> Mailbox:
    """Return a mailbox with that many messages, of which a receiver wanted none."""
    box = Mailbox()
    for message in range(number):
        box.put_nowait(message)
    try:
        await box.receive((str, str), timeout=0)
    except ReceiveTimeout:
        pass
    return box


async def close_after_a_look(number: int) -> None:
    (await scanned(number)).close()


async def receive_after_a_look(number: int) -> None:
    box = await scanned(number)
    for _ in range(number):
        await box.receive((ANY, str))


async def leave_all_at_once(number: int, wait: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(wait)
        await anyio.sleep(0)
        await anyio.sleep(0)
        group.cancel_scope.cancel()


async def wait_for_room(number: int) -> None:
    box = Mailbox(max_size=1)
    box.put_nowait(0)
    await leave_all_at_once(number, lambda: box.put(1))
    box.close()


async def wait_for_messages(number: int) -> None:
    box = Mailbox()
    await leave_all_at_once(number, lambda: box.receive((ANY, str)))


async def wait_for_a_name(number: int) -> None:
    await leave_all_at_once(number, lambda: wait_registered("nobody"))


async def give_up_calls(number: int) -> None:
    box = Mailbox()
    for _ in range(number):
        try:
            await call(box.pid, 1, timeout=0)
        except ReceiveTimeout:
            pass
    box.close()


async def give_up_one_after_the_other(number: int) -> None:
    async def give_up() -> None:
        try:
            await call(box.pid, 1, timeout=0.05)
        except ReceiveTimeout:
            pass

    box = Mailbox()
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(give_up)
            await anyio.sleep(0)
    box.close()


async def die_watched(number: int) -> None:
    async def watch(group: TaskGroup) -> None:
        pid = await Watcher.start(task_group=group)
        for _ in range(number):
            await call(await Watcher.start(task_group=group), pid)
        exit(pid)
        await wait_exit(pid)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        await watch(group)


WORK = [
    *(close_after_a_look, receive_after_a_look, wait_for_room, wait_for_messages),
    *(wait_for_a_name, give_up_calls, give_up_one_after_the_other, die_watched),
]


def time_of(work: Callable[[int], Awaitable[None]], number: int) -> float:
    async def main() -> float:
        start = perf_counter()
        await work(number)
        return perf_counter() - start

    return asyncio.run(main())


def main(number: int) -> None:
    """Print a line for each structure."""
    gc.disable()
    for work in WORK:
        time_of(work, 100)
        few, many = time_of(work, number), time_of(work, TIMES * number)
        what = work.__name__.replace("_", " ")
        print(f"{what:28} {few:8.3f} s {many:8.3f} s {many / few:6.1f} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else USUAL)
