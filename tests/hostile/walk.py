"""What a registry must do, as a dict that anybody can read; and a walk that compares them."""

from __future__ import annotations

import random
from typing import Any


class Model:
    """The right results: names and their PIDs in order, and who has exited."""

    def __init__(self, registry: Any) -> None:
        self.table: dict[str, Any] = {
            name: registry.whereis(name) for name in registry.registered()
        }
        self.names: dict[Any, list[str]] = {
            pid: registry.names(pid) for pid in self.table.values()
        }
        self.exited: set[Any] = set()

    def register(self, name: str, pid: Any) -> bool | str:
        if pid in self.exited and name not in self.table:
            return "NoProcess"
        if name in self.table:
            return "NoProcess" if pid in self.exited else False
        self.table[name] = pid
        self.names.setdefault(pid, []).append(name)
        return True

    def unregister(self, name: str, pid: Any = None) -> bool:
        holder = self.table.get(name)
        if holder is None or (pid is not None and holder is not pid):
            return False
        del self.table[name]
        self.names[holder].remove(name)
        return True

    def release(self, pid: Any) -> list[str]:
        names = self.names.pop(pid, [])
        for name in names:
            del self.table[name]
        return names

    def transfer(self, name: str, holder: Any, successor: Any) -> bool | str:
        if successor in self.exited:
            return "NoProcess"
        if self.table.get(name) is not holder:
            return False
        if holder is not successor:
            self.table[name] = successor
            self.names[holder].remove(name)
            self.names.setdefault(successor, []).append(name)
        return True

    def retire(self, pid: Any) -> None:
        self.exited.add(pid)
        self.release(pid)


def answer(function: Any, *arguments: Any) -> Any:
    """Return what a call returns, or the name of the error that it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__


def check(registry: Any, model: Model) -> None:
    """Raise unless the registry holds exactly what the model does."""
    names = registry.registered()
    assert names == list(model.table), (names, model.table)
    assert len(registry) == len(names)
    for name, pid in model.table.items():
        assert registry.whereis(name) is pid, name
    owned = [name for mine in model.names.values() for name in mine]
    assert sorted(owned) == sorted(names), (owned, names)
    for pid, mine in model.names.items():
        assert registry.names(pid) == mine, (registry.names(pid), mine)


def walk(twin: Any, registry: Any, steps: int, seed: str) -> None:
    """Do that many operations of all kinds; raise where the registry differs from the model."""
    chance = random.Random(seed)
    model = Model(registry)
    check(registry, model)
    pids = [twin.PID() for _ in range(4)]
    names = [*(f"walk:{number}" for number in range(6)), *list(model.table)[:4]]
    for _ in range(steps):
        name, pid, other = chance.choice(names), chance.choice(pids), chance.choice(pids)
        what = chance.choice(("register",) * 4 + ("unregister", "release", "transfer", "retire"))
        arguments = {
            "register": (name, pid),
            "unregister": (name, *([pid] if chance.random() < 0.5 else [])),
            "release": (pid,),
            "transfer": (name, pid, other),
            "retire": (pid,),
        }[what]
        method = twin.retire if what == "retire" else getattr(registry, what)
        came, expected = answer(method, *arguments), getattr(model, what)(*arguments)
        assert came == expected, (what, arguments, came, expected)
        if what == "retire":
            pids[pids.index(pid)] = twin.PID()
    check(registry, model)
