"""Whether a coroutine function can suspend, or does anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import coroutine
from typing import Any
from weakref import ref

import pytest
from twins_of import form_of

from fauxtp._base.coroutines import has_effect, without_effect


@pytest.fixture
def may_suspend(form: str) -> Any:
    """Each implementation."""
    return form_of("_base.coroutines", form).may_suspend


async def others() -> AsyncIterator[int]:
    yield 1


async def awaits(it: Any) -> Any:
    return await it


async def iterates() -> None:
    async for _ in others():
        pass


async def comprehends() -> list[int]:
    return [one async for one in others()]


async def enters(it: AbstractAsyncContextManager[None]) -> None:
    async with it:
        pass


async def awaits_in_a_branch(it: Any) -> Any:
    if it is None:
        return 1
    with pytest.raises(ValueError, match="it"):
        await it
    return 2


async def only_looks(table: dict[str, int]) -> int:
    async def within(it: Any) -> None:  # which is another function
        await it

    for number in table.values():
        if number and within is not None:
            return number
    raise LookupError


@pytest.mark.parametrize("function", [awaits, iterates, comprehends, enters, awaits_in_a_branch])
def test_who_awaits_may_suspend(function: Any, may_suspend: Any) -> None:
    assert may_suspend(function)


def test_who_does_not_await_cannot(may_suspend: Any) -> None:
    assert not may_suspend(only_looks)


def passes_on(it: Any) -> Any:
    return awaits(it)


@coroutine
def yields() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    "thing", [print, partial(only_looks, {}), type("It", (), {}), passes_on, yields]
)
def test_nothing_is_said_of_what_is_no_coroutine_function(thing: Any, may_suspend: Any) -> None:
    assert may_suspend(thing)


def test_a_function_that_was_asked_about_is_not_kept(may_suspend: Any) -> None:
    def made() -> Any:
        async def function() -> None: ...

        assert not may_suspend(function)
        assert not may_suspend(function)
        return ref(function)

    assert made()() is None


class Idle:
    @without_effect
    async def end(self) -> None: ...


class Busy(Idle):
    async def end(self) -> None: ...


def test_what_was_said_to_do_nothing_is_that_function_and_none_in_its_place() -> None:
    idle, replaced = Idle(), Idle()
    replaced.end = Busy().end  # type: ignore[method-assign]
    assert not has_effect(idle.end)
    assert has_effect(Busy().end)
    assert has_effect(replaced.end)
    assert has_effect(partial(idle.end))
