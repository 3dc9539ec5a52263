"""One step of a coroutine in another context, by both twins."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from types import coroutine
from typing import Any

import pytest
from conftest import calls
from twins_of import form_of


@pytest.fixture
def stepping(form: str) -> Any:
    """Each implementation: a module with advance and Suspended."""
    return form_of("_hosting.direct", form)


@coroutine
def wait_for(thing: object) -> Any:
    return (yield thing)


def test_a_coroutine_that_ends_gives_its_result(stepping: Any) -> None:
    async def work() -> list[str]:
        return ["done"]

    assert stepping.advance(copy_context(), work()) == ["done"]


def test_one_that_suspends_says_on_what_and_goes_on_from_there(stepping: Any) -> None:
    async def work() -> Any:
        return await wait_for("it"), await wait_for(None)

    working = work()
    suspended = stepping.advance(copy_context(), working)
    assert type(suspended) is stepping.Suspended
    assert suspended.on == "it"
    assert working.send(1) is None
    with pytest.raises(StopIteration) as end:
        working.send(2)
    assert end.value.value == (1, 2)


def test_none_is_a_result_too(stepping: Any) -> None:
    async def work() -> None:
        pass

    assert stepping.advance(copy_context(), work()) is None


def test_what_it_waits_for_cannot_be_changed(stepping: Any) -> None:
    suspended = stepping.Suspended("it")
    for attempt in calls(
        lambda: setattr(suspended, "on", "another"),
        lambda: delattr(suspended, "on"),
        lambda: setattr(suspended, "more", 1),
    ):
        with pytest.raises(AttributeError):
            attempt()
    assert suspended.on == "it"


def test_what_it_raises_is_raised(stepping: Any) -> None:
    problem = KeyboardInterrupt("now")

    async def work() -> None:
        raise problem

    context = copy_context()
    with pytest.raises(KeyboardInterrupt) as raised:
        stepping.advance(context, work())
    assert raised.value is problem
    assert context.run(str, "free") == "free"  # nobody runs in it any more


def test_it_runs_in_the_context_and_leaves_it(stepping: Any) -> None:
    setting: ContextVar[str] = ContextVar("setting", default="outside")

    async def work() -> str:
        before = setting.get()
        setting.set("inside")
        return before

    context = copy_context()
    setting.set("here")
    assert stepping.advance(context, work()) == "outside"
    assert setting.get() == "here"
    assert context[setting] == "inside"


def test_a_context_in_which_somebody_runs_is_refused(stepping: Any) -> None:
    async def work() -> str:
        return "done"

    working, context = work(), copy_context()
    with pytest.raises(RuntimeError):
        context.run(stepping.advance, context, working)
    assert stepping.advance(context, working) == "done"


def test_a_result_is_let_go(stepping: Any) -> None:
    class Thing:
        gone = False

        def __del__(self) -> None:
            Thing.gone = True

    async def work() -> Thing:
        return Thing()

    stepping.advance(copy_context(), work())
    assert Thing.gone
