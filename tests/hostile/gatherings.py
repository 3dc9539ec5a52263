"""A scenario of groups: who is in them, what they are told, who hears of it, whoever is quicker.

It is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from typing import Any

import anyio

from fauxtp import (
    PID,
    Call,
    DeadLetter,
    GenServer,
    Joined,
    Left,
    ReceiveTimeout,
    call,
    cast,
    dead_letters,
    demonitor,
    exit,
    groups,
    join,
    leave,
    members,
    monitor_group,
    publish,
    wait_exit,
)
from fauxtp._core.process import find_process
from hostile.scenes import crash, end_of, moment, pause, together


class Member(GenServer[Any, None]):
    """Joins and leaves as it likes, and notes what it hears."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    async def init(self) -> None:
        if random.random() < 0.5:
            join("crew")
        await pause()

    async def handle_info(self, message: str, state: None) -> None:
        self.heard.append(message)

    async def handle_cast(self, request: str, state: None) -> None:
        for _ in range(3):
            was_there = self.pid in members("crew")
            if random.random() < 0.5:
                assert join("crew") is not was_there
            else:
                assert leave("crew") is was_there
            await pause()
        if request == "crash":
            crash()
        self.stop()


class Watcher(GenServer[Any, list[PID]]):
    """Knows who is in the group by what it is told."""

    async def init(self) -> list[PID]:
        self.ref = monitor_group("crew")
        return []

    async def handle_info(self, message: Any, there: list[PID]) -> list[PID]:
        if message.ref is not self.ref:
            return there  # it lay in the mailbox as that was ended
        match message:
            case Joined(_, "crew", pid):
                assert pid not in there, "who was there was told to come"
                return [*there, pid]
            case Left(_, "crew", pid, reason):
                assert pid in there, "who was not there was told to go"
                assert reason is None or find_process(pid) is None, "the living had an end"
                there.remove(pid)
        return there

    async def handle_call(self, request: str, from_: Call, there: list[PID]) -> Any:
        if request == "again":  # and from the beginning
            demonitor(self.ref)
            self.ref = monitor_group("crew")
            there = []
        return tuple(there), there


def nobody_dead() -> tuple[PID, ...]:
    there = members("crew")
    assert all(find_process(pid) is not None for pid in there), "a member is a corpse"
    return there


async def gatherings() -> None:
    """Who watches a group knows who is in it; what is published is had by as many as it says."""
    heard: list[str] = []
    lost: list[DeadLetter] = []

    def lose(letter: DeadLetter) -> None:
        if isinstance(letter.message, str):  # and not the answer to a call that was given up
            lost.append(letter)

    with dead_letters.observed_by(lose):
        published = await gather(heard)
    assert groups() == [], "a member is a corpse"
    assert len(heard) + len(lost) == published, "a message was lost, or counted but not sent"


async def gather(heard: list[str]) -> int:
    """Let some come and go, and be watched; return how often something was published."""
    published = 0

    async def tell() -> None:
        nonlocal published
        for number in range(4):
            count = len(nobody_dead())
            assert publish("crew", f"news {number}") == count, "a member was left out"
            published += count
            await pause()

    async with anyio.create_task_group() as group:
        watchers = [await Watcher.start(task_group=group) for _ in range(2)]
        started = [await Member.start(heard, task_group=group) for _ in range(3)]
        await together(
            tell,
            lambda: ask(random.choice(watchers)),
            *[lambda member=member: act(member) for member in started],
        )
        late = await Member.start(heard, task_group=group)
        for watcher in watchers:
            assert await call(watcher, "who is there?") == members("crew"), "news were lost"
        assert await call(watchers[0], "again") == ()
        assert await call(watchers[0], "who is there?") == members("crew"), "news were lost"
        await end_of(late)
        for watcher in watchers:
            assert await call(watcher, "who is there?") == (), "news were lost"
            exit(watcher)
    return published


async def act(member: PID) -> None:
    await pause()
    await cast(member, random.choice(["crash", "stop"]))
    if random.random() < 0.3:
        await pause()
        exit(member, random.choice(["shutdown", "kill"]))
    await wait_exit(member)
    assert member not in nobody_dead(), "a member is a corpse"


async def ask(watcher: PID) -> None:
    for _ in range(3):
        try:
            request = random.choice(["who is there?", "again"])
            await call(watcher, request, random.choice([None, moment()]))
        except ReceiveTimeout:
            pass
        await pause()
