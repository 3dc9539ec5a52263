"""Every example in the docstrings runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

import fauxtp
from fauxtp._base.implementation import EXTENSIONS

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fauxtp.__path__, "fauxtp.")
    if module.name.removeprefix("fauxtp.") not in (*EXTENSIONS, "__main__")
]


class Finder(doctest.DocTestFinder):
    """Finds the examples of a class in the file that defines it, whatever module it tells."""

    def _from_module(self, module: ModuleType | None, object: Any) -> bool:  # noqa: A002
        assert module is not None
        if inspect.isclass(object):
            return (
                re.search(rf"^class {object.__name__}\b", inspect.getsource(module), re.MULTILINE)
                is not None
            )
        found: bool = super()._from_module(module, object)  # type: ignore[misc]
        return found


def examples_of(name: str) -> list[doctest.DocTest]:
    return Finder(exclude_empty=True).find(importlib.import_module(name))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    runner = doctest.DocTestRunner()
    for example in examples_of(name):
        runner.run(example)
    assert runner.failures == 0


def test_every_example_is_run() -> None:
    """Those that stand in the sources are those that are found."""
    for name in MODULES:
        if name == "fauxtp._registry_py":
            continue  # which has some under two names
        module = importlib.import_module(name)
        there = len(re.findall(r"^ *>>> ", inspect.getsource(module), re.MULTILINE))
        found = sum(len(example.examples) for example in examples_of(name))
        assert found == there, name


def test_the_examples_of_the_compiled_twin_hold(compiled: ModuleType) -> None:
    done = doctest.testmod(compiled)
    assert (done.failed, done.attempted > 20) == (0, True)


@pytest.mark.parametrize("name", fauxtp.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    assert getattr(fauxtp, name).__doc__
