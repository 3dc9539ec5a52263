"""A connection that is lost now and then: it comes back by itself, and nobody has to ask twice.

Whoever wants something of the far end calls `Connection`, whatever state it is in. While it is
away, requests are postponed. It tries again after a while, longer each time; then they are sent.
A heartbeat tells that the far end has gone although nobody has said so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import anyio

from fauxtp import (
    POSTPONE,
    Call,
    Cast,
    NamedTimeout,
    Raise,
    Reply,
    StateMachine,
    StateTimeout,
    Transition,
    call,
    call_many,
    cast,
    exit,
)

FIRST, MOST = 0.01, 0.1  # seconds until it tries again
HEARTBEAT = 0.03  # seconds from one to the next
NO_HEARTBEAT = NamedTimeout("heartbeat", None)


class FarEnd:
    """What could be a server in another town: it refuses some attempts, and goes away at times."""

    def __init__(self) -> None:
        self.is_there = False

    async def connect(self) -> None:
        await anyio.sleep(0.001)
        if not self.is_there:
            raise ConnectionRefusedError("nobody there")

    async def ask(self, question: str) -> str:
        await anyio.sleep(0.001)
        if not self.is_there:
            raise ConnectionResetError("gone")
        return question.upper()


class State(Enum):
    DISCONNECTED = 1
    CONNECTED = 2


@dataclass(frozen=True)
class Data:
    far_end: FarEnd
    failures: int = 0  # in a row

    @property
    def back_off(self) -> float:
        return float(min(MOST, FIRST * 2**self.failures))


class Connection(StateMachine[State, Data]):
    def __init__(self, far_end: FarEnd) -> None:
        self.far_end = far_end

    async def init(self) -> Transition[State, Data]:
        return State.DISCONNECTED, Data(self.far_end), StateTimeout(0)

    async def handle_event(self, event: Any, state: State, data: Data) -> Transition[State, Data]:
        """Do what the state says; if the far end fails at that, try again in a while."""
        try:
            return await super().handle_event(event, state, data)
        except ConnectionError as error:
            print(f"  {error}; again in {data.back_off:g} s")
            failed = replace(data, failures=data.failures + 1)
            after = State.DISCONNECTED, failed, StateTimeout(data.back_off), NO_HEARTBEAT
            return (*after, POSTPONE) if isinstance(event, Call) else after

    async def in_disconnected(self, event: Any, data: Data) -> Transition[State, Data]:
        match event:
            case StateTimeout():
                await data.far_end.connect()
                return State.CONNECTED, replace(data, failures=0)
            case Call("how are you?"):
                return State.DISCONNECTED, data, Reply(event, "away")
        return State.DISCONNECTED, data, POSTPONE

    async def enter_connected(self, old: State | None, data: Data) -> Transition[State, Data]:
        print("  connected")
        return State.CONNECTED, data, NamedTimeout("heartbeat", HEARTBEAT)

    async def in_connected(self, event: Any, data: Data) -> Transition[State, Data]:
        match event:
            case NamedTimeout("heartbeat"):
                await data.far_end.ask("there?")
                return State.CONNECTED, data, event
            case Call("how are you?"):
                return State.CONNECTED, data, Reply(event, "well")
            case Call(str() as question):
                return State.CONNECTED, data, Reply(event, await data.far_end.ask(question))
            case Call():
                refused = Raise(TypeError("expected a question"))
                return State.CONNECTED, data, Reply(event, refused)
            case Cast("hang up"):
                return State.DISCONNECTED, data, StateTimeout(data.back_off), NO_HEARTBEAT
        return State.CONNECTED, data


async def main() -> None:
    far_end = FarEnd()
    async with anyio.create_task_group() as task_group:
        connection = await Connection.start(far_end, task_group=task_group, register_as="line")

        async def come_back(seconds: float) -> None:
            await anyio.sleep(seconds)
            far_end.is_there = True

        print("nobody is there yet:", await call("line", "how are you?"))
        task_group.start_soon(come_back, 0.02)
        print("but an answer comes:", await call("line", "hello"))

        print("the far end goes away, and nobody says so")
        far_end.is_there = False
        while await call("line", "how are you?") == "well":
            await anyio.sleep(0.005)
        task_group.start_soon(come_back, 0.02)
        print("an answer comes all the same:", await call("line", "and now?"))

        print("we hang up ourselves")
        await cast("line", "hang up")
        answers, failures = await call_many(["line", connection], "still there?")
        print(sorted(answers.values()), failures)
        exit("line")


if __name__ == "__main__":
    anyio.run(main)
