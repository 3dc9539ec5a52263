"""Handlers that are not async: what cannot be awaited is told by the name of the handler."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import task_group
from crew import end_of, process_of

from fauxtp import (
    Actor,
    ChildSpec,
    GenServer,
    ProcessExited,
    Supervisor,
    call,
    cast,
    exit,
    send,
    wait_exit,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


def plain(name: str, base: Any = GenServer) -> Any:
    """Return a class whose handler of that name is a plain function."""

    def handler(self: Any, *arguments: Any) -> Any:
        return ("an answer", None)

    return type("Plain", (base,), {name: handler})


@pytest.mark.parametrize("name", ["handle_call", "handle_cast", "handle_info"])
async def test_a_handler_of_messages_that_is_not_async_is_named(name: str) -> None:
    async with task_group() as group:
        server = await plain(name).start(task_group=group)
        process = process_of(server)
        match name:
            case "handle_call":
                with pytest.raises(
                    ProcessExited, match=r"expected Plain\.handle_call to be async"
                ):
                    await call(server, 1)
            case "handle_cast":
                await cast(server, 1)
            case "handle_info":
                await send(server, 1)
        error = (await end_of(process)).exception
        assert isinstance(error, TypeError)
        assert str(error).startswith(f"expected Plain.{name} to be async: ")


@pytest.mark.parametrize("base", [Actor, GenServer, Supervisor])
async def test_an_init_that_is_not_async_is_named(base: Any) -> None:
    class Whole(base):  # type: ignore[misc]
        if base is Supervisor:

            def child_specs(self) -> list[ChildSpec]:
                return []

        if base is Actor:

            async def run(self, state: Any, /) -> Any:
                return state

    async with task_group() as group:
        with pytest.raises(TypeError, match=r"expected Plain\.init to be async: "):
            await plain("init", Whole).start(task_group=group)


async def test_a_run_that_is_not_async_is_named() -> None:
    async with task_group() as group:
        actor = await plain("run", Actor).start(task_group=group)
        reason = await wait_exit(actor)
        assert reason == "noproc" or "expected Plain.run to be async" in reason


async def test_a_terminate_that_is_not_async_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with task_group() as group:
        server = await plain("terminate").start(task_group=group)
        exit(server)
        assert await wait_exit(server) == "shutdown"
    assert "expected Plain.terminate to be async: " in caplog.text


async def test_a_type_error_of_the_handlers_own_stays_as_it_is() -> None:
    class Wrong(GenServer[Any, Any]):
        def handle_info(self, message: Any, state: Any, /) -> Any:
            return self.later(state)

        async def later(self, state: Any) -> Any:
            return len(5)  # type: ignore[arg-type]

    async with task_group() as group:
        server = await Wrong.start(task_group=group)
        process = process_of(server)
        await send(server, 1)
        assert str((await end_of(process)).exception) == "object of type 'int' has no len()"
