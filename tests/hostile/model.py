"""The registry as it is meant: written to be obvious, and compared with both twins.

There is one dict of entries, in order of registration, and one of groups. What the twins keep
beside their table, so as to be fast, is looked up here each time.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fauxtp._base.arguments import kind_of
from fauxtp.errors import NoProcess

__all__ = ["PID", "Registry", "retire"]

_turns = itertools.count()
_registries: weakref.WeakSet[Registry] = weakref.WeakSet()


class PID:
    """An identity, and whether its process is known to have exited."""

    def __init__(self) -> None:
        self.exited = False


@dataclass
class Entry:
    name: str
    pid: PID
    turn: int = field(default_factory=lambda: next(_turns))  # when the PID got the name


class Registry:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.watches: list[tuple[str, Callable[[PID], object]]] = []
        self.in_groups: dict[str, list[PID]] = {}
        _registries.add(self)

    def register(self, name: str, /, pid: PID) -> bool:
        name, pid = a_name(name), a_pid(pid)
        if pid.exited:
            raise NoProcess(pid)
        if name in self.entries:
            return False
        self.entries[name] = Entry(name, pid)
        for watched, callback in list(self.watches):
            if watched == name:
                with suppress(Exception):  # which is logged
                    callback(pid)
        return True

    def unregister(self, name: str, /, pid: PID | None = None) -> bool:
        name = a_name(name)
        expected = None if pid is None else a_pid(pid)
        entry = self.entries.get(name)
        if entry is None or (expected is not None and entry.pid is not expected):
            return False
        del self.entries[name]
        return True

    def whereis(self, name: str, /) -> PID | None:
        entry = self.entries.get(a_name(name))
        return entry.pid if entry else None

    def registered(self, prefix: str = "") -> list[str]:
        start = a_str(prefix, "prefix")
        return [name for name in self.entries if name.startswith(start)]

    def count(self, prefix: str = "") -> int:
        return len(self.registered(prefix))

    def names(self, pid: PID, /) -> list[str]:
        pid = a_pid(pid)
        mine = [entry for entry in self.entries.values() if entry.pid is pid]
        return [entry.name for entry in sorted(mine, key=lambda entry: entry.turn)]

    def release(self, pid: PID, /) -> list[str]:
        names = self.names(pid)
        for name in names:
            self.unregister(name)
        return names

    def transfer(self, name: str, /, holder: PID, successor: PID) -> bool:
        name = a_name(name)
        holder, successor = a_pid(holder, "holder"), a_pid(successor, "successor")
        if successor.exited:
            raise NoProcess(successor)
        entry = self.entries.get(name)
        if entry is None or entry.pid is not holder:
            return False
        if holder is not successor:
            entry.pid, entry.turn = successor, next(_turns)
        return True

    def watch(self, name: str, callback: Callable[[PID], object], /) -> None:
        self.watches.append((a_name(name), callback))

    def unwatch(self, name: str, callback: Callable[[PID], object], /) -> bool:
        watch = (a_name(name), callback)
        if watch not in self.watches:
            return False
        self.watches.remove(watch)
        return True

    def join(self, group: str, /, pid: PID) -> bool:
        group, pid = a_name(group, "group"), a_pid(pid)
        if pid.exited:
            raise NoProcess(pid)
        if pid in self.members(group):
            return False
        self.in_groups.setdefault(group, []).append(pid)
        return True

    def leave(self, group: str, /, pid: PID) -> bool:
        group, pid = a_name(group, "group"), a_pid(pid)
        if pid not in self.members(group):
            return False
        self.in_groups[group].remove(pid)
        if not self.in_groups[group]:
            del self.in_groups[group]
        return True

    def members(self, group: str, /) -> tuple[PID, ...]:
        return tuple(self.in_groups.get(a_name(group, "group"), ()))

    def groups(self, prefix: str = "") -> list[str]:
        start = a_str(prefix, "prefix")
        return [group for group in self.in_groups if group.startswith(start)]

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: str) -> bool:
        return self.whereis(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.registered())

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} name{'' if len(self) == 1 else 's'}>"


def retire(pid: PID, /) -> None:
    a_pid(pid).exited = True
    for registry in list(_registries):
        registry.release(pid)
        for group in registry.groups():
            registry.leave(group, pid)


def a_str(value: Any, parameter: str) -> str:
    if not issubclass(type(value), str):
        raise TypeError(f"expected {parameter} to be a str, got {kind_of(value)}")
    return str.__str__(value)


def a_name(value: Any, parameter: str = "name") -> str:
    name = a_str(value, parameter)
    if name == "":
        raise ValueError(f"expected {parameter} to have at least one character, got ''")
    return name


def a_pid(value: Any, parameter: str = "pid") -> PID:
    if type(value) is not PID:
        raise TypeError(f"expected {parameter} to be a PID, got {kind_of(value)}")
    return value
