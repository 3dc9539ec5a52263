"""A crash that lets others crash is told once: of each of them its own lines are told."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import task_group
from crew import Boom

from fauxtp import CallCycle, GenServer, ProcessExited, call, wait_exit
from fauxtp._core.crash_storms import FEW, storms

pytestmark = pytest.mark.anyio

OWN = ("sending.py", "outcome.py", "call_circles.py", "_native.pyx")
CHAINED = "direct cause"


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What a log of a program shows."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("fauxtp").addHandler(handler)
    storms.forget()
    yield stream
    storms.forget()
    logging.getLogger("fauxtp").removeHandler(handler)


class Caller(GenServer[Any, None]):
    """Calls another, and lets what that raises end it."""

    def __init__(self, other: str) -> None:
        self.other = other

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[Any, None]:
        return await call(self.other, request), state


class Wrapper(Caller):
    """Makes another error of it."""

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[Any, None]:
        try:
            return await call(self.other, request), state
        except ProcessExited as error:
            raise Boom("it was the other") from error


class Crasher(GenServer[Any, None]):
    async def handle_call(self, request: Any, from_: Any, state: None) -> Any:
        raise Boom("by itself")


def reports(printed: io.StringIO) -> list[str]:
    """Return what was printed of each crash."""
    printed.flush()
    lines, found = printed.getvalue().splitlines(keepends=True), []
    for line in lines:
        if line.endswith(" crashed\n"):
            found.append("")
        found[-1] += line
    return found


async def test_a_circle_of_calls_is_told_by_the_line_of_each_and_once(
    printed: io.StringIO,
) -> None:
    async with task_group() as group:
        a = await Caller.start("b", task_group=group, register_as="a")
        b = await Caller.start("c", task_group=group, register_as="b")
        c = await Caller.start("a", task_group=group, register_as="c")
        with pytest.raises(ProcessExited) as caught:
            await call("a", "go")
        circle = f"'c' {c!r} -> 'a' {a!r} -> 'b' {b!r} -> 'c' {c!r}"
        for pid in (a, b, c):
            await wait_exit(pid)
    of_c, of_b, of_a = reports(printed)
    ends = [
        f"CallCycle: a wait in a circle: {circle}",
        f"'c' {c!r} exited: ",
        f"'b' {b!r} exited: ",
    ]
    for report, name, end in zip((of_c, of_b, of_a), "cba", ends, strict=True):
        assert report.startswith(f"Caller {name!r} ")
        assert report.count("Traceback (most recent call last)") == 1
        assert report.count("File ") == report.count("await call(self.other, request)") == 1
        assert end in report
        assert circle in report.replace("\\", "")
        assert not [name for name in OWN if name in report]
    causes = [caught.value.__cause__]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)  # nobody's error has lost any
    assert [type(cause) for cause in causes[:-1]] == [ProcessExited, ProcessExited, CallCycle]


async def test_who_crashes_of_a_crash_is_told_without_that(printed: io.StringIO) -> None:
    async with task_group() as group:
        caller = await Caller.start("crasher", task_group=group)
        await Crasher.start(task_group=group, register_as="crasher")
        with pytest.raises(ProcessExited) as caught:
            await call(caller, "go")
        await wait_exit(caller)
    of_crasher, of_caller = reports(printed)
    assert "Boom: by itself\nthe message that was handled: Call 'go'\n" in of_crasher
    assert CHAINED not in of_caller
    assert of_caller.count("Boom") == 1  # in the text of what ended it
    assert of_caller.endswith("the message that was handled: Call 'go'\n")
    assert isinstance(caught.value.__cause__, ProcessExited)
    assert isinstance(caught.value.__cause__.__cause__, Boom)


async def test_what_an_error_of_the_users_was_made_of_is_told(printed: io.StringIO) -> None:
    async with task_group() as group:
        wrapper = await Wrapper.start("crasher", task_group=group)
        await Crasher.start(task_group=group, register_as="crasher")
        with pytest.raises(ProcessExited):
            await call(wrapper, "go")
        await wait_exit(wrapper)
    _, of_wrapper = reports(printed)
    assert of_wrapper.count(CHAINED) == 2


async def test_a_crash_that_was_not_told_is_told_with_who_crashes_of_it(
    printed: io.StringIO,
) -> None:
    async with task_group() as group:
        for _ in range(FEW):
            crasher = await Crasher.start(task_group=group)
            with pytest.raises(ProcessExited):
                await call(crasher, "go")
        caller = await Caller.start("crasher", task_group=group)
        await Crasher.start(task_group=group, register_as="crasher")
        with pytest.raises(ProcessExited):
            await call(caller, "go")
        await wait_exit(caller)
    *of_crashers, of_caller = reports(printed)
    assert len(of_crashers) == FEW
    assert of_caller.count(CHAINED) == 1
    assert of_caller.count("Boom: by itself") == 1
