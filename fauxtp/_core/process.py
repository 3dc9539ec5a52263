"""The process: what the runtime knows of a living actor.

Processes are found by their PID in one table.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any

from fauxtp._base.events import note_start
from fauxtp._base.exit_reason import AT_REST, CANCELLED, ExitReason
from fauxtp._base.stack import TO_END, insist_on_room
from fauxtp._base.tell_all import drain, tell_all
from fauxtp._core.calls import Call, OwedCalls
from fauxtp._core.control import Control
from fauxtp._core.mailbox import new_queue, put_news
from fauxtp._core.phase import DEAD, RUNNING, STARTING, Exit, Phase
from fauxtp._core.queue import Queue
from fauxtp.registry import PID, Ref, withdraw

if TYPE_CHECKING:
    from anyio import CancelScope

    from fauxtp._base.events import Counter
    from fauxtp._core.protocols import Behaviour, ProcessScope, Startable, Succeeds
    from fauxtp._loops.protocols import Home

__all__ = [
    "Process",
    "everybody",
    "find_process",
    "forget",
]

_processes: dict[PID, Process] = {}

Watcher = Callable[[PID, ExitReason], object]

# Most processes have no links, monitors and watchers: they share a dict that stays empty.
_NONE: dict[Any, Any] = {}
_first = threading.RLock()

_set = object.__setattr__


class Process:
    """One living actor, from before its `init` until after its death."""

    __slots__ = (
        "__weakref__",
        "actor",
        "calls",
        "children",
        "closing_scope",
        "context",
        "depth",
        "exit_request",
        "failure",
        "handed_over",
        "handled",
        "handled_since",
        "handling",
        "home",
        "idle",
        "interrupted",
        "killed",
        "kind",
        "links",
        "mailbox",
        "monitors",
        "phase",
        "pid",
        "reason",
        "scope",
        "source",
        "started_at",
        "starters",
        "state",
        "step",
        "supervisor",
        "task",
        "waiting_for",
        "watchers",
    )

    def __init__(
        self,
        actor: Startable | None,
        home: Home,
        supervisor: PID | None,
        kind: type[Startable] | None = None,
        source: Succeeds | None = None,
    ) -> None:
        self.actor: Behaviour = None  # type: ignore[assignment]  # before, and when it has ended
        self.kind: type[Any] = type(actor) if kind is None else kind
        if actor is not None:
            self.take_on(actor)
        self.source: Succeeds | None = source  # which starts its successor, if there is one
        self.home: Home = home
        self.pid: PID = PID()
        self.mailbox: Queue = new_queue(self.pid, self.kind.mailbox_size)  # type: ignore[union-attr]
        self.supervisor: PID | None = supervisor
        self.phase: Phase = STARTING
        self.reason: ExitReason | None = None
        self.failure: BaseException | None = None  # of init, for whoever started it
        self.starters: dict[Callable[[], object], None] | None = {}  # wait for the end of init
        self.task: Any = None
        self.scope: ProcessScope | None = None  # from before init until after run
        self.closing_scope: CancelScope | None = None  # ends terminate
        self.exit_request: ExitReason | None = None
        self.killed: ExitReason | None = None
        self.waiting_for: Call | None = None
        self.state: Any = None
        self.handling: Any = None
        self.started_at: float = monotonic()
        self.handled_since: float = 0.0
        self.handled: Counter | None = None  # of messages that handlers of a server have begun
        # Of servers that others may step: see handover.py
        self.context: Context | None = None
        self.step: Callable[..., Any] | None = None  # see `fauxtp._hosting.direct`
        self.idle: bool = False  # waits for a message, and can be stepped
        self.interrupted: bool = False  # its task was cancelled while somebody stepped it
        self.depth: int = 0
        self.handed_over: Any = None
        self.calls: OwedCalls | None = None  # taken up, and to be answered later
        self.watchers: dict[Ref, Watcher] = _NONE
        self.links: dict[PID, Process] = _NONE
        self.monitors: dict[Ref, PID] = _NONE  # whom this one watches
        self.children: dict[PID, Process] = _NONE  # whom this one supervises
        _processes[self.pid] = self
        if supervisor is not None and (above := _processes.get(supervisor)) is not None:
            above.add_child(self)

    def __repr__(self) -> str:
        return f"<Process {self.pid!r} {self.kind.__name__} {self.phase.value}>"

    # Starting

    def take_on(self, actor: Startable) -> None:
        """Be the process of `actor`, as this was made before there was one."""
        behaviour = actor._fauxtp_behaviour
        self.actor = actor if behaviour is None else behaviour()
        if type(actor).__setattr__ is _set:
            actor._fauxtp_process = self
        else:  # its class may refuse that attributes are set
            _set(actor, "_fauxtp_process", self)

    @property
    def is_expected(self) -> bool:
        """Whether it was made before its actor, and has yet to begin."""
        return self.scope is None and self.phase is STARTING

    def on_started(self, wake: Callable[[], object]) -> None:
        """Call `wake` when `init` is over, well or not; now if it is."""
        starters = self.starters
        if starters is None:
            wake()
            return
        starters[wake] = None
        if self.phase is not STARTING:
            _wake_all(starters)

    def not_awaited(self, wake: Callable[[], object]) -> None:
        """Forget what `on_started` was given."""
        if self.starters is not None:
            self.starters.pop(wake, None)

    def started(self, phase: Phase) -> None:
        """Note that `init` is over."""
        self.phase = phase
        try:
            if phase is RUNNING:
                note_start(self.kind, self.pid)
        finally:
            if self.starters:
                _wake_all(self.starters)
            self.starters = None  # not before: there may be no memory to wake them

    # Watching

    def watch(self, ref: Ref, watcher: Watcher) -> bool:
        """Call `watcher` at the death, in its thread; return False if that was before."""
        if self.watchers is _NONE:
            with _first:
                fresh: dict[Ref, Watcher] = {}
                # In one line: a signal handler that does the same may come in between two.
                self.watchers = fresh if self.watchers is _NONE else self.watchers
        self.watchers[ref] = watcher
        return self.phase is not DEAD or self.watchers.pop(ref, None) is None

    def add_monitor(self, ref: Ref, pid: PID) -> None:
        """Note that this process is to hear of the end of `pid`."""
        if self.monitors is _NONE:
            with _first:
                fresh: dict[Ref, PID] = {}
                self.monitors = fresh if self.monitors is _NONE else self.monitors
        self.monitors[ref] = pid

    def bind(self, other: Process) -> None:
        """Note that the end of each is the other's affair."""
        with _first:
            for process in (self, other):
                fresh: dict[PID, Process] = {}
                process.links = fresh if process.links is _NONE else process.links
            # In one line, or who comes in between and does the opposite would leave one half.
            self.links[other.pid], other.links[self.pid] = other, self

    def unbind(self, other: Process) -> None:
        """Note that it is no more."""
        with _first:
            try:
                del self.links[other.pid], other.links[self.pid]  # in one line, too
            except KeyError:
                pass  # it was not, or one of them dies just now

    def add_child(self, child: Process) -> None:
        if self.children is _NONE:
            with _first:
                fresh: dict[PID, Process] = {}
                self.children = fresh if self.children is _NONE else self.children
        self.children[child.pid] = child

    def linked_exit(self, pid: PID | None, reason: ExitReason) -> None:
        """Hear that a linked process has ended."""
        if self.traps_exits:
            put_news(self.mailbox, Exit(pid, reason))
        elif reason.abnormal:
            self.request_exit(reason)

    @property
    def traps_exits(self) -> bool:
        """Whether it is sent an `Exit` where it would be ended."""
        actor = self.actor  # which another thread may see to its end just now
        return actor is not None and actor.trap_exit

    # Asking to end

    def request_exit(self, reason: ExitReason) -> bool:
        """End the process from outside: its `run` is cancelled, `terminate` runs.

        Return False if its event loop has ended, and it with that.
        """
        if self.home.is_free():
            self._exit_now(reason)
            return True
        return self.home.run(lambda: self._exit_now(reason))

    def shut_down(self, reason: ExitReason) -> bool:
        """End the process as its supervisor does; return as `request_exit` does.

        If it traps exits, it is told so by a message: a server ends when it has handled what lay
        before that, and any other process gets an `Exit`.
        """
        if self.home.is_free():
            self._shut_down_now(reason)
            return True
        return self.home.run(lambda: self._shut_down_now(reason))

    def _shut_down_now(self, reason: ExitReason) -> None:
        is_asked = self.exit_request is not None and self.exit_request is not AT_REST
        if self.phase is not RUNNING or is_asked or not self.traps_exits:
            self._exit_now(reason)
        elif self.actor._fauxtp_can_be_stepped:  # as `serve` does all its work
            end = Call(Control("end", reason=reason), self.pid, None)
            end.pass_by()
            put_news(self.mailbox, end)
        else:
            put_news(self.mailbox, Exit(self.supervisor, reason))

    def _exit_now(self, reason: ExitReason) -> None:
        if self.phase is DEAD:
            return
        insist_on_room(TO_END)
        again = self.exit_request is not None and self.exit_request is not AT_REST
        if not again:
            self.exit_request = reason
        # The process says first that it is idle, and looks then whether it is to end: who comes
        # in between is noticed either way.
        if self.idle:
            self.idle = False
            self.mailbox.wake_receivers()
        elif self.scope is not None:
            self.scope.cancel()
            if again and self.handling is None:
                self.mailbox.wake_receivers()  # who asked first may have failed to

    def kill(self, reason: ExitReason, final: ExitReason | None = None) -> bool:
        """End the process from outside, and its `terminate` too, now or when it comes to it.

        Its exit reason is `final`, or else what was asked for first. Return as `request_exit`
        does.
        """
        return self.home.run(lambda: self._kill_now(reason, final))

    def _kill_now(self, reason: ExitReason, final: ExitReason | None) -> None:
        asked = None if self.exit_request is AT_REST else self.exit_request
        self.killed = final or asked or reason
        self._exit_now(reason)
        if self.closing_scope is not None:
            self.closing_scope.cancel()

    # Handling

    def defer(self, call: Call) -> None:
        """Note that `call` will be answered later; at death, it fails."""
        call.deferred = True
        if self.calls is None:
            self.calls = OwedCalls()
        self.calls.add(call)

    # Dying

    def let_go(self) -> None:
        """Forget what refers back to this, which then is freed at once and not by a collection."""
        self.actor = self.scope = self.state = None  # type: ignore[assignment]


def _wake_all(starters: dict[Callable[[], object], None]) -> None:
    tell_all(wake for wake, _ in drain(starters))


find_process: Callable[[PID], Process | None] = _processes.get
"""Return the living process of a PID, or None."""


def forget(process: Process) -> bool:
    """Let nobody find a process any more, as it is dead; return False if that was done before."""
    was_there = _processes.pop(process.pid, None) is not None
    chief = None if process.supervisor is None else _processes.get(process.supervisor)
    if chief is not None:
        chief.children.pop(process.pid, None)
    return was_there


def everybody() -> list[Process]:
    """Return all processes that have not been buried, the oldest first."""
    return list(_processes.values())


def _after_fork_in_child() -> None:
    global _first
    _first = threading.RLock()  # who held it is not here
    # The event loops are not here, and so none of the processes is alive. Nobody can be told.
    for process in list(_processes.values()):
        process.phase, process.reason = DEAD, CANCELLED
        withdraw(process.pid)
    _processes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
