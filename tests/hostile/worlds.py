"""One history told to several registries at once, each with PIDs of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Outcome = tuple[str, Any]


class Loud(Exception):
    """What a callback raises."""


@dataclass
class Pid:
    """Stands for one of the PIDs that a world has made, in a call that all worlds get."""

    number: int


@dataclass
class Taken:
    """Stands for one of the names that are taken."""

    number: int


@dataclass
class Callback:
    """Stands for one of the callbacks; the last of them raises."""

    number: int


class World:
    """An implementation, and the registries and PIDs that stand for the same in all worlds."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin
        self.pids: list[Any] = []
        self.registries: list[Any] = []
        self.heard: list[tuple[int, str]] = []
        self.callbacks = [self.callback(number) for number in range(3)]

    def callback(self, number: int) -> Callable[[Any], None]:
        def hear(pid: Any) -> None:
            self.heard.append((number, self.plain(pid)))
            if number == 2:
                raise Loud(number)

        return hear

    def real(self, registry: Any, stand_in: Any) -> Any:
        """Return what a stand-in stands for in this world; anything else is what it is."""
        things: list[Any]
        match stand_in:
            case Pid():
                things = self.pids
            case Taken():
                things = registry.registered() or ["name:1"]
            case Callback():
                things = self.callbacks
            case _:
                return stand_in
        return things[stand_in.number % len(things)]

    def plain(self, answer: Any) -> Any:
        """Return an answer as it is in all worlds."""
        if type(answer) is self.twin.PID:
            numbers = [number for number, known in enumerate(self.pids) if known is answer]
            return f"PID {numbers}"
        if type(answer) is tuple:
            return [self.plain(pid) for pid in answer]
        if type(answer) is list:
            assert all(type(name) is str for name in answer), "not exact str"
        return answer

    def outcome(self, operation: Callable[..., Any], registry: Any, *arguments: Any) -> Outcome:
        """Let something happen in this world; return what came of it."""
        real = [self.real(registry, argument) for argument in arguments]
        try:
            return "answer", self.plain(operation(*real))
        except Exception as error:
            text = str(error)
            for number, pid in enumerate(self.pids):
                text = text.replace(repr(pid), f"PID {number}")
            return f"{type(error).__module__}.{type(error).__qualname__}", text

    def picture(self) -> list[Any]:
        """Return all that can be seen of all registries."""
        return [
            (
                repr(registry),
                len(registry),
                list(registry),
                registry.registered(),
                [self.plain(registry.whereis(name)) for name in registry],
                [registry.names(pid) for pid in self.pids],
                registry.groups(),
                [self.plain(registry.members(group)) for group in registry.groups()],
            )
            for registry in self.registries
        ]
