"""Registries with a fault each, which the hostile tests have to find."""

from __future__ import annotations

from fauxtp import _registry_py as python
from fauxtp._registry_py import PID, Registry


class ForgetsOrder(Registry):
    """Gives back what it releases, but not in the order in which it was given."""

    def release(self, pid: PID, /) -> list[str]:
        return sorted(super().release(pid))


class FreesForAnybody(Registry):
    """Does not ask whose name it is, if it is that of nobody who lives."""

    def unregister(self, name: str, /, pid: PID | None = None) -> bool:
        if type(pid) is PID and pid._exited:
            pid = None
        return super().unregister(name, pid)


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


class Broken:
    """The twin in Python, but with such a registry."""

    PID, Ref, retire = python.PID, python.Ref, staticmethod(python.retire)

    def __init__(self, registry: type[Registry]) -> None:
        self.Registry = type("Registry", (registry,), {})  # not to be known by its repr
