"""Changes: what is done to the children of a supervisor while it goes on.

Those in one line are made one after the other, in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

from anyio import CancelScope, Event, Lock, move_on_after
from anyio.abc import TaskGroup

from fauxtp.calls import Call, reply
from fauxtp.errors import ProcessExited
from fauxtp.process import ExitReason

__all__ = ["Changes"]

_CALLED_OFF = ExitReason("shutdown", abnormal=True)


@final
class _Change:
    __slots__ = ("done", "line", "revocable", "scope")

    def __init__(self, line: Lock, revocable: bool) -> None:
        self.line, self.revocable = line, revocable
        self.scope = CancelScope()
        self.done = Event()


@final
class Changes:
    """The changes that are under way. What ends one with an error, `on_error` is told."""

    def __init__(self, on_error: Callable[[Exception], object]) -> None:
        self._on_error = on_error
        self._under_way: dict[_Change, None] = {}

    @property
    def are_under_way(self) -> bool:
        return bool(self._under_way)

    def begin(
        self,
        group: TaskGroup,
        line: Lock,
        work: Callable[[], Awaitable[Any]],
        from_: Call | None = None,
        *,
        revocable: bool = False,
    ) -> None:
        """Do `work` in `group` when its turn has come; answer `from_`, who asked for it.

        What is `revocable` may be called off by whoever wants the contrary.
        """
        change = _Change(line, revocable)
        self._under_way[change] = None
        try:
            group.start_soon(self._carry_out, change, work, from_, name="a change of children")
        except BaseException:
            self._over(change)
            raise

    async def _carry_out(
        self, change: _Change, work: Callable[[], Awaitable[Any]], from_: Call | None
    ) -> None:
        try:
            with change.scope:
                async with change.line:
                    answer = await work()
                if from_ is not None:
                    reply(from_, answer)
                return
            if from_ is not None:
                from_.fail(ProcessExited(from_.target, _CALLED_OFF))
        except Exception as error:
            if from_ is None:
                self._on_error(error)
            else:
                from_.fail(error)
        finally:
            self._over(change)

    def _over(self, change: _Change) -> None:
        self._under_way.pop(change, None)
        change.done.set()

    def call_off(self, line: Lock) -> None:
        """Cancel what is revocable in `line`; whoever is next in it sees to the rest."""
        for change in list(self._under_way):
            if change.revocable and change.line is line:
                change.scope.cancel()

    async def settled(self, seconds: float) -> None:
        """Wait until what is under way now is done, but not longer than that."""
        with move_on_after(seconds):
            for change in list(self._under_way):
                await change.done.wait()

    async def end(self) -> None:
        """Cancel all of them, and wait until they are over."""
        for change in list(self._under_way):
            change.scope.cancel()
        for change in list(self._under_way):
            await change.done.wait()
