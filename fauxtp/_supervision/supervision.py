"""Supervision: what a supervisor does, whatever its class defines beside that.

A child whose `init` or `terminate` hangs holds up nobody who asks, and no sibling: changes are
made beside the supervisor's own work. In `ONE_FOR_ONE` each child has a line of its own for
them. In the other strategies the fate of one is that of others, and all have one line: there, who
is to be restarted holds up the others' changes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol, final

from anyio import CancelScope, current_time

from fauxtp._actors.actor import children_of
from fauxtp._actors.serving import Stop
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import NO_REPLY, Call, reply
from fauxtp._core.crash_log import failed_as_child
from fauxtp._supervision import supervisor_log
from fauxtp._supervision.beside import Beside, Chief
from fauxtp._supervision.changes import Line
from fauxtp._supervision.child import Child, ChildDown, Question, after
from fauxtp._supervision.child_spec import (
    AutoShutdown,
    ChildInfo,
    ChildSpec,
    RestartStrategy,
    RestartType,
)
from fauxtp._supervision.children import Children
from fauxtp._supervision.restarts import may_restart, start_when_free, tell_restarted
from fauxtp.errors import AlreadyStarted, NoChild
from fauxtp.registry import PID

__all__ = ["Supervision"]

PATIENCE: Final = 1.0  # seconds that a question waits for changes, to see them done


class Planner(Chief, Protocol):
    """What the user's class of a supervisor has made, whose children are planned."""

    strategy: RestartStrategy
    auto_shutdown: AutoShutdown

    def _fauxtp_specs(self) -> list[ChildSpec]: ...
    def _fauxtp_check(self, spec: ChildSpec) -> None: ...


@final
class Supervision(Beside[Planner]):
    """The supervision of children in an order, by id."""

    def __init__(self, chief: Planner) -> None:
        super().__init__(chief)
        self._children = Children(self._shelter)
        self._by_id = self._children.by_id
        self._line: Line = {}

    def _ever_restarted(self) -> list[Child]:
        return list(self._by_id.values())

    async def _start_first(self) -> None:
        for spec in self._chief._fauxtp_specs():
            try:
                await self._start(self._new_child(spec))
            except Exception as error:
                failed_as_child(error, self._process, spec.id)
                raise

    def _hears_of_an_end(self, message: Any) -> bool:
        if type(message) is not ChildDown:
            return False
        self._child_down(message)
        return True

    async def _stop_everybody(self) -> None:
        await self._stop_all(list(self._by_id.values()))

    async def _start(self, child: Child) -> None:
        await self._children.start(self._process, child)

    async def _stop(self, child: Child) -> None:
        await self._children.stop(self._process, child)

    async def _stop_all(self, children: list[Child]) -> None:
        await self._children.stop_all(self._process, children)

    # When a child has ended

    def _is_news(self, message: ChildDown) -> bool:
        child = self._by_id.get(message.id)
        return child is not None and child.watch is message.watch

    def _child_down(self, message: ChildDown) -> None:
        if not self._is_news(message):
            return
        child = self._by_id[message.id]
        child.process = None
        if child.spec.must_restart(message.reason):
            self._plan_restart(child, message)
        else:
            self._is_over(child)

    def _plan_restart(
        self, child: Child, message: ChildDown, error: Exception | None = None
    ) -> None:
        if child.spec.backoff is None:
            self._begin_restart(child, message)
            return
        seconds, waiting = child.begin_to_wait()
        told = None if child.has_failed_again else error
        self._restart_later(child, message, seconds, waiting, told)

    def _begin_restart(self, child: Child, message: ChildDown, *, counted: bool = False) -> None:
        alone = child.line is not self._line  # else siblings would be left behind
        again = partial(self._restart, child, message, counted)
        self._begin(again, child, revocable=alone)

    def _restart_later(
        self,
        child: Child,
        message: ChildDown,
        seconds: float,
        waiting: CancelScope,
        error: Exception | None = None,
        *,
        counted: bool = False,
    ) -> None:
        supervisor_log.waits(self._process, child.spec, message.reason, seconds, error)
        again = partial(self._begin_restart, child, message, counted=counted)
        children_of(self._chief).start_soon(after, seconds, waiting, again)

    async def _restart(self, child: Child, message: ChildDown, counted: bool) -> None:
        if child.process is not None or not self._is_news(message):
            return  # the change before this one has seen to it
        child.end_waiting()
        reason = message.reason
        while counted or self._may_restart(child, reason):
            counted = False
            group = self._fate_of(child)
            until = max((one.restarts_at or 0.0 for one in group), default=0.0)
            seconds = until - current_time()
            if seconds > 0:  # one of them waits for longer, and all are started at once
                message = ChildDown(child.spec.id, child.watch, reason)
                waiting = child.wait_until(until)
                self._restart_later(child, message, seconds, waiting, counted=True)
                return
            await self._stop_all(group)
            try:
                await self._start_again(group)
            except Exception as error:  # an init that fails is one more crash
                reason = ExitReason.error(error)
                if child.spec.backoff is not None:
                    self._plan_restart(child, ChildDown(child.spec.id, child.watch, reason), error)
                    return
                supervisor_log.not_restarted(self._process, child.spec, error)
            else:
                tell_restarted(self._process, self._intensity, child, reason)
                return

    async def _start_again(self, group: list[Child]) -> None:
        for child in group:
            if child.spec.restart is RestartType.TEMPORARY:
                del self._by_id[child.spec.id]
            elif child.process is None:
                child.restarts += 1
                await start_when_free(self._process, child.spec, partial(self._start, child))

    def _fate_of(self, child: Child) -> list[Child]:
        """Return whom the strategy restarts with `child`, in order."""
        everyone = [other for other in self._by_id.values() if not other.is_new]
        match self._chief.strategy:
            case RestartStrategy.ONE_FOR_ONE:
                return [child]
            case RestartStrategy.ONE_FOR_ALL:
                return everyone
            case RestartStrategy.REST_FOR_ONE:
                return everyone[everyone.index(child) :]

    def _may_restart(self, child: Child, reason: ExitReason) -> bool:
        intensity, label = self._intensity, child.spec.id
        if may_restart(self._process, self._chief, intensity, child, reason, label):
            return True
        self._is_over(child)
        return False

    def _is_over(self, child: Child) -> None:
        """Note that `child` has ended, and is not to be started again."""
        child.is_over = True
        if child.spec.restart is RestartType.TEMPORARY:
            self._by_id.pop(child.spec.id, None)
        mode = self._chief.auto_shutdown
        if mode is AutoShutdown.NEVER or not child.spec.significant:
            return
        others = [other for other in self._by_id.values() if other.spec.significant]
        if mode is AutoShutdown.ANY_SIGNIFICANT or all(other.is_over for other in others):
            self._fail(Stop("shutdown"))

    # What others ask

    def child(self, id: str) -> PID | None:  # noqa: A002
        """Return the PID of the child `id`, or None if it does not run, or is not known."""
        child = self._by_id.get(id)
        return None if child is None else child.pid

    async def _answer(self, question: Question, from_: Call) -> Any:
        match question.what:
            case "which":
                return self._which(from_)
            case "start":
                self._add(question.subject, from_)
            case "terminate":
                child = self._known(question.subject)
                self._changes.call_off(child)
                self._begin(partial(self._terminate, child), child, from_)
            case "restart":
                child = self._known(question.subject)
                again = partial(self._restart_by_hand, child)
                self._begin(again, child, from_, revocable=True)
            case "delete":
                child = self._known(question.subject)
                self._begin(partial(self._delete, child), child, from_)
        return NO_REPLY

    def _which(self, from_: Call) -> Any:
        if not self._changes.are_under_way:
            return self._infos()
        children_of(self._chief).start_soon(self._tell_later, from_)
        return NO_REPLY

    async def _tell_later(self, from_: Call) -> None:
        await self._changes.settled(PATIENCE)
        reply(from_, self._infos())

    def _infos(self) -> list[ChildInfo]:
        return [child.info for child in self._by_id.values()]

    def _new_child(self, spec: ChildSpec) -> Child:
        alone = self._chief.strategy is RestartStrategy.ONE_FOR_ONE
        self._by_id[spec.id] = child = Child(spec, {} if alone else self._line)
        return child

    def _known(self, id_: str | PID) -> Child:
        if isinstance(id_, str):
            child = self._by_id.get(id_)
        else:
            child = next((one for one in self._by_id.values() if one.pid is id_), None)
        if child is None:
            raise NoChild(self._process.pid, id_)
        return child

    def _add(self, spec: ChildSpec, from_: Call) -> None:
        known = self._by_id.get(spec.id)
        if known is not None:
            raise AlreadyStarted(self._process.pid, spec.id, known.pid)
        self._chief._fauxtp_check(spec)
        child = self._new_child(spec)
        self._begin(partial(self._start_new, child), child, from_, revocable=True)

    async def _start_new(self, child: Child) -> PID | None:
        try:
            await self._start(child)
        except Exception:
            self._by_id.pop(child.spec.id, None)
            raise
        return child.pid

    async def _terminate(self, child: Child) -> None:
        self._expect(child)
        await self._stop(child)
        if child.spec.restart is RestartType.TEMPORARY:
            self._by_id.pop(child.spec.id, None)

    async def _restart_by_hand(self, child: Child) -> PID | None:
        self._expect(child)
        self._expect_down(child)
        await self._start(child)
        return child.pid

    async def _delete(self, child: Child) -> None:
        self._expect(child)
        self._expect_down(child)
        del self._by_id[child.spec.id]

    def _expect(self, child: Child) -> None:
        if self._by_id.get(child.spec.id) is not child:
            raise NoChild(self._process.pid, child.spec.id)

    def _expect_down(self, child: Child) -> None:
        if child.pid is not None:
            raise AlreadyStarted(self._process.pid, child.spec.id, child.pid)
