"""A scenario of sessions that start when they are needed: what must be true, whoever is quicker.

It is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio

from fauxtp import (
    PID,
    Call,
    DynamicSupervisor,
    GenServer,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    call,
    cast,
    exit,
    is_alive,
    registered,
    send_nowait,
    wait_exit,
    whereis,
)
from hostile.scenes import SHORT, crash, moment, pause, together

Letter = tuple[str, int, int]  # to which key, of whom, the how manieth


class House(DynamicSupervisor):
    """Has as many sessions as are needed."""


class Book:
    """What was handled by whom, and who lives."""

    def __init__(self) -> None:
        self.lives: dict[str, list[PID]] = {}
        self.handled: list[Letter] = []
        self.crashes = random.random() < 0.3


class Session(GenServer[Any, Any]):
    """Handles what it is sent, and ends when there is nothing to do for a moment."""

    book: Book

    def __init__(self, key: str) -> None:
        self.key = key

    async def init(self) -> None:
        others = self.book.lives.setdefault(self.key, [])
        assert not any(map(is_alive, others)), "two sessions of one key live at once"
        others.append(self.pid)
        await pause()
        if self.book.crashes and random.random() < 0.1:
            crash()

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await self.handle(request)
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> None:
        await self.handle(request)

    async def handle_info(self, message: Any, state: Any) -> None:
        await self.handle(message)

    async def handle(self, letter: Letter) -> None:
        key, *_ = letter
        assert key == self.key, "a message went astray"
        self.book.handled.append(letter)
        await pause()
        if self.book.crashes and random.random() < 0.1:
            crash()
        if random.random() < 0.1:
            self.stop("enough")

    async def terminate(self, reason: str, state: Any) -> None:
        await pause()


async def sessions() -> None:
    """One of each key lives at a time; whatever it is sent is handled once, and in order."""
    book = Book()
    kind: type[Session] = type("Session", (Session,), {"book": book})
    idle_timeout = random.choice([SHORT / 4, SHORT])
    on_demand = OnDemand(kind, supervisor="house", prefix="at:", idle_timeout=idle_timeout)
    sent: list[Letter] = []

    async def talk(me: int) -> None:
        for number in range(8):
            await pause()
            key = random.choice("ab")
            letter = key, me, number
            to = on_demand[key]
            match random.randrange(4):
                case 0:
                    send_nowait(to, letter)
                case 1:
                    await cast(to, letter)
                case _:
                    await ask(to, letter)
            sent.append(letter)
            if random.random() < 0.1 and (pid := whereis(to)) is not None and book.crashes:
                exit(pid, random.choice(["shutdown", "kill"]))

    async def ask(to: str, letter: Letter) -> None:
        try:
            answer = await call(to, letter, random.choice([None, moment()]))
            assert answer == letter, "the answer is another's"
        except ReceiveTimeout:
            book.crashes = True  # it need not be handled
        except ProcessExited as error:
            ends_itself = error.taken_up and error.reason == "enough"
            assert book.crashes or ends_itself, "a call failed though nobody crashed"

    async with anyio.create_task_group() as group:
        chief = await House.start(task_group=group, register_as="house")
        await together(*[lambda me=me: talk(me) for me in range(4)])
        await anyio.sleep(20 * SHORT)
        assert registered() == ["house"], "an idle session has not ended"
        judge(book, sent)
        exit(chief)
        await wait_exit(chief)
    assert registered() == []


def judge(book: Book, sent: list[Letter]) -> None:
    handled = Counter(book.handled)
    assert not [letter for letter, times in handled.items() if times > 1], "it was handled twice"
    assert book.crashes or set(sent) <= set(handled), "a message was lost"
    for key in "ab":
        for me in range(4):
            mine = [number for to, of, number in book.handled if (to, of) == (key, me)]
            assert mine == sorted(mine), "a message overtook another"
