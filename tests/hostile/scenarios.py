"""What processes may do to each other, and what must be true of it whoever is quicker.

Each scenario is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    ANY,
    NO_REPLY,
    PID,
    Actor,
    Call,
    ChildSpec,
    DeadLetter,
    Down,
    Exit,
    GenServer,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    RestartStrategy,
    RestartType,
    Stop,
    Supervisor,
    call,
    cast,
    dead_letters,
    exit,
    is_alive,
    link,
    monitor,
    registered,
    reply,
    send,
    send_nowait,
    start_or_find,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)
from fauxtp.process import find_process

Scenario = Callable[[], Awaitable[object]]

SHORT = 0.01  # seconds, within which timeouts and sleeps lie


class Crash(Exception):
    """A crash that is meant."""


def crash() -> NoReturn:
    raise Crash


def moment() -> float:
    return SHORT * random.random()


async def pause() -> None:
    """Give way, for a turn or for a while, or not at all."""
    choice = random.randrange(3)
    if choice == 1:
        await anyio.sleep(0)
    elif choice == 2:
        await anyio.sleep(moment())


async def together(*functions: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as group:
        for function in functions:
            group.start_soon(function)


async def end_of(pid: PID) -> None:
    """End a process in one of the ways there are, and wait for it."""
    exit(pid, random.choice(["shutdown", "kill"]))
    await wait_exit(pid)


# Calls


class Book:
    """What both sides of the calls know of them."""

    def __init__(self) -> None:
        self.given_up: set[int] = set()
        self.begun: set[int] = set()
        self.number = 0
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
        number, what = request
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


# Names


class Holder(GenServer[Any, Any]):
    """Lives under a name; only one of them may."""

    def __init__(self, generations: list[PID]) -> None:
        self.generations = generations

    async def init(self) -> None:
        assert not any(map(is_alive, self.generations)), "two generations live at once"
        self.generations.append(self.pid)
        await pause()
        if random.random() < 0.2:
            crash()

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await pause()
        crash()

    async def terminate(self, reason: str, state: Any) -> None:
        await pause()


def nobody_dead(name: str) -> None:
    pid = whereis(name)
    assert pid is None or find_process(pid) is not None, "a name means a corpse"


async def names() -> None:
    """Of those who want to start the holder of a name, one does; a name means who lives."""
    generations: list[PID] = []

    async def seek(group: TaskGroup) -> None:
        for _ in range(3):
            try:
                pid = await start_or_find("holder", Holder, generations, task_group=group)
            except (Crash, ProcessExited):
                continue
            nobody_dead("holder")
            if random.random() < 0.5:
                await cast(pid, "crash")
            else:
                await pause()

    async def observe() -> None:
        for _ in range(5):
            try:
                with anyio.move_on_after(moment()):
                    pid = await wait_registered("holder", random.choice([None, moment()]))
                    nobody_dead("holder")
                    await wait_exit(pid, random.choice([None, moment()]))
                    assert find_process(pid) is None
                    assert whereis("holder") is not pid, "a name means a corpse"
            except ReceiveTimeout:
                pass

    async with anyio.create_task_group() as group:
        await together(lambda: seek(group), lambda: seek(group), lambda: seek(group), observe)
        while (pid := whereis("holder")) is not None:
            await end_of(pid)
    assert registered() == []


# Monitors and links


class Mourner(GenServer[Any, Any]):
    """Monitors, or links with, whom it is told, and counts what it hears."""

    trap_exit = True

    def __init__(self, told: Counter[PID], words: list[Any]) -> None:
        self.told = told
        self.words = words

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        how, pid = request
        how(pid)
        return None, state

    async def handle_info(self, message: Any, state: Any) -> Any:
        match message:
            case Down(_, PID() as pid, _) | Exit(PID() as pid, _):
                self.told[pid] += 1
            case (sender, word):
                assert not self.told[sender], "a message came after the news of a death"
                self.words.append((sender, word))


class Mortal(GenServer[Any, Any]):
    """Has last words."""

    def __init__(self, heir: PID) -> None:
        self.heir = heir

    async def handle_cast(self, request: Any, state: Any) -> Any:
        for word in range(3):
            send_nowait(self.heir, (self.pid, word))
            await pause()
        if request == "crash":
            crash()
        self.stop()

    async def terminate(self, reason: str, state: Any) -> None:
        await pause()


class Couple(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        link(request)
        return None, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await pause()
        crash()


async def deaths() -> None:
    """Each monitor and each link tells once, after the last words; couples die together."""
    told: Counter[PID] = Counter()
    words: list[Any] = []

    async def die(mortal: PID) -> None:
        await pause()
        if random.random() < 0.7:
            await cast(mortal, random.choice(["crash", "stop"]))
        else:
            exit(mortal, random.choice(["shutdown", "kill"]))
        await wait_exit(mortal)

    async def couple(group: TaskGroup) -> None:
        one = await Couple.start(task_group=group)
        other = await Couple.start(task_group=group)

        async def marry() -> None:
            await pause()
            try:
                await call(one, other)
            except (NoProcess, ProcessExited):
                pass

        await together(marry, lambda: cast(random.choice([one, other]), "crash"))
        exit(one)
        await wait_exit(one)
        exit(other)
        await wait_exit(other)

    async with anyio.create_task_group() as group:
        mourner = await Mourner.start(told, words, task_group=group)
        mortals = [await Mortal.start(mourner, task_group=group) for _ in range(3)]

        async def watch(mortal: PID) -> None:
            await pause()
            await call(mourner, (random.choice([monitor, link]), mortal))

        await together(
            *[lambda mortal=mortal: die(mortal) for mortal in mortals],
            *[lambda mortal=mortal: watch(mortal) for mortal in mortals],
            lambda: couple(group),
        )
        with anyio.fail_after(5):
            while len(told) < len(mortals):
                await anyio.sleep(SHORT)
        exit(mourner, "kill")
    assert sorted(told.values()) == [1, 1, 1], "a death was told twice"
    for mortal in mortals:
        mine = [word for sender, word in words if sender is mortal]
        assert mine == list(range(len(mine))), "last words were lost, or came in disorder"


# Supervisors


class Child(GenServer[Any, Any]):
    """Is one of its kind; crashes when cast to."""

    def __init__(self, name: str, living: dict[str, PID], order: list[str]) -> None:
        self.name, self.living, self.order = name, living, order

    async def init(self) -> None:
        before = self.living.get(self.name)
        assert before is None or not is_alive(before), "two generations live at once"
        assert whereis(self.name) is self.pid
        self.living[self.name] = self.pid
        await pause()

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await pause()
        return self.name, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await pause()
        crash()

    async def terminate(self, reason: str, state: Any) -> None:
        self.order.append(self.name)
        await pause()


class Chief(Supervisor):
    max_restarts = 100

    def __init__(self, living: dict[str, PID], order: list[str]) -> None:
        self.living, self.order = living, order
        self.strategy = random.choice(list(RestartStrategy))

    def child_specs(self) -> list[ChildSpec]:
        args = self.living, self.order
        return [
            ChildSpec("a", Child, args=("a", *args), register_as="a"),
            ChildSpec("b", Child, args=("b", *args), register_as="b"),
            ChildSpec(
                "c", Child, args=("c", *args), register_as="c", restart=RestartType.TRANSIENT
            ),
        ]


async def restarts() -> None:
    """No two generations live at once; all are back in the end, and stop in reverse order."""
    living: dict[str, PID] = {}
    order: list[str] = []

    async def meddle() -> None:
        for _ in range(3):
            await pause()
            name = random.choice("abc")
            nobody_dead(name)
            try:
                if random.random() < 0.5:
                    assert await call(name, "who?", random.choice([None, moment()])) == name
                else:
                    await cast(name, "crash")
            except (NoProcess, ProcessExited, ReceiveTimeout):
                pass

    async def kill() -> None:
        await pause()
        pid = whereis(random.choice("abc"))
        if pid is not None:
            exit(pid, "kill")

    async with anyio.create_task_group() as group:
        chief = await Chief.start(living, order, task_group=group)
        await together(meddle, meddle, kill)
        early = random.random() < 0.3  # in the middle of restarts
        if not early:
            await anyio.sleep(1)
            for child in await which_children(chief):
                assert child.pid is not None, "a child was not restarted"
                assert whereis(child.id) is child.pid
            order.clear()
        exit(chief)
        await wait_exit(chief)
        assert early or order == ["c", "b", "a"], "the children did not stop in order"
        assert not any(map(is_alive, living.values())), "a child outlived its supervisor"
    assert registered() == []


# Waiting for each other


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


ALL: tuple[Scenario, ...] = (calls, messages, names, deaths, restarts, circles)
