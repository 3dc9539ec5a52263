"""The auction house of the tutorial: its ledger has each bid that was accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from pages import pages, programs_of

from fauxtp import NoProcess, ProcessExited, call, running
from fauxtp.testing import SeedFailed, explore

PAGE = "tutorial/6_program.md"
LINE = "    trap_exit = True  # it ends when it has written down what it was told\n"


@pytest.fixture
def house() -> str:
    """Its program, as it stands on the page."""
    page = pages().get(PAGE)
    if page is None:
        pytest.skip("docs are not here")
    return next(one.text for one in programs_of(PAGE, page) if one.file == "house.py")


def sale(house: str) -> Callable[[], Awaitable[None]]:
    """Return a scenario of that program, in which bids come as the house is closed."""
    names: dict[str, Any] = {"__name__": "house"}
    exec(house, names)
    closed: dict[str, int] = {}
    names["print"] = lambda *_: None

    async def terminate(ledger: Any, reason: str, bids: dict[str, int]) -> None:
        closed.update(bids)

    names["Ledger"].terminate = terminate

    async def bid(amount: int, accepted: list[int]) -> None:
        try:
            if await call("auction:lamp", amount):
                accepted.append(amount)
        except (NoProcess, ProcessExited):
            pass

    async def scenario() -> None:
        closed.clear()
        accepted = [10]  # as the house was opened
        async with anyio.create_task_group() as bidders, running(names["House"]):
            for amount in range(11, 15):
                bidders.start_soon(bid, amount, accepted)
            for _ in range(3):
                await anyio.sleep(0)
        assert max(accepted) <= closed["lamp"], "a bid was accepted, and is lost"

    return scenario


def test_no_bid_is_lost_that_was_accepted(house: str) -> None:
    explore(sale(house), seeds=40)


@pytest.mark.once
def test_a_ledger_that_is_interrupted_loses_bids(house: str) -> None:
    assert LINE in house
    with pytest.raises(SeedFailed, match="is lost"):
        explore(sale(house.replace(LINE, "")), seeds=2000)
