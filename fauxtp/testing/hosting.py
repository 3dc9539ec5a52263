"""Processes that live as long as a test."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, final

from fauxtp._actors.actor import Actor
from fauxtp._program.run_in_block import Running, running
from fauxtp.registry import PID

__all__ = ["Hosting"]


@final
class Hosting:
    """Starts applications when it is called, and ends them when its block is left."""

    def __init__(self) -> None:
        self._blocks: list[Running] = []

    async def __call__(
        self,
        application: type[Actor],
        *args: Any,
        register_as: str | None = None,
        **kwargs: Any,
    ) -> PID:
        """Start an application, most often a supervisor; return its PID.

        The arguments go to its constructor; with `register_as`, it has that name. Raises what its
        start raises.
        """
        block = running(application, *args, register_as=register_as, on_give_up="raise", **kwargs)
        pid = await block.__aenter__()
        self._blocks.append(block)
        return pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End them all, the last one first, and raise what has ended one of them before."""
        failures: list[BaseException] = []
        while self._blocks:
            try:
                await self._blocks.pop().__aexit__(None, None, None)
            except Exception as failure:
                failures.append(failure)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise BaseExceptionGroup("applications have given up", failures)
