"""Every operation of a registry, each on a fresh place with PIDs of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fauxtp.errors import NoProcess


def told(members: Any, news: Any) -> Any:
    """Return who is in a group, by who was in it and what has come since."""
    there = dict.fromkeys(members)
    while (news := news.next) is not None:
        if news.came:
            assert news.pid not in there
            there[news.pid] = None
        else:
            del there[news.pid]
    return tuple(there)


def names_told(there: dict[str, Any], news: Any) -> dict[str, Any]:
    """Return who has which name, by who had it and what has come since."""
    there = dict(there)
    while (news := news.next) is not None:
        for name in news.names:
            if news.came:
                assert name not in there, name
                there[name] = news.pid
            else:
                assert there.pop(name) is news.pid, name
    return there


def table_of(registry: Any) -> dict[str, Any]:
    return {name: registry.whereis(name) for name in registry}


class Place:
    """A registry with PIDs that have many names, one, one as a guest, and none."""

    def __init__(self, twin: Any, size: int) -> None:
        self.twin = twin
        self.registry, self.elsewhere = twin.Registry(), twin.Registry()
        self.many, self.one, self.guest, self.new = pids = [twin.PID() for _ in range(4)]
        self.pids = pids
        for number in range(size):
            self.registry.register(f"name:{number}", self.many)
        self.registry.register("held", self.one)
        self.elsewhere.register("elsewhere", self.guest)
        self.registry.register("guest", self.guest)
        for number in range(size):
            self.registry.join(f"group:{number}", self.many)
            self.registry.join("crowd", twin.PID())
        for pid in (self.one, self.guest):
            self.registry.join("group:0", pid)
        self.followed = self.registry.follow("group:0", bool)
        self.registry.follow("followed", bool)
        if size % 2:  # names that are kept in order; of the others, nobody has asked so far
            self.registry.registered("name")
            self.elsewhere.registered("else")
            self.registry.register("touched", self.many)
        self.heard: list[Any] = []
        self.names_followed = []
        if size % 3 == 0:  # in the others nobody follows the names
            for one in (self.registry, self.elsewhere):
                news = one.follow_names("h", bool)
                self.names_followed.append((one, table_of(one), news))
        for number in range(size):
            self.registry.watch("watched", self.heard.append)
            self.registry.watch(f"watched:{number}", print)

    def picture(self) -> Any:
        """Return what is to be seen of it all, alike in all places that are alike."""
        return [
            (
                registry.registered(),
                [self.pids.index(registry.whereis(name)) for name in registry],
                [registry.names(pid) for pid in self.pids],
                registry.registered("n") == [one for one in registry if one[0] == "n"],
                [
                    (group, [pid in registry.members(group) for pid in self.pids])
                    for group in registry.groups()
                ],
            )
            for registry in (self.registry, self.elsewhere)
        ] + [
            told(*self.followed) == self.registry.members("group:0"),
            *(names_told(*it) == table_of(one) for one, *it in self.names_followed),
        ]

    def retired(self) -> list[Any]:
        """Return the PIDs that get no name any more; the others have one more by now."""
        return [pid for pid in self.pids if not self.gets_a_name(pid)]

    def gets_a_name(self, pid: Any) -> bool:
        try:
            return bool(self.elsewhere.register(f"one more for {pid}", pid))
        except NoProcess:
            return False

    def watches(self) -> int:
        """Return how many watches there are, and end them."""
        count = 0
        for name in ("watched", "new"):
            while self.registry.unwatch(name, self.heard.append):
                count += 1
        return count


OPERATIONS: dict[str, Callable[[Place], object]] = {
    "register, first name": lambda at: at.registry.register("new", at.new),
    "register, second name": lambda at: at.registry.register("new", at.one),
    "register, next name": lambda at: at.registry.register("new", at.many),
    "register, of a guest": lambda at: at.registry.register("new", at.guest),
    "register, taken": lambda at: at.registry.register("held", at.new),
    "register, a new guest": lambda at: at.elsewhere.register("new", at.one),
    "unregister": lambda at: at.registry.unregister("held"),
    "unregister, one of many": lambda at: at.registry.unregister("name:0", at.many),
    "unregister, of a guest": lambda at: at.registry.unregister("guest", at.guest),
    "transfer, to many": lambda at: at.registry.transfer("held", at.one, at.many),
    "transfer, to new": lambda at: at.registry.transfer("held", at.one, at.new),
    "transfer, to a guest": lambda at: at.registry.transfer("held", at.one, at.guest),
    "transfer, from a guest": lambda at: at.registry.transfer("guest", at.guest, at.one),
    "whereis": lambda at: at.registry.whereis("held"),
    "in": lambda at: "held" in at.registry,
    "len": lambda at: len(at.registry),
    "repr": lambda at: repr(at.registry),
    "iteration": lambda at: [*at.registry],
    "registered": lambda at: at.registry.registered(),
    "registered, prefix": lambda at: at.registry.registered("name"),
    "registered, once more": lambda at: at.elsewhere.registered("else"),
    "count": lambda at: at.registry.count("name"),
    "names": lambda at: at.registry.names(at.many),
    "names, of a guest": lambda at: at.registry.names(at.guest),
    "release": lambda at: at.registry.release(at.many),
    "release, one": lambda at: at.registry.release(at.one),
    "release, a guest": lambda at: at.registry.release(at.guest),
    "release, nothing": lambda at: at.registry.release(at.new),
    "retire": lambda at: at.twin.retire(at.one),
    "retire, many": lambda at: at.twin.retire(at.many),
    "retire, a guest": lambda at: at.twin.retire(at.guest),
    "join": lambda at: at.registry.join("crowd", at.new),
    "join, a new group": lambda at: at.registry.join("new", at.new),
    "join, another group": lambda at: at.registry.join("crowd", at.one),
    "join, one more of many": lambda at: at.registry.join("new", at.many),
    "join, where somebody follows": lambda at: at.registry.join("group:0", at.new),
    "join, again": lambda at: at.registry.join("group:0", at.one),
    "leave": lambda at: at.registry.leave("group:0", at.one),
    "leave, as the last": lambda at: at.registry.leave("group:1", at.many),
    "leave, no member": lambda at: at.registry.leave("group:0", at.new),
    "members": lambda at: at.registry.members("crowd"),
    "groups": lambda at: at.registry.groups(),
    "groups, prefix": lambda at: at.registry.groups("group"),
    "follow": lambda at: at.registry.follow("crowd", at.heard.clear),
    "follow, one more": lambda at: at.registry.follow("group:0", int),
    "unfollow": lambda at: at.registry.unfollow("followed", bool),
    "follow names": lambda at: at.registry.follow_names("n", int),
    "follow names, again": lambda at: at.registry.follow_names("n", bool),
    "unfollow names": lambda at: at.registry.unfollow_names(bool),
    "withdraw": lambda at: at.twin.withdraw(at.many, "a reason"),
    "watch": lambda at: at.registry.watch("watched", at.heard.append),
    "watch, first": lambda at: at.registry.watch("new", at.heard.append),
    "unwatch": lambda at: at.registry.unwatch("watched", at.heard.append),
    "Registry": lambda at: at.twin.Registry().register("new", at.new),
    "PID": lambda at: at.twin.PID(),
    "Ref": lambda at: at.twin.Ref(),
}
