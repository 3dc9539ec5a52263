"""Scenarios of calls and messages: what becomes of each, whoever is quicker.

They are for `explore`: they draw from the module `random`, and assert as they go.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio

from fauxtp import (
    ANY,
    NO_REPLY,
    Actor,
    Call,
    DeadLetter,
    GenServer,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    Stop,
    call,
    dead_letters,
    exit,
    registered,
    reply,
    send,
)
from hostile.scenes import crash, end_of, moment, pause, together

# Calls


class Book:
    """What both sides of the calls know of them."""

    def __init__(self) -> None:
        self.given_up: set[int] = set()
        self.begun: set[int] = set()
        self.number = 0
        self.busy = False
        self.closed = False

    def begin(self, number: int) -> None:
        assert number not in self.given_up, "a call was executed after its caller gave up"
        assert number not in self.begun, "a call was executed twice"
        self.begun.add(number)


class Clerk(GenServer[Any, Any]):
    """Answers with the number of the call: now, later, last of all, or never."""

    def __init__(self, book: Book) -> None:
        self.book = book

    async def init(self) -> list[Call]:
        await pause()
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Call]) -> Any:
        assert not self.book.busy, "two calls were handled at a time"
        self.book.busy = True
        try:
            number, what = request
            return await self.handle(number, what, from_, state)
        finally:
            self.book.busy = False

    async def handle(self, number: int, what: str, from_: Call, state: list[Call]) -> Any:
        self.book.begin(number)
        if what == "slow":
            await pause()
        elif what == "crash":
            await pause()
            crash()
        elif what == "stop":
            await pause()
            raise Stop("done", reply=number)
        elif what == "later":
            self.start_soon_child(self.answer, from_)
            return NO_REPLY, state
        elif what == "next":
            for waiting in state:
                reply(waiting, waiting.request[0])
            return NO_REPLY, [from_]
        return number, state

    async def answer(self, from_: Call) -> None:
        await pause()
        reply(from_, from_.request[0])


async def calls() -> None:
    """A call gets one outcome, its own; what was given up before it began is not executed."""
    book = Book()
    ways = ["now", "slow", "slow", "later", "next", random.choice(["slow", "crash", "stop"])]

    async def client() -> None:
        for _ in range(3):
            await pause()
            if book.closed:
                return
            book.number += 1
            number, what, ended = book.number, random.choice(ways), False
            with anyio.move_on_after(moment() if random.random() < 0.3 else None):
                try:
                    timeout = random.choice([None, None, moment()])
                    answer = await call("clerk", (number, what), timeout)
                    assert answer == number, "a caller got the answer of another"
                    ended = True
                except (NoProcess, ProcessExited):
                    assert what == "next" or not book.closed, "a call was not answered"
                    ended = True
                except ReceiveTimeout:
                    pass
            if not ended and number not in book.begun:
                book.given_up.add(number)

    async def disturb() -> None:
        await pause()
        if random.random() < 0.3:
            await end_of(clerk)
        await anyio.sleep(1)  # by then, who still waits does so for a call that nobody made
        book.closed = True
        exit(clerk)

    async with anyio.create_task_group() as group:
        clerk = await Clerk.start(book, task_group=group, register_as="clerk")
        await together(client, client, client, disturb)
    assert registered() == []


# Messages


class Reader(Actor):
    """Notes what it is sent, and now and then wants one message before the others."""

    def __init__(self, received: list[Any]) -> None:
        self.received = received

    async def run(self, state: Any) -> Any:
        patterns: list[Any] = [(ANY, self.received.append)]
        if random.random() < 0.3:
            patterns.insert(0, (("urgent", ANY, ANY), self.note))
        try:
            await self.receive(*patterns, timeout=random.choice([None, moment()]))
        except ReceiveTimeout:
            pass
        if random.random() < 0.3:
            await pause()

    def note(self, sender: int, number: int) -> None:
        self.received.append(("urgent", sender, number))


class NarrowReader(Reader):
    mailbox_size = 2


def in_order(received: list[Any], kind: str) -> None:
    """Check that what one sent to another, of one kind, came in the order of sending."""
    last: dict[int, int] = {}
    for what, sender, number in received:
        if what == kind:
            assert last.get(sender, -1) < number, "a message overtook another"
            last[sender] = number


async def messages() -> None:
    """Each message is read once or is a dead letter once; none overtakes one of its kind."""
    received: list[Any] = []
    sent: list[Any] = []
    lost: list[Any] = []
    unsure: list[Any] = []

    async def sender(name: int) -> None:
        for number in range(6):
            message = (random.choice(["urgent", "plain"]), name, number)
            with anyio.move_on_after(moment() if random.random() < 0.2 else None) as scope:
                unsure.append(message)
                await send("reader", message)
                unsure.remove(message)
                sent.append(message)
            assert not scope.cancelled_caught or message in unsure
            await pause()

    def lose(letter: DeadLetter) -> None:
        lost.append(letter.message)

    async def disturb() -> None:
        await pause()
        if random.random() < 0.5:
            await end_of(reader)

    with dead_letters.observed_by(lose):
        async with anyio.create_task_group() as group:
            kind = random.choice([Reader, NarrowReader])
            reader = await kind.start(received, task_group=group, register_as="reader")
            await together(lambda: sender(1), lambda: sender(2), lambda: sender(3), disturb)
            await end_of(reader)
    for message, times in Counter(received + lost).items():
        assert times == 1, "a message was had twice"
        assert message in sent, "a message was had whose sender was told that it was not sent"
    assert len(received) + len(lost) == len(sent), "a message was lost"
    in_order(received, "urgent")
    in_order(received, "plain")


# Circles


class Partner(GenServer[Any, Any]):
    """Asks another one before it answers, sometimes after a while."""

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await pause()
        if not request:
            return "the end", state
        try:
            return await call(request[0], request[1:], timeout=None), state
        except Exception as error:
            return error, state


async def circles() -> None:
    """Whoever would wait for itself is told: nobody waits for ever."""

    async def ask() -> None:
        way = random.choices(["a", "b", "c"], k=random.randrange(1, 5))
        with anyio.move_on_after(random.choice([None, None, moment()])):
            await call(way[0], way[1:], timeout=None)

    async with anyio.create_task_group() as group:
        partners = [
            await Partner.start(task_group=group, register_as=name) for name in ("a", "b", "c")
        ]
        await together(ask, ask, ask)
        for partner in partners:
            exit(partner)
