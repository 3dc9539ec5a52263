"""Every example in the docstrings runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import fauxtp

COMPILED = ("_registry", "_calls", "_posting", "_slots", "_stack", "_stepping", "_turns")
MODULES = [
    module.name
    for module in pkgutil.iter_modules(fauxtp.__path__, "fauxtp.")
    if module.name.removeprefix("fauxtp.") not in (*COMPILED, "__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_examples_of_each_twin_hold(twin: Any) -> None:
    done = doctest.testmod(twin)
    assert (done.failed, done.attempted > 20) == (0, True)


@pytest.mark.parametrize("name", fauxtp.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    assert getattr(fauxtp, name).__doc__
