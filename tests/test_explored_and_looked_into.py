"""explore, while others look in by the agent: it finds the same, and nothing is left of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import until
from crew import Cell
from hostile.scenes import together

from fauxtp import ProcessExited, call, cast, exit, processes, registered, start_call
from fauxtp._base import switches
from fauxtp._commands.client import Viewer
from fauxtp.observe import serve
from fauxtp.testing import SeedFailed, explore
from fauxtp.testing.simulation import Scenario, Simulations

pytestmark = pytest.mark.usefixtures("place")

SEEDS = 12
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("processes", {}),
    ("top", {}),
    ("stacks", {}),
    ("counts", {}),
    ("process", {"which": "cell"}),
    ("state", {"which": "cell"}),
)

look: Callable[[], object] = bool
"""What scenarios call in the middle: nothing, or somebody looks in, and they wait for that."""


async def an_update_is_lost() -> None:
    async def increment() -> None:
        before = await call("cell", "get")
        look()
        await call("cell", before + 1)

    async with anyio.create_task_group() as group:
        await Cell.start(task_group=group, register_as="cell")
        await together(increment, increment)
        assert await call("cell", "get") == 2
        exit("cell")


async def all_is_well() -> None:
    async def ask() -> None:
        with suppress(ProcessExited):
            await call("cell", "crash", timeout=None)

    async with anyio.create_task_group() as group:
        await Cell.start(task_group=group, register_as="cell")
        pending = start_call("cell", "never", timeout=60.0)
        await anyio.sleep(1.0)
        await cast("cell", 1)
        look()
        await together(ask, ask)
        with pytest.raises(ProcessExited):
            await pending


def ways(scenario: Scenario) -> list[tuple[str, int]]:
    """Return how each run ends, and the way that it took."""
    with Simulations.begun() as simulations:
        ends = [simulations.run(scenario, seed) for seed in range(SEEDS)]
    return [(repr(end.error), end.trace) for end in ends]


def what_fails(scenario: Scenario) -> tuple[int, str]:
    with pytest.raises(SeedFailed) as failed:
        explore(scenario, SEEDS)
    return failed.value.seed, str(failed.value)


@contextmanager
def looked_into(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Have somebody look in all the time, somebody watch, and somebody in the middle of it."""
    over, answers = threading.Event(), list[Any]()
    with serve(allow={"look", "state"}) as agent, Viewer(agent.path) as viewer:

        def looks() -> None:
            assert switches.simulated
            for question, how in QUESTIONS:
                answers.append((question, list(viewer.ask(question, **how))))

        def ask(path: Path) -> None:
            with Viewer(path) as mine:
                for question, how in itertools.cycle(QUESTIONS):
                    with suppress(ValueError):  # there is no such process just now
                        list(mine.ask(question, **how))
                    if over.is_set():
                        return

        def watch(path: Path) -> None:
            with Viewer(path) as mine:
                for _ in mine.ask("watch"):
                    if over.is_set():
                        return

        lookers = [threading.Thread(target=it, args=(agent.path,)) for it in (ask, watch)]
        for looker in lookers:
            looker.start()
        try:
            with monkeypatch.context() as patched:
                patched.setitem(globals(), "look", looks)
                yield answers
        finally:
            over.set()
            for looker in lookers:
                looker.join()


@pytest.mark.parametrize("scenario", [an_update_is_lost, all_is_well])
def test_who_looks_in_changes_no_way_and_no_end(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    threads = set(threading.enumerate())
    alone = ways(scenario)
    failing = scenario is an_update_is_lost
    assert failing == any(error != "None" for error, _ in alone)
    found = what_fails(scenario) if failing else None
    with looked_into(monkeypatch) as answers:
        assert ways(scenario) == alone
        if failing:
            assert what_fails(scenario) == found
        else:
            explore(scenario, SEEDS)
    assert {question for question, _ in answers} == {question for question, _ in QUESTIONS}
    states = [answer[0] for question, answer in answers if question == "state"]
    assert {(state["state"], state["is_blocked"]) for state in states} == {(None, True)}
    assert {state["process"]["class"] for state in states} == {"Cell"}
    assert (processes(), registered()) == ([], [])
    assert not list(place.rglob("*.sock"))
    until(lambda: set(threading.enumerate()) <= threads)  # theirs notice that they hung up
