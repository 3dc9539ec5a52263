"""What ends with a process where asyncio is not as it is known here: a task group, as on trio.

All of it can be had without what asyncio and anyio keep to themselves, for more time and memory.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable

from anyio import CancelScope

from fauxtp._core.process import Process
from fauxtp._hosting.asyncio_scope import Handle
from fauxtp._hosting.end_causes import is_closed
from fauxtp._hosting.trio_scope import TrioScope
from fauxtp._loops.asyncio_loop import AsyncioHome
from fauxtp._loops.current import turn

__all__ = ["PlainScope"]


class PlainScope(TrioScope):
    """The `fauxtp._core.protocols.ProcessScope` of a process that nobody steps, on asyncio."""

    __slots__ = ("_leave_keeper",)

    def __init__(self, process: Process, leave_keeper: Callable[[Process], object]) -> None:
        super().__init__(process)
        self._leave_keeper = leave_keeper

    @property
    def own_scope(self) -> CancelScope:
        return Handle(self._process)

    def cancel(self) -> None:
        super().cancel()
        home: AsyncioHome = self._process.home  # type: ignore[assignment]
        home.poke()

    def detach(self) -> None:
        self._leave_keeper(self._process)

    async def open(self) -> None:
        home: AsyncioHome = self._process.home  # type: ignore[assignment]
        if home.making is self._process:
            await turn()
            if self._process.exit_request is not None:
                raise CancelledError("this process was to end before it began")
        await self._group.__aenter__()

    async def close_after(self, error: BaseException | None) -> bool:
        if error is not None and is_closed(self._process, error):
            return False
        return await super().close_after(error)
