"""What is there twice is known, and both forms say the same of themselves."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from twins_of import LAST_LINES, MODULES, form_of, names_of, path_of

import fauxtp

PACKAGE = Path(fauxtp.__file__).parent
PUBLIC = ("fauxtp", "fauxtp.observe.event")  # where who unpickles one finds it, in any form


def test_every_module_that_is_there_twice_is_known() -> None:
    """And its last lines are the last: what stands below them would be of one form only."""
    found = {path for path in PACKAGE.rglob("*.py") if LAST_LINES.search(path.read_text("utf-8"))}
    assert found == set(map(path_of, MODULES))


@pytest.mark.parametrize("name", MODULES)
def test_each_form_is_what_it_says(name: str, form: str) -> None:
    for it in names_of(name):
        known = getattr(form_of(name, form), it)
        if known.__module__ in PUBLIC:
            continue  # public classes say so, in either form
        module = inspect.getmodule(known)
        assert module is not None
        assert str(module.__file__).endswith(".py") is (form == "python")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_the_form_that_is_in_use(name: str) -> None:
    form = {"cython": "compiled", "python": "python"}[fauxtp.registry.implementation]
    module = importlib.import_module(f"fauxtp.{name}")
    for it in names_of(name):
        kind = getattr(module, it)
        if form == "compiled":
            assert kind is getattr(form_of(name, form), it)
        else:
            assert kind.__module__ in (module.__name__, "fauxtp")  # as public classes say


@pytest.mark.parametrize("name", MODULES)
def test_the_forms_say_the_same_of_themselves(name: str, form: str) -> None:
    for it in names_of(name):
        ours, theirs = getattr(form_of(name, form), it), getattr(form_of(name, "python"), it)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        for method, function in vars(theirs).items():
            if not method.startswith("_") and inspect.isroutine(function):
                assert inspect.getdoc(getattr(ours, method)) == inspect.getdoc(function)
