"""Short scenes of what services are made of: state machines, pending calls, timers, addresses.

Something comes in at one place after another of them: see intrusion_places.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    POSTPONE,
    Call,
    Cast,
    DynamicSupervisor,
    NextEvent,
    OnDemand,
    PendingCall,
    Reply,
    StateMachine,
    StateTimeout,
    Timer,
    call,
    cancel_timer,
    cast,
    cast_after,
    exit,
    send,
    send_after,
    start_call,
    wait_exit,
    whereis,
)
from hostile.intruded_servers import Accounts, Letter, Victim, Wrong


class Services:
    """What a scene has begun, and who intrudes may take back."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.pending: list[PendingCall[Any]] = []
        self.given_up: list[PendingCall[Any]] = []
        self.timers: dict[Timer, Letter] = {}

    def give_up(self) -> None:
        """Cancel the call that was started last."""
        pending = self.pending[-1:]
        if pending and pending[0].cancel():
            self.given_up += pending

    def cancel_all(self) -> None:
        """Cancel each timer: what it was to send is accounted for by who is told the time."""
        for timer, letter in self.timers.copy().items():
            if cancel_timer(timer) is not None:
                self.accounts.handled(letter)

    async def outcome_of(self, pending: PendingCall[Any], expected: Any) -> None:
        """Await the call; raise if its outcome is neither its answer, nor that it was given up."""
        try:
            answer = await pending
        except RuntimeError as error:
            if "cancelled" not in str(error) or pending not in self.given_up:
                raise Wrong(f"{pending}: {error}") from error
        else:
            if answer != expected or pending in self.given_up:
                raise Wrong(f"{pending}, {pending in self.given_up}: {answer}")


class Machine(StateMachine[str, Any]):
    """Opens, and postpones all letters until it is closed; or answers by what it gives itself."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    async def init(self) -> Any:
        return "closed", None

    async def in_closed(self, event: Any, asked: Any) -> Any:
        match event:
            case Call("open"):
                return "open", None, Reply(event, "open")
            case Call("insert"):
                return "closed", event, NextEvent("inserted")
            case Call("time"):
                return "waiting", event, StateTimeout(0)
            case NextEvent("inserted"):
                return "closed", None, Reply(asked, "insert")
            case Cast(letter) | letter:
                self.accounts.handled(letter)
        return "closed", asked

    async def in_open(self, event: Any, _: Any) -> Any:
        match event:
            case Call("close"):
                return "closed", None, Reply(event, "close")
        return "open", None, POSTPONE

    async def in_waiting(self, event: Any, asked: Any) -> Any:
        match event:
            case StateTimeout():
                return "closed", None, Reply(asked, "time")
        return "waiting", asked, POSTPONE


class Guest(Victim):
    """Is started when somebody asks it, and ends when nobody does."""

    accounts: Accounts

    def __init__(self, key: str) -> None:
        super().__init__(self.accounts)


class House(DynamicSupervisor):
    """Has as many guests as are needed."""


async def change(place: Any, group: TaskGroup) -> None:
    """A state machine: what it postpones comes again once, and each call has its answer."""
    pid = await Machine.start(place.accounts, task_group=group, register_as="victim")
    for asked in ("open", "letters", "close", "insert", "time"):
        if asked == "letters":
            await cast(pid, place.accounts.letter())
            await send(pid, place.accounts.letter())
        elif await call(pid, asked, timeout=None) != asked:
            raise Wrong(f"another answer to {asked}")


async def ask_later(place: Any, group: TaskGroup) -> None:
    """Pending calls: each has its own answer, or was given up by who was told so."""
    services = place.services
    pid = await Victim.start(place.accounts, task_group=group, register_as="victim")
    for number, how in enumerate(("now", "turn", "wait")):
        services.pending.append(start_call(pid, (how, number), None))
    for number, pending in [*enumerate(services.pending)][::-1]:
        await services.outcome_of(pending, number)


async def wait_a_while(place: Any, group: TaskGroup) -> None:
    """Timers: each letter is sent, or its timer was cancelled by who was told so."""
    services, accounts = place.services, place.accounts
    await Victim.start(accounts, task_group=group, register_as="victim")
    for after in (send_after, cast_after):
        for seconds in (0, 60):
            letter = accounts.letter()
            services.timers[after(seconds, "victim", letter)] = letter
    due = [letter.number for letter in services.timers.values()][::2]
    while not {*due} <= {*accounts.seen}:
        await anyio.sleep(0)
    services.cancel_all()


async def come_and_go(place: Any, group: TaskGroup) -> None:
    """An address: who is asked is started, and who comes too late for one starts the next."""
    kind = type("Guest", (Guest,), {"accounts": place.accounts})
    guests = OnDemand(kind, supervisor="house", prefix="vic", idle_timeout=1e-9)
    house = await House.start(task_group=group, register_as="house")
    try:
        if await call(guests["tim"], ("turn", 1), timeout=None) != 1:
            raise Wrong("another answer")
        await cast(guests["tim"], place.accounts.letter())
        await wait_exit("victim")
    finally:
        with anyio.CancelScope(shield=True):
            exit(house)
            await wait_exit(house)
    if whereis("victim") is not None:
        raise Wrong("a guest has outlived the house")


Scene = Callable[[Any, TaskGroup], Awaitable[None]]
Intrusion = Callable[[Any], object]


def scenes(intrusions: tuple[Intrusion, ...]) -> list[tuple[Scene, Intrusion]]:
    """Return each scene with whatever may come in: `intrusions`, and what is its own."""
    return [
        *product((change, ask_later, wait_a_while), intrusions),
        *product((come_and_go,), intrusions[1:]),
        (ask_later, lambda place: place.services.give_up()),
        (wait_a_while, lambda place: place.services.cancel_all()),
    ]
