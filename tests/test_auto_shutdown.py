"""Supervisors that end by themselves, and what they tell of their children."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import anyio
import pytest
from crew import Puppet, boom, pid_of, running, supervisor

from fauxtp import (
    AutoShutdown,
    ChildSpec,
    RestartType,
    Stop,
    call,
    cast,
    exit,
    is_alive,
    start_child,
    terminate_child,
    wait_exit,
    wait_registered,
)

pytestmark = pytest.mark.anyio


def significant(name: str, restart: RestartType = RestartType.TRANSIENT) -> ChildSpec:
    return ChildSpec(
        name, Puppet, args=(name, []), register_as=name, restart=restart, significant=True
    )


def stop() -> NoReturn:
    raise Stop


async def ended(name: str, what: Callable[[], NoReturn] = stop) -> None:
    """Let the puppet of that name end well, or by `what` it does."""
    pid = pid_of(name)
    await cast(pid, what)
    await wait_exit(pid)


def chief_of(mode: AutoShutdown, *specs: ChildSpec) -> Any:
    kind = supervisor(*specs)
    kind.auto_shutdown = mode
    return kind


async def test_the_end_of_any_significant_child_is_that_of_its_supervisor() -> None:
    async with running() as group:
        plain = ChildSpec("c", Puppet, register_as="c", restart=RestartType.TEMPORARY)
        kind = chief_of(AutoShutdown.ANY_SIGNIFICANT, significant("a"), significant("b"), plain)
        chief = await kind.start(task_group=group)
        await ended("c")
        await ended("a", boom)  # after which it is started again
        await wait_registered("a")
        assert is_alive(chief)
        await ended("b")
        assert await wait_exit(chief) == "shutdown"
        assert not is_alive("a")


async def test_the_end_of_all_significant_children_is_that_of_their_supervisor() -> None:
    async with running() as group:
        temporary = significant("b", RestartType.TEMPORARY)
        kind = chief_of(AutoShutdown.ALL_SIGNIFICANT, significant("a"), temporary)
        chief = await kind.start(task_group=group)
        await ended("b", boom)
        assert await call("a", lambda: is_alive(chief))
        await ended("a")
        assert await wait_exit(chief) == "shutdown"


async def test_a_child_that_somebody_terminates_does_not_count() -> None:
    async with running() as group:
        kind = chief_of(AutoShutdown.ANY_SIGNIFICANT, significant("a"), significant("b"))
        chief = await kind.start(task_group=group)
        await terminate_child(chief, "a")
        assert is_alive(chief)
        await ended("b")
        assert await wait_exit(chief) == "shutdown"


async def test_a_significant_child_of_who_never_shuts_down_is_refused() -> None:
    told = "expected 'a' not to be significant: its supervisor does not shut down"
    async with running() as group:
        with pytest.raises(ValueError, match=told):
            await supervisor(significant("a")).start(task_group=group)
        chief = await supervisor().start(task_group=group)
        with pytest.raises(ValueError, match=told):
            await start_child(chief, significant("a"))
        exit(chief)


async def test_what_is_no_mode_is_refused() -> None:
    async with running() as group:
        with pytest.raises(TypeError, match="auto_shutdown to be an AutoShutdown, got str"):
            await chief_of("any_significant").start(task_group=group)  # type: ignore[arg-type]


# Hooks


async def plain_trouble(*_: Any) -> None:
    raise AssertionError("nobody should wait for this")


@pytest.mark.parametrize("trouble", [boom, plain_trouble])
async def test_a_hook_that_fails_harms_nobody(
    trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spec = ChildSpec("a", Puppet, register_as="a", max_restarts=1)

    class Chief(supervisor(spec)):  # type: ignore[misc]
        def on_restart(self, *_: Any) -> Any:
            return trouble()

        def on_give_up(self, *_: Any) -> Any:
            try:
                return trouble()
            finally:
                given_up.set()

    given_up = anyio.Event()
    async with running() as group:
        chief = await Chief.start(task_group=group)
        await ended("a", boom)
        await wait_registered("a")
        await ended("a", boom)
        await given_up.wait()
        assert is_alive(chief)
        exit(chief)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any(text.startswith("on_restart of Chief") for text in told)
    assert any(text.startswith("on_give_up of Chief") for text in told)
    assert any("gives up child 'a'" in text for text in told)
