"""A scenario of what was accepted before the end: none of it is lost at the end.

It is for `explore`, and asserts as it goes.
"""

from __future__ import annotations

import random
from typing import Any

from fauxtp import (
    Actor,
    Call,
    ChildSpec,
    GenServer,
    NoProcess,
    ProcessExited,
    RestartStrategy,
    StateMachine,
    Supervisor,
    call,
    cast,
    exit,
    running,
    terminate_child,
    wait_exit,
)
from hostile.scenes import pause, together


class Ledger(GenServer[Any, int]):
    """Writes down, at its end, how much it was told of."""

    trap_exit = True

    def __init__(self, written: list[int]) -> None:
        self.written = written
        self.mailbox_size = random.choice([0, 1, 3])

    async def init(self) -> int:
        return 0

    async def handle_cast(self, amount: int, total: int) -> int:
        await pause()
        return total + amount

    async def terminate(self, reason: str, total: int) -> None:
        await pause()
        self.written.append(total)


class LedgerMachine(StateMachine[str, int]):
    """Does the same, as a state machine."""

    trap_exit = True

    def __init__(self, written: list[int]) -> None:
        self.written = written

    async def init(self) -> Any:
        return "open", 0

    async def in_open(self, event: Any, total: int) -> Any:
        await pause()
        return "open", total + event.request

    async def terminate(self, reason: str, state: Any) -> None:
        self.written.append(state[1])


class Desk(GenServer[int, None]):
    """Accepts what it has told the ledger of."""

    async def handle_call(self, amount: int, from_: Call, state: None) -> tuple[bool, None]:
        await cast("ledger", amount)
        return True, None


class Bank(Supervisor):
    strategy = RestartStrategy.REST_FOR_ONE

    def __init__(self, written: list[int]) -> None:
        self.written = written

    def child_specs(self) -> list[ChildSpec]:
        kinds: list[type[Actor]] = [Ledger, LedgerMachine]
        kind = random.choice(kinds)
        return [
            ChildSpec("ledger", kind, args=(self.written,), register_as="ledger"),
            ChildSpec("desk", Desk, register_as="desk"),
        ]


async def ledgers() -> None:
    """All that was accepted is written down at the end, whichever way it comes."""
    written: list[int] = []
    accepted = 0

    async def pay(amount: int) -> None:
        nonlocal accepted
        await pause()
        try:
            if await call("desk", amount):
                accepted += amount
        except (NoProcess, ProcessExited):
            pass

    async def end() -> None:
        async with running(Bank, written) as bank:
            await pause()
            await pause()
            match random.randrange(3):
                case 0:
                    exit(bank)
                    await wait_exit(bank)
                case 1:
                    await terminate_child(bank, "desk")
                    await terminate_child(bank, "ledger")

    await together(end, *[lambda amount=amount: pay(amount) for amount in (1, 2, 4, 8)])
    assert len(written) == 1, "the ledger was not closed once"
    assert accepted & ~written[0] == 0, "what was accepted is lost"
