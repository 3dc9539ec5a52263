"""Supervision of children that come and go: any number of them, none of them in another's way.

They have no order, and are known by their PIDs. Each of them is an entry in a dict and no more,
until it ends against the plan: from then on there is a `Child` for it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Protocol, final

from anyio import current_time

from fauxtp._actors.actor import children_of
from fauxtp._actors.lifecycle import AtOnce, begin, prepared
from fauxtp._base.arguments import unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import DEBUG
from fauxtp._base.stack import TO_END, insist_on_room
from fauxtp._base.texts import shown
from fauxtp._core.calls import NO_REPLY, Call, reply
from fauxtp._core.death import ended
from fauxtp._core.phase import DEAD, STARTING
from fauxtp._core.process import Process
from fauxtp._supervision import supervisor_log
from fauxtp._supervision.beside import Beside, Chief
from fauxtp._supervision.changes import CALLED_OFF
from fauxtp._supervision.child import Child, Expected, Question, after
from fauxtp._supervision.child_spec import ChildInfo, ChildSpec, RestartType
from fauxtp._supervision.children import launched, stop_all
from fauxtp._supervision.restarts import may_restart, start_when_free, tell_restarted
from fauxtp.errors import AlreadyStarted, NameTaken, NoChild, ProcessExited, TooManyChildren
from fauxtp.registry import PID

__all__ = ["DynamicSupervision"]

_NEVER = RestartType.TEMPORARY


class Owner(Chief, Protocol):
    """What the user's class of a supervisor has made, whose children come and go."""

    max_children: int | None


@final
class Down:
    """The message that a child has ended against the plan."""

    __slots__ = ("pid", "reason")

    def __init__(self, pid: PID, reason: ExitReason) -> None:
        self.pid, self.reason = pid, reason


@final
class DynamicSupervision(Beside[Owner]):
    """The supervision of children that come and go."""

    def __init__(self, chief: Owner) -> None:
        super().__init__(chief)
        self._specs: dict[PID, ChildSpec] = {}  # of those that run
        self._failed: dict[PID, Child] = {}  # those among them that were restarted
        self._away: dict[PID, Child] = {}  # those to be restarted, by the PIDs that they had
        self._left: dict[PID, ChildSpec] = {}  # those whose start was given up, and yet to end
        self._starts: dict[Process, tuple[ChildSpec, Call]] = {}  # who waits within its `init`
        self._starting = 0  # of those that have a change of their own, perhaps to be stopped
        self._on_exit = AtOnce(self._is_over)  # for all: so none has to keep one of its own

    def _ever_restarted(self) -> list[Child]:
        return [*self._failed.values(), *self._away.values()]

    async def _start_first(self) -> None:
        _check_most(self._chief.max_children)

    def _hears_of_an_end(self, message: Any) -> bool:
        if type(message) is not Down:
            return False
        self._plan_restart(message.pid, message.reason)
        return True

    async def _stop_everybody(self) -> None:
        why = self._process.exit_request or CALLED_OFF
        while self._starts:  # who asks may be a child, for whose end it is to wait now
            process, (spec, from_) = self._starts.popitem()
            self._left[process.pid] = spec
            from_.fail(ProcessExited(from_.target, why))
        await self._stop(self._specs | self._left)

    # What others ask

    def _asked(self, question: Question | Expected, from_: Call) -> Any:
        if type(question) is Expected:
            spec = question.spec
            self._check_room(spec)
            insist_on_room(TO_END)
            question.make()
            return self._begin_with(spec, question.process, question.name, from_)
        if question.what == "start":
            return self._add(question.subject, from_)
        return self._answer(question, from_)

    def _add(self, spec: ChildSpec, from_: Call) -> Any:
        """Begin with a child; return its PID if its `init` is over, or else `NO_REPLY`."""
        self._check_room(spec)
        if spec.start_timeout is None:
            actor, group = spec.actor_class(*spec.args, **spec.kwargs), self._shelter.group
            process = prepared(actor, group, self._on_exit, self._process.pid)
            return self._begin_with(spec, process, spec.register_as, from_)
        self._starting += 1
        work = partial(self._start_new, spec)
        self._begin(work, Child(spec, {}), from_, revocable=True)
        return NO_REPLY

    def _begin_with(self, spec: ChildSpec, process: Process, name: str | None, from_: Call) -> Any:
        """Do as `_add` does without a task of the supervisor's, which takes as long as a start."""
        begin(process, self._shelter.group, self._on_exit, name)
        if process.phase is not STARTING and process.failure is None:
            self._has_begun(spec, process)
            return process.pid
        self._starts[process] = spec, from_
        process.on_started(partial(self._is_there, process))
        return NO_REPLY

    def _is_there(self, process: Process) -> None:
        """Answer who asked for a child whose `init` is over, well or not: in its own task."""
        start = self._starts.pop(process, None)
        if start is None:
            return  # it was called off
        spec, from_ = start
        if process.phase is DEAD:
            assert process.reason is not None
            failure = process.failure or ended(process.pid, process.reason)
            if isinstance(failure, NameTaken):
                failure = self._already_started(spec, failure) or failure
            if isinstance(failure, Exception):
                from_.fail(failure)
            else:  # it is nothing that one who asks could handle
                self._fail(failure)
            return
        try:
            self._has_begun(spec, process)
        finally:
            reply(from_, process.pid)

    def _already_started(self, spec: ChildSpec, taken: NameTaken) -> AlreadyStarted | None:
        """Return that a child has the name which `spec` is to have, unless it is another's."""
        known = None if taken.holder is None else self._specs.get(taken.holder)
        if known is None or known.id != spec.id:
            return None
        return AlreadyStarted(self._process.pid, spec.id, taken.holder)

    async def _answer(self, question: Question, from_: Call) -> Any:
        subject = question.subject
        match question.what:
            case "which":
                return self._infos()
            case "terminate":
                self._begin_to_terminate(subject, from_)
                return NO_REPLY
        kind = self._process.kind.__name__
        raise ValueError(f"cannot {question.what} a child of {kind}: it is a DynamicSupervisor")

    def _infos(self) -> list[ChildInfo]:
        return [
            self._failed[pid].info
            if pid in self._failed
            else ChildInfo(spec.id, pid, spec.actor_class, spec.restart)
            for pid, spec in self._specs.items()
        ] + [child.info for child in self._away.values()]

    def _check_room(self, spec: ChildSpec) -> None:
        most = self._chief.max_children
        if most is not None and self._number() >= most:
            raise TooManyChildren(self._process.pid, most)
        if spec.significant:
            raise ValueError(
                f"expected {spec.id!r} not to be significant: its supervisor does not shut down"
            )

    def _number(self) -> int:
        return len(self._specs) + len(self._away) + len(self._starts) + self._starting

    async def _start_new(self, spec: ChildSpec) -> PID:
        try:
            return await self._start(spec)
        except NameTaken as taken:
            raise self._already_started(spec, taken) or taken from None
        finally:
            self._starting -= 1

    def _begin_to_terminate(self, pid: PID | str, from_: Call) -> None:
        if not isinstance(pid, PID):
            raise ValueError(f"expected the PID of a child, got the id {shown(pid)}")
        away = self._away.pop(pid, None)
        if away is not None:
            away.is_over = True
            away.end_waiting()
            self._changes.call_off(away)
            self._starting += 1
            self._begin(partial(self._stop_late, away), away, from_)
            return
        spec = self._specs.get(pid)
        if spec is None:
            raise NoChild(self._process.pid, pid)
        self._failed.pop(pid, None)
        # It stays among those that run, as it does, but is not started again.
        self._specs[pid] = spec = replace(spec, restart=_NEVER)
        self._begin(partial(self._stop, {pid: spec}), Child(spec, {}), from_)

    async def _stop_late(self, child: Child) -> None:
        """Stop a child whose restart was called off, but may have come too far for that."""
        try:
            if child.pid is not None:
                await self._stop({child.pid: child.spec})
        finally:
            self._starting -= 1

    # Starting and stopping

    async def _start(self, spec: ChildSpec, again: Child | None = None) -> PID:
        left: dict[PID, ChildSpec] = {}

        def keep(process: Process) -> None:
            if again is not None:
                again.process = process
            if process.reason is None:  # or else nobody would tell of its end
                self._left[process.pid] = left[process.pid] = spec

        try:
            group, pid = self._shelter.group, self._process.pid
            process = await launched(spec, group, pid, keep, self._on_exit)
        except TimeoutError:
            await self._stop(left)
            raise
        if again is not None:
            again.process, again.started_at = process, current_time()
        self._has_begun(spec, process, again)
        return process.pid

    def _has_begun(self, spec: ChildSpec, process: Process, again: Child | None = None) -> None:
        pid = process.pid
        self._specs[pid] = spec
        if again is not None:
            self._failed[pid] = again
        if supervisor_log.PROGRESS.is_for(DEBUG):  # to find out who tells it takes as long
            supervisor_log.started_child(self._process, spec, process)
        if process.reason is not None:
            self._is_over(pid, process.reason)  # it has ended already

    async def _stop(self, specs: dict[PID, ChildSpec]) -> None:
        """Stop children, all at once, and wait for their ends."""
        await stop_all(self._process, specs)

    # When a child has ended

    def _is_over(self, pid: PID, reason: ExitReason) -> None:
        """Note that a child has ended: in its own task, for most need nothing more."""
        self._left.pop(pid, None)
        spec, child = self._specs.pop(pid, None), self._failed.pop(pid, None)
        if spec is None or spec.restart is _NEVER:  # most of them: so nothing more is asked
            return
        if self._changes.have_ended or not spec.must_restart(reason):
            return
        if child is not None and child.is_over:
            return
        self._away[pid] = child = child or Child(spec, {})
        child.process = None
        self._process.mailbox.deliver(Down(pid, reason))

    def _plan_restart(self, pid: PID, reason: ExitReason, error: Exception | None = None) -> None:
        """Start a child again that had `pid`, after an `error` of its last `init`."""
        child, chief = self._away.get(pid), self._process
        if child is None:
            return  # somebody has terminated it meanwhile
        work = partial(self._restart, pid, child, reason)
        again = partial(self._begin, work, child, revocable=True)
        if child.spec.backoff is not None:
            seconds, waiting = child.begin_to_wait()
            told = None if child.has_failed_again else error
            supervisor_log.waits(chief, child.spec, reason, seconds, told)
            children_of(self._chief).start_soon(after, seconds, waiting, again)
            return
        if error is not None:
            supervisor_log.not_restarted(chief, child.spec, error)
        again()

    async def _restart(self, pid: PID, child: Child, reason: ExitReason) -> None:
        if self._away.get(pid) is not child:
            return  # as above
        child.end_waiting()
        intensity, label = self._intensity, child.spec.actor_class.__name__
        if not may_restart(self._process, self._chief, intensity, child, reason, label):
            del self._away[pid]
            return
        child.restarts += 1
        try:
            again = partial(self._start, child.spec, child)
            await start_when_free(self._process, child.spec, again)
        except Exception as error:  # an init that fails is one more crash
            child.process = None
            self._plan_restart(pid, ExitReason.error(error), error)
        else:
            self._away.pop(pid, None)
            tell_restarted(self._process, self._intensity, child, reason)


def _check_most(came: int | None) -> None:
    if came is not None and (not isinstance(came, int) or isinstance(came, bool)):
        raise unexpected("max_children", "an int or None", came)
    if came is not None and came < 0:
        raise ValueError(f"expected max_children to be at least 0, got {came}")
