"""Any thread, any moment: threads, and fork beside them. hostile/ has worse."""

from __future__ import annotations

import contextlib
import gc
import itertools
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from conftest import Run, unmeasured
from twins_of import form_of

from fauxtp.errors import NoProcess

THREADS = 8
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
STEPS = 20_000 if GIL else 200_000  # without it, each has to be quicker to meet another
ERROR = OSError()


def in_threads(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each of `works` in a thread; start them together; return what they return."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def start(number: int) -> None:
        barrier.wait()
        results[number] = works[number]()

    threads = [threading.Thread(target=start, args=(number,)) for number in range(len(works))]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return results


def test_of_many_threads_one_gets_the_name(twin: Any, registry: Any) -> None:
    for round_ in range(200):
        name = f"round:{round_}"
        pids = [twin.PID() for _ in range(THREADS)]
        attempts = [partial(registry.register, name, pid) for pid in pids]
        won = in_threads(attempts)
        assert won.count(True) == 1
        assert registry.whereis(name) is pids[won.index(True)]


def test_of_many_threads_one_frees_the_name(twin: Any, registry: Any) -> None:
    for _ in range(200):
        registry.register("kvstore", twin.PID())
        assert in_threads([partial(registry.unregister, "kvstore")] * THREADS).count(True) == 1


def test_of_many_successors_one_gets_the_name(twin: Any, registry: Any) -> None:
    holder = twin.PID()
    registry.register("kvstore", holder)
    for _ in range(200):
        pids = [twin.PID() for _ in range(THREADS)]
        attempts = [partial(registry.transfer, "kvstore", holder, pid) for pid in pids]
        won = in_threads(attempts)
        assert won.count(True) == 1
        holder = pids[won.index(True)]
        assert registry.whereis("kvstore") is holder


def test_serial_numbers_are_unique_over_threads(twin: Any) -> None:
    made = in_threads([lambda: [twin.PID() for _ in range(10_000)]] * THREADS)
    assert len({repr(pid) for pids in made for pid in pids}) == THREADS * 10_000


def test_one_pid_is_named_in_many_threads(twin: Any, registry: Any) -> None:
    """From none to one to several names, and back, while others ask for them and free them."""
    pid = twin.PID()
    names = [f"name:{number}" for number in range(4)]

    def come_and_go(step: int) -> None:
        for number in range(0, STEPS * step, step):
            registry.register(f"name:{number % 4}", pid)  # which nobody else keeps
            registry.unregister(f"name:{number // 2 % 4}", pid)

    def look(operation: Callable[[Any], list[str]]) -> None:
        for _ in range(STEPS):
            listed = operation(pid)
            assert len(set(listed)) == len(listed)
            assert set(listed) <= set(names)

    works = [partial(come_and_go, 1), partial(come_and_go, 3)]
    in_threads([*works, partial(look, registry.names), partial(look, registry.release)])
    assert sorted(registry.names(pid)) == sorted(registry)


def test_who_is_retired_keeps_no_name_that_it_gets_meanwhile(twin: Any, registry: Any) -> None:
    def name(pid: Any) -> int:
        count = 0
        with contextlib.suppress(NoProcess):
            for count in range(1000):
                registry.register(f"{pid} {threading.get_ident()} {count}", pid)
        return count

    for _ in range(100):
        pid = twin.PID()
        in_threads([partial(name, pid), partial(name, pid), partial(twin.retire, pid)])
        assert (registry.names(pid), registry.registered()) == ([], [])


def test_who_watches_all_the_time_hears_of_all_while_others_come_and_go(
    twin: Any, registry: Any
) -> None:
    heard: list[Any] = []
    pid = twin.PID()

    def come_and_go() -> None:
        for _ in range(20_000):
            one: Any = [].append  # another one each time
            registry.watch("kvstore", one)
            assert registry.unwatch("kvstore", one)

    def name() -> int:
        count = 0
        for _ in range(20_000):
            count += registry.register("kvstore", pid)
            registry.unregister("kvstore", pid)
        return count

    registry.watch("kvstore", heard.append)
    counts = in_threads([name, come_and_go, name, come_and_go])
    assert len(heard) == counts[0] + counts[2]
    assert set(heard) == {pid}


def test_of_many_threads_one_decides_what_becomes_of_a_call(form: str) -> None:
    kind = form_of("_core.calls", form).Call
    ways = [kind.take, kind.give_up, lambda call: call.answer(call), lambda call: call.fail(ERROR)]
    for _ in range(50):
        calls = [kind("request", None, None) for _ in range(1000)]
        decided = in_threads([partial(list, map(way, calls)) for way in ways])
        for call, taken, gave_up, answered, failed in zip(calls, *decided, strict=True):
            assert [gave_up, answered, failed].count(True) == 1
            assert taken or gave_up
            assert call.settled
            if answered:
                assert call.result() is call


def test_table_and_names_agree_after_a_storm(twin: Any, registry: Any) -> None:
    """Threads register, unregister, transfer, release and retire the same few names."""
    names = [f"name:{number}" for number in range(5)]
    pids = [twin.PID() for _ in range(4)]

    def storm(seed: int) -> list[Any]:
        made = []
        for step in range(seed, seed + 2000):
            name, pid, other = names[step % 5], pids[step % 4], pids[step // 7 % 4]
            registry.register(name, pid)
            registry.transfer(name, pid, other)
            registry.unregister(name, other)
            if step % 3 == 0:
                registry.release(pid)
            own = twin.PID()
            registry.register(name, own)
            registry.register(f"{seed}:{step % 2}", own)
            assert set(registry.names(own)) <= {name, f"{seed}:{step % 2}"}
            twin.retire(own)
            made.append(own)
        return made

    retired = [
        pid
        for made in in_threads([partial(storm, seed) for seed in range(THREADS)])
        for pid in made
    ]
    held = {name: registry.whereis(name) for name in registry}
    assert set(held) <= set(names)
    assert not set(held.values()) & set(retired)
    assert sorted(held) == sorted(name for pid in pids for name in registry.names(pid))
    for pid in pids:
        assert all(held[name] is pid for name in registry.names(pid))
    assert not any(registry.names(pid) for pid in retired)


@pytest.mark.parametrize("way", ["unregister", "release"])
def test_a_list_of_a_large_table_is_of_one_moment(twin: Any, registry: Any, way: str) -> None:
    """Names go in turn from both ends: never has a list one of the front that is too many.

    Half of them stay, so that there is always a list, and a long one.
    """
    names = [f"name:{number}" for number in range(100_000)]
    pids = [twin.PID() for _ in names]
    for name, pid in zip(names, pids, strict=True):
        registry.register(name, pid)
    ended = threading.Event()

    def free() -> None:
        for number in range(len(names) // 2):
            at = number // 2 if number % 2 == 0 else -1 - number // 2
            if way == "release":
                registry.release(pids[at])
            else:
                registry.unregister(names[at])
            if ended.is_set():
                return

    def look() -> list[tuple[int, int]]:
        seen = []
        for _ in range(20):
            listed = registry.registered()
            first = int(listed[0].partition(":")[2])
            assert listed == names[first : first + len(listed)]
            seen.append((first, len(names) - first - len(listed)))
        ended.set()
        return seen

    for front, back in in_threads([look, free])[0]:
        assert front - back in (0, 1)


@contextmanager
def a_busy_thread() -> Iterator[Callable[[], str]]:
    """Let a thread run whenever it gets a turn; give what tells how far it has come."""
    steps, ended = itertools.count(), threading.Event()

    def run() -> None:
        for _ in steps:
            if ended.is_set():
                return

    thread, interval = threading.Thread(target=run), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        yield partial(repr, steps)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(("count", "prefix"), [((1 << 15) + 1, ""), (1 << 15, "name")])
def test_other_threads_get_turns_while_a_large_table_is_listed(
    compiled: Any, count: int, prefix: str
) -> None:
    """So many names take a turn to copy; and so many, which do not, one to be looked through."""
    registry = compiled.Registry()
    for number in range(count):
        registry.register(f"name:{number}", compiled.PID())
    with a_busy_thread() as progress:
        works: list[Callable[[], Any]] = [progress, partial(registry.registered, prefix), progress]
        gc.disable()  # a collection may call somebody, and so give others a turn
        try:
            for _ in range(1000):  # in C, as between steps of Python others may have a turn
                before, _names, after = map(operator.methodcaller("__call__"), works)
                if before != after:
                    return
        finally:
            gc.enable()
    raise AssertionError("nobody else had a turn")


# What follows may hang or crash when it fails, so it runs in a process of its own.

FORK = """
import importlib, os, sys, threading
twin = importlib.import_module(f"fauxtp.{sys.argv[1]}")
registry, pid, stop = twin.Registry(), twin.PID(), threading.Event()
registry.register("kvstore", pid)
sys.setswitchinterval(1e-6)

def storm(number):
    own = twin.PID()
    while not stop.is_set():
        registry.register(f"storm:{number}", own)
        registry.unregister(f"storm:{number}", own)

# Without the GIL, another thread may have locked any dict: in the child it stays so
storms = 3 if getattr(sys, "_is_gil_enabled", lambda: True)() else 0
threads = [threading.Thread(target=storm, args=(number,)) for number in range(storms)]
for thread in threads:
    thread.start()
try:
    for _ in range(100):
        child = os.fork()
        if child == 0:
            new = twin.PID()
            works = (
                registry.whereis("kvstore") is pid
                and registry.register("child", new)
                and registry.transfer("child", new, pid)
                and registry.release(pid) == ["kvstore", "child"]
                and twin.retire(new) is None
            )
            os._exit(0 if works else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
finally:
    stop.set()
"""


@unmeasured
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_can_use_the_registry(twin: Any, run: Run) -> None:
    done = run(
        FORK,
        twin.__name__.rpartition(".")[2],
        options=("-W", "ignore::DeprecationWarning"),  # forking beside threads is the point
    )
    assert (done.returncode, done.stderr) == (0, "")
