"""Memory: when there is none, when it should come back, and whose it is."""

from __future__ import annotations

import gc
import shutil
import sysconfig
import weakref
from types import ModuleType
from typing import Any

import pytest

from hostile import effort, programs
from hostile.twins import short_name


def test_when_memory_runs_out_the_table_is_what_it_was(twin: Any) -> None:
    testcapi = pytest.importorskip("_testcapi", reason="this interpreter comes without it")
    if not hasattr(testcapi, "set_nomemory"):
        pytest.skip("this interpreter cannot run out of memory on demand")
    done = programs.run("nomemory", short_name(twin))
    done.check()
    assert int(done.stdout.split()[0].replace(",", "")) > 100, "allocations did fail"
    effort.report(f"no memory, {twin.__name__}: {done.stdout.strip()}")


def test_what_is_done_by_half_is_found() -> None:
    pytest.importorskip("_testcapi", reason="this interpreter comes without it")
    done = programs.run("nomemory", "TwoSteps")
    assert done.returncode == 1
    assert "AssertionError: ('register" in done.stderr


def test_no_operation_leaves_memory_behind(twin: Any) -> None:
    done = programs.run("leaks", short_name(twin), effort.times(4000, 1_000_000))
    done.check()
    effort.report(f"leaks, {twin.__name__}: {done.stdout.strip()}")


def test_a_leak_is_found() -> None:
    done = programs.run("leaks", "Keeps", 4000)
    assert done.returncode == 1
    assert "Leak" in done.stderr


def test_a_registry_that_is_found_while_it_is_collected_can_be_used(compiled: Any) -> None:
    """By who lists all objects then, to look for leaks. Its tables may have been cleared."""

    class Directory(compiled.Registry):  # type: ignore[misc]
        __slots__ = ()

    seen: list[Any] = []

    def look(reference: object) -> None:
        seen.extend(one for one in gc.get_objects() if type(one) is Directory)

    def make() -> weakref.ref[Any]:
        directory, last = Directory(), compiled.PID()
        directory.register("kvstore", compiled.PID())
        cycle = [directory, last]
        cycle.append(cycle)
        return weakref.ref(last, look)  # the cycle goes bit by bit: first the table, then this

    gc.collect()
    watched = make()
    gc.collect()
    assert watched() is None
    assert seen, "nobody could look"
    for one in seen:
        assert repr(one).startswith("<Directory of ")
        assert one.register("new", compiled.PID())
        assert "new" in one


def valgrind(module: str, *arguments: object) -> programs.Ended:
    """Run a module of the tests under memcheck; values are its own business on 3.11."""
    if shutil.which("valgrind") is None:
        pytest.skip("there is no valgrind here")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this interpreter has no allocator that valgrind could look into")
    options = ("--quiet", "--error-exitcode=99", "--undef-value-errors=no")
    return programs.run(module, *arguments, before=("valgrind", *options), PYTHONMALLOC="malloc")


def test_valgrind_finds_nothing(compiled: ModuleType) -> None:
    done = valgrind("driver", effort.SEED, effort.times(1, 20))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    effort.report("valgrind: nothing found")


def test_valgrind_finds_an_overrun() -> None:
    done = valgrind("overrun")
    assert done.returncode == 99
    assert "Invalid write" in done.stderr
