"""A scenario of children that come and go: what must be true, whoever is quicker.

It is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from typing import Any

import anyio

from fauxtp import (
    PID,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    NoChild,
    ProcessExited,
    RestartType,
    TooManyChildren,
    cast,
    exit,
    is_alive,
    process_infos,
    registered,
    start_child,
    terminate_child,
    wait_exit,
    which_children,
)
from hostile.scenes import SHORT, Crash, crash, moment, pause, together

MOST = 3


class House(DynamicSupervisor):
    max_children = MOST
    max_restarts = 10_000


class Book:
    """Whom each guest was, by PIDs, and who was sent away."""

    def __init__(self) -> None:
        self.numbers: dict[PID, int] = {}
        self.sent_away: set[int] = set()

    def is_in(self, number: int) -> bool:
        return any(is_alive(pid) for pid, other in self.numbers.items() if other == number)


class Guest(GenServer[Any, Any]):
    def __init__(self, number: int, book: Book) -> None:
        self.number, self.book = number, book

    async def init(self) -> None:
        assert self.number not in self.book.sent_away, "who was terminated was started again"
        self.book.numbers[self.pid] = self.number
        try:
            await pause()
        finally:
            with anyio.CancelScope(shield=True):  # who gives up the start has to wait for it
                await pause()
        if random.random() < 0.2:
            crash()

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await pause()
        if request == "crash":
            crash()
        self.stop()

    async def terminate(self, reason: str, state: Any) -> None:
        await pause()


def _spec(number: int, book: Book) -> ChildSpec:
    hurry = random.random() < 0.3
    waits = random.random() < 0.3
    return ChildSpec(
        f"guest {number}",
        Guest,
        args=(number, book),
        restart=random.choice(list(RestartType)),
        register_as=random.choice([None, f"guest {number}"]),
        start_timeout=random.choice([0.5, 0.8]) * SHORT if hurry else None,
        backoff=Backoff(first=SHORT / 2, most=SHORT) if waits else None,
    )


async def guests() -> None:
    """Whoever lives is known, whoever is terminated is gone, and there is room for the rest."""
    book = Book()
    came = iter(range(1000))

    async def arrive() -> None:
        try:
            with anyio.move_on_after(random.choice([None, moment()]) or SHORT * 100):
                await start_child(chief, _spec(next(came), book))
        except (Crash, TooManyChildren, TimeoutError, ProcessExited):
            pass

    async def send_away(pid: PID) -> None:
        try:
            await terminate_child(chief, pid)
        except NoChild:
            return
        number = book.numbers[pid]
        book.sent_away.add(number)
        assert not book.is_in(number), "who was terminated lives"

    async def meddle() -> None:
        for _ in range(8):
            await pause()
            pid = random.choice([*book.numbers, None])
            match random.randrange(5):
                case 0 | 1:
                    await arrive()
                case 2 if pid is not None:
                    await send_away(pid)
                case 3 if pid is not None:
                    await cast(pid, random.choice(["crash", "stop"]))
                case 4 if pid is not None and is_alive(pid):
                    exit(pid, random.choice(["shutdown", "kill"]))

    async with anyio.create_task_group() as group:
        chief = await House.start(task_group=group)
        await together(meddle, meddle, meddle)
        if random.random() < 0.7:  # else in the middle of it
            await anyio.sleep(1)
            known = {child.pid for child in await which_children(chief)}
            living = {info.pid for info in process_infos() if info.supervisor is chief}
            assert living == known, "a child is not known, or not restarted"
            room = MOST - len(known)
            for _ in range(room):
                await start_child(chief, ChildSpec("plain", GenServer))
            try:
                await start_child(chief, ChildSpec("plain", GenServer))
            except TooManyChildren:
                pass
            else:
                raise AssertionError("there are more children than there may be")
        exit(chief, random.choice(["shutdown", "kill"]))
        await wait_exit(chief)
        assert not any(map(is_alive, book.numbers)), "a child outlived its supervisor"
    assert registered() == []
