"""Exits: to end a process, to ask whether it lives, to wait for its end."""

from __future__ import annotations

from typing import Final

from fauxtp._base.arguments import unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue
from fauxtp._core.phase import DEAD, Exit
from fauxtp._core.process import Process, find_process
from fauxtp._loops.current import give_way, new_waiter, seconds, turn
from fauxtp._messaging.addresses import elsewhere, find_pid
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID, Ref

__all__ = ["exit", "is_alive", "wait_exit"]

USUAL: Final = ExitReason("shutdown", abnormal=True)


def _process_of(to: PID | str) -> Process | None:
    return meet(find_pid(to))


def exit(pid: PID | str, reason: str = USUAL) -> bool:  # noqa: A001
    """End the process `pid`, from any thread; return False if there is none.

    Its `run` is cancelled and its `terminate` runs with `reason`. If it traps exits, it is
    sent an `Exit` and may do as it likes; unless `reason` is `"kill"`, which cannot be
    trapped, and leaves no time: `terminate` is cancelled where it awaits something, also if
    it runs already.

    Raises `TypeError` if `pid` is neither a PID nor a name, or `reason` no str.

    >>> exit("nobody")
    False
    """
    if not isinstance(reason, str):
        raise unexpected("reason", "a str", reason)
    process = find_process(pid) if type(pid) is PID else _process_of(pid)
    why = reason if isinstance(reason, ExitReason) else ExitReason(reason, abnormal=True)
    if process is None:
        there = elsewhere(pid)
        return there is not None and there.request_exit(why)
    if reason == "kill":
        return process.kill(why)
    actor = process.actor  # as `traps_exits` asks, which takes longer
    if actor is None or not actor.trap_exit:
        return process.request_exit(why)
    if meet(process.pid) is None:
        return False
    process.mailbox.deliver(Exit(None, why))
    return True


def is_alive(pid: PID | str) -> bool:
    """Return whether there is a process, or an open mailbox, behind `pid`.

    Raises `TypeError` if `pid` is neither a PID nor a name.

    >>> is_alive("nobody")
    False
    """
    found = find_pid(pid)
    if found is None:
        return False
    if meet(found) is not None:
        return True
    queue = find_queue(found)
    return queue is not None and queue.closed_because is None


async def wait_exit(pid: PID | str, timeout: float | None = None) -> ExitReason:
    """Wait until the process `pid` has ended, and return its exit reason.

    That of a process which was gone already is `"noproc"`. `timeout` is in seconds.

    Raises `ReceiveTimeout` if it still lives then, and `TypeError` if `pid` is neither a PID
    nor a name.

    >>> import anyio
    >>> anyio.run(wait_exit, "nobody")
    'noproc'
    """
    try:
        limit = None if timeout is None else seconds(timeout)
        process = find_process(pid) if type(pid) is PID else _process_of(pid)
    except Exception:
        await give_way()
        raise
    if process is None:
        await give_way()
        return await _wait_elsewhere(pid, timeout, limit)
    scope = process.scope
    if process.exit_request is not None and scope is not None and scope.run_last_turn():
        await turn()
    if process.phase is DEAD:
        return process.reason or ExitReason("noproc")
    meet(process.pid)  # or nobody would tell, if its event loop has ended
    ref, waiter = Ref(), new_waiter()
    if process.watch(ref, lambda _, __: waiter.wake()):
        try:
            await waiter.wait(limit)
        finally:
            process.watchers.pop(ref, None)
    else:
        await give_way()
    if process.reason is None:
        raise ReceiveTimeout(f"{pid!r} has not ended within {timeout:g} s")
    return process.reason


async def _wait_elsewhere(
    pid: PID | str, timeout: float | None, limit: float | None
) -> ExitReason:
    """Do as `wait_exit` does, for what is no process of here."""
    there = elsewhere(pid)
    if there is None:
        return ExitReason("noproc")
    reasons: list[ExitReason] = []
    ref, waiter = Ref(), new_waiter()

    def tell(_: PID, reason: ExitReason) -> None:
        reasons.append(reason)
        waiter.wake()

    if not there.watch(ref, tell):
        return ExitReason("noproc")
    try:
        await waiter.wait(limit)
    finally:
        there.unwatch(ref)
    if not reasons:
        raise ReceiveTimeout(f"{pid!r} has not ended within {timeout:g} s")
    return reasons[0]
