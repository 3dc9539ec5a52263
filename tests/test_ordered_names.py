"""Names in order: what begins with a text is found without a look at all, and is what is there."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import PATIENCE

from fauxtp._base.ordered_names import OrderedNames
from fauxtp._registry_py import FEW

LETTERS = ["a", "b", "\U0010ffff"]  # the last of all, too
PREFIXES = ["a", "b", "ab", "aba", "\U0010ffff", "a\U0010ffff", "c", "b\U0010ffff\U0010ffff"]


def a_name(dice: random.Random) -> str:
    return "".join(dice.choices(LETTERS, k=dice.randrange(1, 6)))


def come_and_go(dice: random.Random, table: dict[str, None]) -> list[str]:
    """Let some names come and go; return them in that order."""
    touched = [a_name(dice) for _ in range(dice.randrange(20))]
    for name in touched:
        if name in table:
            del table[name]
        else:
            table[name] = None
    return touched


def looks_like(names: OrderedNames, table: dict[str, None]) -> bool:
    for prefix in ("", *PREFIXES):
        expected = [name for name in table if name.startswith(prefix)]
        assert names.beginning_with(prefix) == expected
        assert names.count(prefix) == len(expected)
    return names.length == len(table)


@pytest.mark.usefixtures("in_order")  # so that there are many blocks
@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_a_look_at_all_names_finds(seed: int) -> None:
    dice = random.Random(seed)
    table = dict.fromkeys(a_name(dice) for _ in range(dice.randrange(60)))
    names = OrderedNames.of([*table])
    assert looks_like(names, table)
    for _ in range(15):
        before, was = names, dict(table)
        names = before.changed(come_and_go(dice, table), table)
        assert looks_like(names, table)
        assert looks_like(before, was), "it is never changed"


def test_what_is_made_of_it_shares_all_but_what_has_changed() -> None:
    names = OrderedNames.of([f"name:{number:05}" for number in range(20_000)])
    changed = names.changed(["name:12345"], {})
    theirs = {id(block) for block in names._blocks}
    assert [id(block) in theirs for block in changed._blocks].count(False) == 1


# In the table


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("seed", range(10))
def test_the_table_tells_names_in_order_of_registration(
    twin: Any, registry: Any, seed: int
) -> None:
    dice = random.Random(seed)
    pids = [twin.PID() for _ in range(4)]
    for _ in range(150):
        pid, name = dice.choice(pids), a_name(dice)
        match dice.randrange(9):
            case 0:
                registry.unregister(name)
            case 1 if dice.random() < 0.3:
                registry.release(pid)
            case 2 if dice.random() < 0.3:
                pids.remove(pid)
                pids.append(twin.PID())
                twin.retire(pid)
            case 3:
                registry.transfer(name, registry.whereis(name) or pid, pid)
            case 4:
                prefix = dice.choice(PREFIXES)
                expected = [one for one in registry.registered() if one.startswith(prefix)]
                assert registry.registered(prefix) == expected
                assert registry.count(prefix) == len(expected)
            case _:
                registry.register(name, pid)


def test_a_small_table_is_looked_through(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderedNames, "of", None)
    for number in range(FEW):
        registry.register(f"name:{number}", twin.PID())
    assert registry.registered("name:99") == ["name:99", *(f"name:99{i}" for i in range(10))]
    assert registry.count("name:99") == 11


def test_who_never_asks_for_some_has_no_order(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderedNames, "of", None)
    pid = twin.PID()
    for number in range(2 * FEW):
        registry.register(f"name:{number}", pid)
    assert len(registry.registered()) == registry.count() == len(registry.release(pid))


def test_what_most_names_begin_with_is_looked_for_in_all(twin: Any, registry: Any) -> None:
    pid = twin.PID()
    for number in range(2 * FEW):
        registry.register(f"name:{number}", pid)
    assert registry.registered("name:") == registry.registered()
    assert registry.count("name:") == len(registry)


def test_an_order_that_nobody_asks_for_any_more_is_given_up(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    of = OrderedNames.of

    def counted(names: list[str]) -> OrderedNames:
        made.append(len(names))
        return of(names)

    monkeypatch.setattr(OrderedNames, "of", counted)
    pid = twin.PID()
    for number in range(2_000):
        registry.register(f"name:{number}", pid)
    for _ in range(3):
        assert registry.count("name:199") == 11
        registry.register("one more", pid)
        registry.unregister("one more")
    assert made == [2_000], "kept while they are asked for"
    for _ in range(3_000):
        registry.register("one more", pid)
        registry.unregister("one more")
    assert registry.count("name:199") == 11
    assert made == [2_000, 2_000]


@pytest.mark.usefixtures("in_order")
def test_no_memory_for_an_order_leaves_the_table_as_it_was(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    pid = twin.PID()
    registry.register("a", pid)
    with monkeypatch.context() as patch:
        patch.setattr(OrderedNames, "of", no_memory)
        with pytest.raises(MemoryError):
            registry.registered("a")
    registry.register("ab", pid)
    assert registry.registered("a") == ["a", "ab"]
    with monkeypatch.context() as patch:
        patch.setattr(OrderedNames, "changed", no_memory)
        registry.unregister("a")
        with pytest.raises(MemoryError):
            registry.registered("a")
    assert registry.registered("a") == ["ab"]


@pytest.mark.usefixtures("in_order")
def test_somebody_who_keeps_changing_names_keeps_nobody_from_an_answer(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, changed = twin.PID(), OrderedNames.changed

    def late(names: OrderedNames, *arguments: Any) -> OrderedNames:
        if not registry.unregister("b"):
            registry.register("b", pid)
        return changed(names, *arguments)

    registry.register("a", pid)
    registry.registered("a")
    registry.register("ab", pid)
    monkeypatch.setattr(OrderedNames, "changed", late)
    assert registry.registered("a") == ["a", "ab"]
    assert registry.count("a") == 2


@pytest.mark.usefixtures("in_order")
def test_threads_that_ask_see_what_threads_have_done(twin: Any, registry: Any) -> None:
    start = threading.Barrier(3)

    def change(mine: str) -> None:
        start.wait(PATIENCE)
        for number in range(300):
            name, pid = f"{mine}:{number}", twin.PID()
            assert registry.register(name, pid)
            assert name in registry.registered(f"{mine}:")
            if number % 3:
                assert registry.unregister(name)
                assert name not in registry.registered(f"{mine}:")

    def ask() -> None:
        start.wait(PATIENCE)
        for _ in range(300):
            numbers = [int(name[4:]) for name in registry.registered("one:")]
            assert numbers == sorted(numbers)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(change, "one"), pool.submit(change, "two"), pool.submit(ask)]:
            done.result()
    for mine in ("one:", "two:"):
        assert registry.registered(mine) == [f"{mine}{number}" for number in range(0, 300, 3)]
