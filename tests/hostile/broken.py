"""Registries with a fault each, which the hostile tests have to find."""

from __future__ import annotations

from fauxtp import _registry_py as python
from fauxtp._registry_py import PID, Registry


class ForgetsOrder(Registry):
    """Gives back what it releases, but not in the order in which it was given."""

    def release(self, pid: PID, /) -> list[str]:
        return sorted(super().release(pid))


class FreesForAnybody(Registry):
    """Does not ask whose name it is, but only whether it was asked for a PID."""

    def unregister(self, name: str, /, pid: PID | None = None) -> bool:
        return super().unregister(name, None if type(pid) is PID else pid)


class PassesOnBlindly(Registry):
    """Lets a name go to its successor, whoever holds it."""

    def transfer(self, name: str, /, holder: PID, successor: PID) -> bool:
        if type(holder) is PID and type(name) is str and name:
            holder = self.whereis(name) or holder
        return super().transfer(name, holder, successor)


class MovesToTheEnd(Registry):
    """Transfers a name by registering it anew, which is another place in the table."""

    def transfer(self, name: str, /, holder: PID, successor: PID) -> bool:
        passed = super().transfer(name, holder, successor)
        if passed:
            self.unregister(name)
            self.register(name, successor)
        return passed


class SaysLess(Registry):
    """Refuses what it should refuse, in other words."""

    def names(self, pid: PID, /) -> list[str]:
        if type(pid) is not PID:
            raise TypeError("no PID")
        return super().names(pid)


class Racy(Registry):
    """Looks first and acts later; in between comes whoever wants to."""

    __slots__ = ()

    def between(self) -> object:
        """Happens between look and act; a test puts in what it likes."""

    def register(self, name: str, /, pid: PID) -> bool:
        if self.whereis(name) is not None:
            return False
        self.between()
        super().unregister(name)
        return super().register(name, pid)


class FreesTwice(Racy):
    """Unregisters without a lock."""

    def register(self, name: str, /, pid: PID) -> bool:
        return Registry.register(self, name, pid)

    def unregister(self, name: str, /, pid: PID | None = None) -> bool:
        holder = self.whereis(name)
        if holder is None or (pid is not None and holder is not pid):
            return False
        self.between()
        super().unregister(name)
        return True


class LeavesAGap(Racy):
    """Transfers in two steps, between which the name is free."""

    def transfer(self, name: str, /, holder: PID, successor: PID) -> bool:
        if not super().unregister(name, holder):
            return False
        self.between()
        return Registry.register(self, name, successor)


class Remembers(Registry):
    """Answers a second question without a look."""

    __slots__ = ("answers",)

    def whereis(self, name: str, /) -> PID | None:
        if not hasattr(self, "answers"):
            self.answers: dict[str, PID | None] = {}
        return self.answers.setdefault(name, super().whereis(name))


class TwoSteps(Registry):
    """Changes its two dicts one after the other, and lets others in between."""

    def register(self, name: str, /, pid: PID) -> bool:
        taken = name in self._table
        if not taken:
            self._table[name] = pid
            self._names.setdefault(pid, {})[name] = None
        return not taken


class AsksTheName(Registry):
    """Looks up a name as it comes, though it may be one with an opinion."""

    def whereis(self, name: str, /) -> PID | None:
        return self._table.get(name)


class Keeps(Registry):
    """Remembers whom it released, for ever."""

    __slots__ = ("released",)

    def _release(self, owner: PID, reason: object) -> tuple[list[str], python.News]:
        if not hasattr(self, "released"):
            self.released: list[PID] = []
        self.released.append(owner)
        return super()._release(owner, reason)


class Broken:
    """The twin in Python, but with such a registry."""

    PID, Ref = python.PID, python.Ref
    retire, withdraw = staticmethod(python.retire), staticmethod(python.withdraw)

    def __init__(self, registry: type[Registry]) -> None:
        self.Registry = type("Registry", (registry,), {})  # not to be known by its repr
