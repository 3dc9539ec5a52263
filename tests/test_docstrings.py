"""Docstrings tell what there is to know: arguments, units, the answer, errors, an example.

What is asked of each is what can be seen in its text. Hooks, which users define, say what becomes
of errors in them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from reference import public, shown

TIMES = {
    *("first", "idle_timeout", "interval", "max_seconds", "most", "seconds", "shutdown"),
    *("start_timeout", "timeout", "wait"),
}
WITHOUT_EXAMPLE = {  # they are strings, or a type, which the page itself explains
    "fauxtp.Transition",
    "fauxtp.registry.implementation",
    "fauxtp.registry.reason",
}
THINGS = public()
SHOWN = [pytest.param(*each, id=each.name) for each in shown()]

pytestmark = pytest.mark.skipif(not SHOWN, reason="these are not the sources")


def text_of(thing: object) -> str:
    return inspect.getdoc(thing) or ""


def parameters_of(thing: Any) -> list[inspect.Parameter]:
    found = inspect.signature(thing).parameters.values()
    return [each for each in found if each.name not in {"self", "cls"}]


def lacks(thing: Any, text: str) -> Iterator[str]:
    """Yield what `text` does not tell of the arguments of `thing`."""
    for each in parameters_of(thing):
        name = re.escape(each.name)
        if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
            if not re.search(rf"arguments|`[^`]*\b{name}\b[^`]*`", text):
                yield f"*{each.name}"
        elif not re.search(rf"`[^`]*\b{name}\b[^`]*`", text):
            yield each.name
        if each.name in TIMES and "seconds" not in text:
            yield f"the unit of {each.name}"


def lacks_of_a_function(thing: Any) -> Iterator[str]:
    """Yield what the docstring of a function does not tell."""
    text = text_of(thing)
    yield from lacks(thing, text)
    answer = inspect.signature(thing).return_annotation
    answers = answer not in {None, "None", inspect.Signature.empty}
    if answers and not re.search(r"[Rr]eturn|[Aa]nswer|yield", text):
        yield "the answer"
    if not re.search(r"[Rr]aise", text):
        yield "the errors"


@pytest.mark.parametrize(("name", "members", "has_constructor"), SHOWN)
def test_a_docstring_tells_what_there_is_to_know(
    name: str, members: frozenset[str], has_constructor: bool
) -> None:
    thing = THINGS[name]
    missing = [] if ">>> " in text_of(thing) or name in WITHOUT_EXAMPLE else ["an example"]
    if inspect.isfunction(thing):
        missing += lacks_of_a_function(thing)
    elif inspect.isclass(thing) and has_constructor and not issubclass(thing, Enum):
        missing += lacks(thing, text_of(thing))
    for member in members:
        method = inspect.unwrap(getattr(thing, member))
        if inspect.isroutine(method):
            missing += [f"{member}: {each}" for each in lacks_of_a_function(method)]
        elif isinstance(inspect.getattr_static(thing, member), property):
            missing += [] if text_of(inspect.getattr_static(thing, member)) else [member]
    assert missing == []


def test_what_lacks_something_is_found() -> None:
    def wait(what: str, timeout: float, *others: int) -> str:
        """Wait for `what`, a name."""
        return what

    assert [*lacks_of_a_function(wait)] == [
        "timeout",
        "the unit of timeout",
        "*others",
        "the answer",
        "the errors",
    ]
