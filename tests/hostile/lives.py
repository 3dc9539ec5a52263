"""Scenarios of names, deaths and restarts: what must be true, whoever is quicker.

They are for `explore`: they draw from the module `random`, and assert as they go.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    PID,
    Call,
    ChildSpec,
    Down,
    Exit,
    GenServer,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    RestartStrategy,
    RestartType,
    Supervisor,
    call,
    cast,
    exit,
    is_alive,
    link,
    monitor,
    register,
    registered,
    restart_child,
    send_nowait,
    start_or_find,
    terminate_child,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)
from fauxtp._core.process import find_process
from hostile.scenes import SHORT, Crash, crash, end_of, moment, nobody_dead, pause, together

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
            assert whereis("holder") is not pid, "a name means a corpse"
    assert registered() == []


class Contender(GenServer[Any, Any]):
    """Takes the title when it is free, keeps it for a while, and is gone."""

    async def handle_cast(self, request: Any, state: Any) -> Any:
        while not register("title", self.pid):
            holder = whereis("title")
            assert holder is None or is_alive(holder), "a name means a corpse"
            await pause()
            if holder is not None and random.random() < 0.5:
                await wait_exit(holder)
                assert whereis("title") is not holder, "a name means a corpse"
        await pause()
        assert whereis("title") is self.pid, "somebody was given a name that another had"
        if random.random() < 0.5:
            crash()
        if random.random() < 0.5:
            assert unregister("title", self.pid)
            assert whereis("title") is not self.pid
        self.stop()


async def titles() -> None:
    """Everybody who waits for a name gets it in the end, and nobody has it beside another."""
    async with anyio.create_task_group() as group:
        contenders = [await Contender.start(task_group=group) for _ in range(4)]
        for contender in contenders:
            await cast(contender, "go")
        if random.random() < 0.5:
            await pause()
            exit(random.choice(contenders), random.choice(["shutdown", "kill"]))
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
        self.trap_exit = random.random() < 0.5

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


async def bring_back(chief: PID, name: str) -> None:
    while True:
        try:
            await restart_child(chief, name)
        except ValueError:  # somebody else has done so
            return
        except ProcessExited:  # killed in its `init`, or so was the chief
            continue
        else:
            return


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
                match random.randrange(3):
                    case 0:
                        assert await call(name, "who?", random.choice([None, moment()])) == name
                    case 1:
                        await cast(name, "crash")
                    case 2:
                        await terminate_child(chief, name)
                        await pause()
                        await bring_back(chief, name)
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
