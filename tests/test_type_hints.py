"""What public functions and classes are annotated with can be asked for: by `get_type_hints`.

Tools do: for documentation, to inject what a function needs, to check values. They look a name up
where it was written, and what is imported for type checkers alone is not there.
"""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_type_hints

import anyio
import pytest
from conftest import PATIENCE

import fauxtp
from fauxtp import GenServer

NO_HINTS = {
    # Of clusters, which are an extra: `fauxtp.testing` goes without, until one is asked for.
    "fauxtp.testing.TestCluster.__aenter__",
    "fauxtp.testing.TestCluster.__init__",
    "fauxtp.testing.TestCluster.join",
}
OF_CALLERS = {
    "__aenter__",
    "__call__",
    "__enter__",
    "__init__",
}  # which have arguments, or answers


def modules() -> Iterator[str]:
    yield "fauxtp"
    for module in pkgutil.walk_packages(fauxtp.__path__, "fauxtp."):
        if "._" not in module.name:
            yield module.name


def functions_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Return the public methods of a class, those that are called by operators, and properties."""
    for name, value in vars(kind).items():
        if not name.startswith("_") or name in OF_CALLERS:
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if inspect.isroutine(function):
                yield name, function


def public_things() -> dict[str, Any]:
    """Return all public functions and classes, and the methods of these; each once."""
    found: dict[int, tuple[str, Any]] = {}
    for module in modules():
        home = import_module(module)
        for name in getattr(home, "__all__", ()):
            thing = getattr(home, name)
            if isinstance(thing, type) or inspect.isroutine(thing):
                found.setdefault(id(thing), (f"{module}.{name}", thing))
            if isinstance(thing, type):
                for of_it, function in functions_of(thing):
                    found.setdefault(id(function), (f"{module}.{name}.{of_it}", function))
    return dict(found.values())


THINGS = public_things()


@pytest.mark.parametrize("name", sorted(THINGS.keys() - NO_HINTS))
def test_what_is_public_tells_what_it_is_annotated_with(name: str) -> None:
    hints = get_type_hints(THINGS[name])
    annotated = getattr(THINGS[name], "__annotations__", {})
    assert hints.keys() >= annotated.keys()


@pytest.mark.parametrize("name", sorted(NO_HINTS))
def test_who_goes_without_is_public_and_needs_to(name: str) -> None:
    with pytest.raises(NameError):
        get_type_hints(THINGS[name])


def test_there_are_some_of_each_kind() -> None:
    assert len(THINGS) > 300
    assert {"fauxtp.call", "fauxtp.GenServer", "fauxtp.GenServer.handle_call"} <= THINGS.keys()


def test_hints_are_types() -> None:
    assert get_type_hints(fauxtp.ActorHandle)["cancel_scope"] is anyio.CancelScope
    assert get_type_hints(fauxtp.ChildInfo)["restart"] is fauxtp.RestartType
    assert get_type_hints(fauxtp.DeadLetter)["message"] is Any
    group = get_type_hints(GenServer.start)["task_group"]
    assert anyio.abc.TaskGroup in group.__args__


def test_who_derives_from_a_class_of_ours_has_hints_of_its_own_and_of_that() -> None:
    class Shop(GenServer[str, int]):
        opens_at: int = 8

    hints = get_type_hints(Shop)
    assert hints["opens_at"] is hints["mailbox_size"] is int
    assert not [name for name in hints if name.startswith("_")]


def test_who_asks_for_no_hints_imports_nothing_for_them() -> None:
    program = (
        "import sys, fauxtp; print({'anyio.abc', 'fauxtp._loops.task_groups'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "set()\n"
