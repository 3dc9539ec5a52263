"""One behaviour, two bodies: what can be compared of the twins is the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from conftest import calls

import fauxtp
from fauxtp import _registry_py as python
from fauxtp import registry as chosen


def public(thing: Any) -> list[str]:
    return sorted(name for name in dir(thing) if not name.startswith("_"))


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    signature = inspect.signature(function)
    return [(p.name, p.kind, p.default) for p in signature.parameters.values() if p.name != "self"]


def test_they_have_the_same_names(compiled: ModuleType) -> None:
    assert sorted(compiled.__all__) == sorted(python.__all__)
    for kind in ("PID", "Ref", "Registry"):
        assert public(getattr(compiled, kind)) == public(getattr(python, kind))


@pytest.mark.parametrize("name", [name for name in python.__all__ if name != "default"])
def test_they_have_the_same_docstrings(compiled: ModuleType, name: str) -> None:
    ours, theirs = getattr(compiled, name), getattr(python, name)
    assert inspect.getdoc(ours)
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    for method in public(theirs) if inspect.isclass(theirs) else ():
        assert inspect.getdoc(getattr(ours, method)) == inspect.getdoc(getattr(theirs, method))


def test_they_have_the_same_signatures(compiled: ModuleType) -> None:
    for name in [name for name in python.__all__ if name.islower() and name != "default"]:
        assert parameters(getattr(compiled, name)) == parameters(getattr(python, name))
    for name in public(python.Registry):
        ours, theirs = getattr(compiled.Registry, name), getattr(python.Registry, name)
        # self in a compiled method is positional, which nobody can tell from outside
        assert parameters(ours) == parameters(theirs)


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error) if "argument" not in str(error) else ""


METHODS = [
    *("register", "unregister", "whereis", "registered", "names", "release"),
    *("join", "leave", "members", "groups", "count"),
]


def test_they_answer_bad_calls_with_the_same_errors(compiled: ModuleType) -> None:
    """Every operation with every combination of a few values, most of them bad."""
    answers = []
    for module in (compiled, python):
        good, gone = module.PID(), module.PID()
        module.retire(gone)
        values = {"a": "a", "empty": "", "none": None, "int": 1, "pid": good, "gone": gone}
        spelled = {good: "good", gone: "gone"}
        results = {}
        for method in METHODS:
            for first in values:
                for second in ("missing", *values):
                    registry = module.Registry()
                    registry.register("b", good)
                    args = [values[key] for key in (first, second) if key != "missing"]
                    result = outcome(getattr(registry, method), *args)
                    if isinstance(result, tuple) and result:  # an error
                        kind, text = result  # the serial number in a repr is its own
                        for pid, word in spelled.items():
                            text = text.replace(repr(pid), word)
                        result = (kind, text)
                    results[method, first, second] = (
                        result,
                        registry.registered(),
                        registry.names(good),
                    )
        answers.append(results)
    assert answers[0] == answers[1]


def test_a_name_is_positional_for_both(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    for attempt in calls(
        lambda: registry.whereis(name="kvstore"),
        lambda: registry.register(name="kvstore", pid=pid),
        lambda: registry.names(pid=pid),
    ):
        with pytest.raises(TypeError):
            attempt()
    assert registry.register("kvstore", pid=pid)
    assert registry.unregister("kvstore", pid=pid)


def test_the_package_exports_what_was_chosen() -> None:
    for name in ("PID", "Ref", "Registry", "register", "unregister", "whereis", "registered"):
        assert getattr(fauxtp, name) is getattr(chosen, name)
        assert name in fauxtp.__all__
    assert set(python.__all__) | {"implementation", "reason"} == set(chosen.__all__)
