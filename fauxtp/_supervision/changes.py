"""Changes: what is done to the children of a supervisor while it goes on.

Those in one line are made one after the other, in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, final

from anyio import CancelScope, Event, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call, reply
from fauxtp.errors import ProcessExited

__all__ = ["CALLED_OFF", "Changes", "InLine", "Line"]

CALLED_OFF = ExitReason("shutdown", abnormal=True)


@final
class _Change:
    __slots__ = ("done", "is_over", "of", "revocable", "scope", "turn")

    def __init__(self, of: InLine, revocable: bool) -> None:
        self.of, self.revocable = of, revocable
        self.scope = CancelScope()
        self.turn: Event | None = None  # if it has to wait for it
        self.is_over = False
        self.done: Event | None = None  # if somebody waits for that

    async def over(self) -> None:
        """Wait until it is over."""
        if self.is_over:
            return
        if self.done is None:
            self.done = Event()
        await self.done.wait()


Line = dict[_Change, None]
"""Those that are not over, in order: the first has its turn."""


class InLine(Protocol):
    """What is changed. Several may share a line."""

    @property
    def line(self) -> Line: ...


@final
class Changes:
    """The changes that are under way. What ends one with an error, `on_error` is told."""

    def __init__(self, on_error: Callable[[Exception], object]) -> None:
        self._on_error = on_error
        self._under_way: dict[_Change, None] = {}
        self.have_ended = False

    @property
    def are_under_way(self) -> bool:
        return bool(self._under_way)

    def begin(
        self,
        group: TaskGroup,
        of: InLine,
        work: Callable[[], Awaitable[Any]],
        from_: Call | None = None,
        *,
        revocable: bool = False,
    ) -> None:
        """Do `work` in `group` when its turn in the line of `of` has come; answer `from_`.

        What is `revocable` may be called off by whoever wants the contrary. After the `end`,
        nothing is begun.
        """
        if self.have_ended:
            return
        change = _Change(of, revocable)
        self._under_way[change] = None
        if of.line:
            change.turn = Event()
        of.line[change] = None  # here: tasks need not begin in the order in which they are made
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
                if change.turn is not None:
                    await change.turn.wait()
                elif change.scope.cancel_called:
                    await checkpoint()
                answer = await work()
                if from_ is not None:
                    reply(from_, answer)
                return
            if from_ is not None:
                from_.fail(ProcessExited(from_.target, CALLED_OFF))
        except Exception as error:
            if from_ is None:
                self._on_error(error)
            else:
                from_.fail(error)
        finally:
            self._over(change)

    def _over(self, change: _Change) -> None:
        self._under_way.pop(change, None)
        change.of.line.pop(change, None)
        _let_go_on(change.of.line)
        change.is_over = True
        if change.done is not None:
            change.done.set()

    def call_off(self, of: InLine) -> None:
        """Cancel what is done to `of` and revocable; whoever is next in line sees to the rest."""
        for change in list(self._under_way):
            if change.revocable and change.of is of:
                change.scope.cancel()

    async def settled(self, seconds: float) -> None:
        """Wait until what is under way now is done, but not longer than that."""
        with move_on_after(seconds):
            for change in list(self._under_way):
                await change.over()

    async def end(self) -> None:
        """Cancel all of them, and wait until they are over."""
        self.have_ended = True
        for change in list(self._under_way):
            change.scope.cancel()
        for change in list(self._under_way):
            await change.over()


def _let_go_on(line: Line) -> None:
    for first in line:
        if first.turn is not None:
            first.turn.set()
        return
