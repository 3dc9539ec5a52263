"""A life: what happens to a process between its start and its death, in its own task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, final

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

from fauxtp import registry
from fauxtp._actors.classes import explained
from fauxtp._actors.names_at_start import has_claimed, has_got
from fauxtp._actors.verdicts import ActorExit, judge, leaves
from fauxtp._base.arguments import expect_callable
from fauxtp._base.coroutines import has_effect, may_suspend
from fauxtp._base.exit_reason import CANCELLED, LOOP_ENDED, ExitReason
from fauxtp._base.stack import TO_END, insist_on_room
from fauxtp._core.calls import Call
from fauxtp._core.crash_log import crashed, failed_as_it_ended
from fauxtp._core.death import bury, ended
from fauxtp._core.phase import DEAD, RUNNING, STARTING, STOPPING
from fauxtp._core.process import Process
from fauxtp._core.running_process import current, current_process, enter
from fauxtp._hosting.end_causes import is_closed
from fauxtp._hosting.run_in import run_in
from fauxtp._loops.current import current_home, give_way, turn
from fauxtp._messaging.addresses import find_pid
from fauxtp.errors import MaxRestartsExceeded, NameTaken
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.protocols import Startable
    from fauxtp._loops.protocols import Home
    from fauxtp._loops.task_groups import AnyTaskGroup

__all__ = ["ROUNDS", "AtOnce", "OnExit", "begin", "launch", "prepared"]

ROUNDS = 64  # of `run`, before the event loop has a turn
FOR_THE_LOOP = KeyboardInterrupt, SystemExit  # it ends with them, and nobody goes on

OnExit = Callable[[PID, ExitReason], Awaitable[object]]
Closing = Awaitable[tuple[ExitReason | None, BaseException | None]]


@final
class AtOnce(partial[object]):
    """In place of an `on_exit`: what is only called at the very end, and waits for nothing."""


async def launch(
    actor: Startable,
    task_group: AnyTaskGroup,
    *,
    on_exit: OnExit | AtOnce | None = None,
    register_as: str | None = None,
    supervisor: PID | None = None,
) -> Process:
    """Run `actor` in `task_group`, and return its process when its `init` has finished."""
    try:
        process = prepared(actor, task_group, on_exit, supervisor)
    except Exception:
        await give_way()
        raise
    starter = None if current() is None else current_process(own_task=True)
    try:
        if starter is not None:  # it cannot answer: whoever calls it meanwhile should know
            starter.waiting_for = Call(None, process.pid, starter.pid)
        must_turn = begin(process, task_group, on_exit, register_as)
    except Exception:
        await give_way()
        raise
    finally:
        if starter is not None:
            starter.waiting_for = None
    if process.phase is STARTING or must_turn or process.failure is not None:
        await _begun(process, must_turn)
    return process


def prepared(
    actor: Startable,
    task_group: AnyTaskGroup,
    on_exit: OnExit | AtOnce | None,
    supervisor: PID | None,
) -> Process:
    """Return the process of `actor`, which is about to `begin`; raise if it cannot."""
    home = _home_for(actor, task_group, on_exit)
    return actor._fauxtp_process or Process(actor, home, supervisor)


def begin(
    process: Process,
    task_group: AnyTaskGroup,
    on_exit: OnExit | AtOnce | None,
    register_as: str | None,
) -> bool:
    """Run the actor of `process` in `task_group`, up to where its `init` waits if that can be.

    Return whether the running task should wait for a turn, as `run_in` does.
    """
    try:
        life = partial(_live, process, on_exit, register_as)
        can_step = process.actor._fauxtp_can_be_stepped
        return run_in(task_group, process, life, can_step, register_as)
    except BaseException:
        _abandon(process)
        raise


async def _begun(process: Process, must_turn: bool) -> Process:
    """Return `process` when its `init` is over; raise what that has raised."""
    starter = None if current() is None else current_process(own_task=True)
    try:
        if starter is not None:  # as above
            waiting = starter.waiting_for = Call(None, process.pid, starter.pid)
            process.on_started(partial(waiting.answer, None))
        if process.phase is STARTING:
            ready = process.home.new_waiter()
            process.on_started(ready.wake)
            await ready.wait(None)
        elif must_turn:
            await turn()
    except BaseException as error:
        _abandon(process)
        if isinstance(error, Exception):
            await give_way()
        raise
    finally:
        if starter is not None:
            starter.waiting_for = None
    if process.failure is not None:
        await give_way()  # or who tries again and again would keep others from helping
        raise process.failure
    return process


def _home_for(actor: Startable, task_group: AnyTaskGroup, on_exit: OnExit | AtOnce | None) -> Home:
    """Return the event loop in which `actor` can be started as it is to be, or say why not."""
    if not (actor._fauxtp_process is None or actor._fauxtp_process.is_expected):
        raise RuntimeError(f"this {type(actor).__name__} was started before")
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    if not hasattr(type(task_group), "start_soon"):
        from fauxtp._loops.task_groups import expect_of_asyncio  # noqa: PLC0415  (most have it)

        expect_of_asyncio(task_group, home)
    if on_exit is not None:
        expect_callable("on_exit", on_exit)
    insist_on_room(TO_END)  # to begin, and to end it again
    return home


def _abandon(process: Process) -> None:
    """End a process whose starter does not wait for it any more."""
    if process.task is None:  # its task has not begun, and may never do so
        bury(process, CANCELLED)
    else:
        process.request_exit(CANCELLED)


async def _live(
    process: Process, on_exit: OnExit | AtOnce | None, name: str | None, begins: bool
) -> None:
    # Between here and what an idle process awaits there is only its `_fauxtp_work`: each further
    # coroutine would take as much memory as its mailbox and its PID, as would an object kept here.
    actor, scope = process.actor, process.scope
    if process.phase is DEAD or scope is None:
        return
    enter(process)
    failure: BaseException | None = None
    opened = False
    try:
        waits_for = scope.open()
        if waits_for is not None:
            await waits_for
        opened = True
        if name is not None and type(name) is not str:
            scope.enter()
            if not await has_claimed(name, process.pid):
                raise NameTaken(name, find_pid(name))
        elif process.exit_request is not None or may_suspend(actor.init):
            scope.enter()
        if type(name) is str and not has_got(name, process.pid, process.source is not None):
            raise NameTaken(name, registry.whereis(name))
        process.state = _first_state(await actor.init())
        scope.leave()
        process.started(RUNNING)
        if begins and (process.step is None or process.mailbox.inbox or process.mailbox.kept):
            await turn()  # what comes now need not be over before `start` is
        if process.exit_request is None:
            if process.step is None:
                scope.enter()
            waits_for = actor._fauxtp_work(process)
            if waits_for is not None:
                await waits_for
            left = ROUNDS
            while waits_for is None and process.exit_request is None:
                process.state = await actor.run(process.state)
                left = left - 1 or ROUNDS
                if left == ROUNDS:
                    await checkpoint()  # others must run, too
    except BaseException as error:
        failure = error
    try:
        waits_for = _end(process, failure, opened, on_exit)
        if waits_for is not None:
            await waits_for
    finally:
        failure = None  # a circle else: its traceback has this frame


def _first_state(made: Any) -> Any:
    if isinstance(made, ActorExit):  # as a handler, it may return a `Stop`
        raise made
    return made


def _end(
    process: Process,
    failure: BaseException | None,
    opened: bool,
    on_exit: OnExit | AtOnce | None,
) -> Awaitable[None] | None:
    """See to all that comes between the end of a process's work, by `failure`, and its own.

    Return what has to be awaited for that. Most often it is nothing, and the process dies here:
    each coroutine would take as long as to send a message.
    """
    scope = process.scope
    assert scope is not None
    try:
        closing = None
        if opened:
            leaving = process.actor._fauxtp_leave and process.actor._fauxtp_leave()
            close = scope.close() if failure is None and leaving is None else None
            if failure is not None or leaving is not None or close is not None:
                closing = _close(process, failure, leaving, close)
        if (
            failure is not None
            or closing is not None
            or (on_exit is not None and type(on_exit) is not AtOnce)
            or process.killed is not None
            or process.phase is not RUNNING
            or has_effect(process.actor.terminate)
        ):
            return _end_in_steps(process, failure, closing, on_exit)
    except BaseException:  # there is no memory for it
        bury(process, CANCELLED)
        raise
    process.phase = STOPPING
    bury(process, process.exit_request or CANCELLED)
    if on_exit is not None:
        _tell_at_once(process, on_exit)
    scope.detach()
    process.let_go()
    return None


async def _end_in_steps(
    process: Process,
    failure: BaseException | None,
    closing: Closing | None,
    on_exit: OnExit | AtOnce | None,
) -> None:
    """Do as `_end` does, step by step."""
    reason: ExitReason | None = None
    outer: BaseException | None = None  # what the task group must hear of
    scope = process.scope
    assert scope is not None
    try:
        if closing is not None:
            reason, failure = await closing
        if failure is not None:
            reason, outer = judge(process, failure, reason)
            if reason is LOOP_ENDED:
                raise failure
        reason = reason or process.exit_request or CANCELLED
        outer = await _stop(process, reason) or outer
        if process.killed is not None and reason.exception is None:
            reason = process.killed
        if isinstance(outer, FOR_THE_LOOP):
            await _own_turn()
    finally:  # also if the event loop itself cancels `terminate`, which no shield prevents
        failure = None
        bury(process, reason or CANCELLED)
    try:
        if isinstance(on_exit, AtOnce):
            _tell_at_once(process, on_exit)
        elif on_exit is not None:
            outer = await _tell(process, on_exit, reason or CANCELLED) or outer
        if outer is not None:
            raise outer
    finally:
        outer = None
    scope.detach()
    process.let_go()


async def _close(
    process: Process,
    failure: BaseException | None,
    leaving: Awaitable[object] | None,
    closing: Awaitable[object] | None,
) -> tuple[ExitReason | None, BaseException | None]:
    """Leave the children and the scopes; return why it ends, and what is not yet told by that."""
    reason: ExitReason | None = None
    if isinstance(failure, ActorExit):
        reason, failure = failure.reason, None
    elif isinstance(failure, Exception):
        reason, failure = ExitReason.error(explained(process.kind, failure)), None
    scope = process.scope
    assert scope is not None
    try:
        if leaving is not None:
            await leaving
    except BaseException as error:
        failure = error
    try:
        if closing is None:
            closing = scope.close() if failure is None else scope.close_after(failure)
        if closing is not None and await closing:
            failure = None
        return reason, failure
    except BaseException as error:
        return reason, error
    finally:
        failure = None


async def _stop(process: Process, reason: ExitReason) -> BaseException | None:
    """Do what comes between `run` and death; return what the task group must hear of."""
    if process.phase is not RUNNING:
        process.failure = ended(process.pid, reason)
        return None
    process.phase = STOPPING
    fatal = None if reason.exception is None else _crashed(process, reason)
    terminate = process.actor.terminate
    try:
        if may_suspend(terminate):
            with anyio.CancelScope(shield=True) as scope:
                process.closing_scope = scope
                if process.killed is not None:
                    scope.cancel()
                await terminate(reason, process.state)
        else:
            await terminate(reason, process.state)
    except ActorExit:
        pass  # it ends already
    except Exception as error:
        failed_as_it_ended(process, "terminate", explained(process.kind, error))
    except BaseException as error:
        if is_closed(process, error):
            raise
        return leaves(process, "terminate", error) or fatal
    return fatal


async def _own_turn() -> None:
    """Wait for a turn of the event loop's own: what comes next is not for who gave this one."""
    with suppress(anyio.get_cancelled_exc_class()):
        await cancel_shielded_checkpoint()


def _tell_at_once(process: Process, on_exit: OnExit | AtOnce) -> None:
    try:
        on_exit(process.pid, process.reason)  # type: ignore[arg-type]  # it is dead
    except Exception as error:
        failed_as_it_ended(process, "on_exit", error)


async def _tell(process: Process, on_exit: OnExit, reason: ExitReason) -> BaseException | None:
    with anyio.CancelScope(shield=True) if may_suspend(on_exit) else nullcontext():  # or in vain
        try:
            await on_exit(process.pid, reason)
        except Exception as error:
            failed_as_it_ended(process, "on_exit", error)
        except BaseException as fatal:
            if is_closed(process, fatal):
                raise
            if isinstance(fatal, FOR_THE_LOOP):
                await _own_turn()
            return leaves(process, "on_exit", fatal)
    return None


def _crashed(process: Process, reason: ExitReason) -> BaseException | None:
    """Log the crash, if it is one and its own; return what the task group must hear of."""
    if reason is process.exit_request:
        return None
    crashed(process, reason)
    escalates = isinstance(reason.exception, MaxRestartsExceeded)
    return reason.exception if escalates and process.supervisor is None else None
