"""The locks of the registry: what is done under them, and what is not; fork beside them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PATIENCE, Run

from fauxtp import _registry_py as python


def test_a_callback_may_wait_for_a_thread_that_uses_the_registry(twin: Any, registry: Any) -> None:
    """No lock is held while somebody else's code runs."""
    done = threading.Event()

    def use() -> None:
        registry.register("another", twin.PID())
        registry.watch("another", print)
        assert registry.unwatch("another", print)
        done.set()

    def wait(pid: object) -> None:
        threading.Thread(target=use, daemon=True).start()
        assert done.wait(PATIENCE), "registered under a lock"

    registry.watch("kvstore", wait)
    assert registry.register("kvstore", twin.PID())


class Witness:
    """A lock that looks when it is taken, and when it is given back."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self.look = look
        self.taken: list[Any] = []
        self.given_back: list[Any] = []

    def __enter__(self) -> None:
        self.taken.append(self.look())

    def acquire(self, blocking: bool) -> bool:
        return blocking  # by who would not wait: another has it

    def __exit__(self, *_: object) -> None:
        self.given_back.append(self.look())


UNDER_THE_LOCK: dict[str, Callable[[Any, Any, Any], Any]] = {
    "register": lambda registry, old, new: registry.register("new", new),
    "unregister": lambda registry, old, new: registry.unregister("kvstore"),
    "transfer": lambda registry, old, new: registry.transfer("kvstore", old, new),
    "names": lambda registry, old, new: registry.names(old),
    "release": lambda registry, old, new: registry.release(old),
    "retire": lambda registry, old, new: python.retire(old),
    "join": lambda registry, old, new: registry.join("crew", new),
    "leave": lambda registry, old, new: registry.leave("crew", old),
}


@pytest.mark.parametrize("operation", UNDER_THE_LOCK)
def test_the_twin_in_python_changes_names_under_its_lock_only(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the other one is not to be had."""
    registry, old, new = python.Registry(), python.PID(), python.PID()

    def look() -> Any:
        names = [(name, registry.whereis(name)) for name in registry]
        return names, old._exited, registry.members("crew")

    registry.register("kvstore", old)
    registry.join("crew", old)
    before, witness = look(), Witness(look)
    with monkeypatch.context() as patch:
        patch.setattr(python, "_lock", witness)
        UNDER_THE_LOCK[operation](registry, old, new)
    assert (witness.taken[:1], witness.given_back[-1:]) == ([before], [look()])


@pytest.mark.parametrize("operation", ["watch", "unwatch"])
def test_watches_are_changed_under_their_lock_only(
    twin: Any, registry: Any, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def look() -> int:
        heard.clear()
        registry.register("kvstore", twin.PID())
        registry.unregister("kvstore")
        return len(heard)

    registry.watch("kvstore", heard.append)
    before, witness = look(), Witness(look)
    with monkeypatch.context() as patch:
        patch.setattr(twin, "_watch_lock", witness)
        getattr(registry, operation)("kvstore", heard.append)
    assert (witness.taken[:1], witness.given_back[-1:]) == ([before], [look()])
    assert look() != before


# This may hang when it fails, so it runs in a process of its own.

HELD_LOCKS = """
import importlib, os, sys, threading
twin = importlib.import_module(f"fauxtp.{sys.argv[1]}")
held, done = threading.Event(), threading.Event()

def hold():
    with twin._watch_lock, getattr(twin, "_lock", twin._watch_lock):
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    twin.default.watch("kvstore", print)
    works = twin.default.unwatch("kvstore", print) and twin.register("kvstore", twin.PID())
    os._exit(0 if works else 1)
done.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_locks_held_by_another_thread_do_not_survive_fork(twin: Any, run: Run) -> None:
    done = run(
        HELD_LOCKS,
        twin.__name__.rpartition(".")[2],
        options=("-W", "ignore::DeprecationWarning"),
    )
    assert (done.returncode, done.stderr) == (0, "")


# This may hang, too.

COLLECTED = """
import gc, importlib, sys
twin = importlib.import_module(f"fauxtp.{sys.argv[1]}")
gc.disable()
gc.callbacks.append(lambda phase, info: registry.register("late", late))
gc.set_threshold(1)
kept = []
for operation in ("register", "transfer"):
    for guest in (False, True):
        registry, elsewhere = twin.Registry(), twin.Registry()
        old, new, late = twin.PID(), twin.PID(), twin.PID()
        (elsewhere if guest else registry).register("first", new)
        registry.register("kvstore", old)
        kept.append([{} for _ in range(1000)])  # else a new dict is one that was thrown away
        gc.enable()
        if operation == "register":
            registry.register("another", new)
        else:
            registry.transfer("kvstore", old, new)
        gc.disable()
        late_ones = ["late"] if registry.whereis("late") else []
        assert registry.names(late) == late_ones
        first = [] if guest else ["first"]
        assert registry.names(new) == [*first, "another" if operation == "register" else "kvstore"]
"""


def test_a_collection_while_a_second_name_is_given_may_use_the_registry(
    twin: Any, run: Run
) -> None:
    """On CPython 3.11 one may begin at any allocation; so nothing is allocated under the lock."""
    done = run(COLLECTED, twin.__name__.rpartition(".")[2])
    assert (done.returncode, done.stderr) == (0, "")
