"""A default registry that a test has for itself, and the processes that it leaves running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fauxtp.errors import NoProcess
from fauxtp.observe.inspection import process_info, processes
from fauxtp.registry import PID, default

__all__ = ["empty_registry", "free_names", "leave_groups", "left_running"]


@contextmanager
def empty_registry() -> Iterator[set[PID]]:
    """Empty the default registry; afterwards it is what it was. Yield what runs already.

    Processes that run then keep their names and groups; one that has ended does not get its back.
    """
    running = set(processes())
    names, memberships = free_names(), leave_groups()
    try:
        yield running
    finally:
        living = set(processes())
        free_names(but_for=living)
        leave_groups(but_for=living)
        for name, pid in names:
            with suppress(NoProcess):  # it ended meanwhile
                default.register(name, pid)
        for group, pid in memberships:
            with suppress(NoProcess):
                default.join(group, pid)


def free_names(but_for: set[PID] | frozenset[PID] = frozenset()) -> list[tuple[str, PID]]:
    """Free all names, but for those of some processes; return what was freed."""
    freed = []
    for name in default:
        pid = default.whereis(name)
        if pid is not None and pid not in but_for and default.unregister(name, pid):
            freed.append((name, pid))
    return freed


def leave_groups(but_for: set[PID] | frozenset[PID] = frozenset()) -> list[tuple[str, PID]]:
    """Empty all groups, but for some processes; return who was taken out of which."""
    return [
        (group, pid)
        for group in default.groups()
        for pid in default.members(group)
        if pid not in but_for and default.leave(group, pid)
    ]


def left_running(before: set[PID]) -> list[str]:
    """Return a line for each process that runs, and did not run before."""
    return [_describe(pid) for pid in processes() if pid not in before]


def _describe(pid: PID) -> str:
    """Return what a process is, in a line."""
    try:
        info = process_info(pid)
    except NoProcess:
        return f"{pid!r}, which has ended meanwhile"
    names = "".join(f" {name!r}" for name in info.names)
    return f"{info.actor_class.__qualname__}{names} {pid!r}, {info.phase.value}"
