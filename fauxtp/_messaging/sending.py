"""Sending, casting and calling: to a PID or a name, from a task or from any thread."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from typing import cast as cast_type

import anyio
from anyio import current_time
from anyio.lowlevel import checkpoint

from fauxtp._base.carried import bare
from fauxtp._base.events import CARRYING, HANDLED, SENT, note, wanted
from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING, Call, Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current_process
from fauxtp._core.wait_for_room import ROOM, put, put_in_line
from fauxtp._loops.current import give_way, new_waiter, seconds, turn
from fauxtp._messaging.addresses import class_of, mailbox_of, starting, target_of
from fauxtp._messaging.call_circles import refuse_circle
from fauxtp._messaging.delivery import Attempt, attempt, on_its_way, post
from fauxtp._messaging.outcome import outcome_of, timed_out, withdraw
from fauxtp.errors import CallCycle, MailboxFull, NoProcess, ProcessExited
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere
    from fauxtp._core.request import Request
    from fauxtp._loops.protocols import Home

    A = TypeVar("A")

__all__ = ["call", "cast", "cast_nowait", "send", "send_nowait"]

USUAL: Final = 5.0  # seconds until a call times out of which nothing else was said
ON_THE_WAY: Final = SENT | CARRYING | HANDLED
BUDGET: Final = 128  # messages sent, before the event loop has a turn

sent = 0  # since it had one; several loops may share the count


def send_nowait(to: PID | str, message: Any) -> None:
    """Send `message` to a process or a mailbox, from any thread, without waiting.

    A message to nobody is counted in `dead_letters`.

    Raises `TypeError` if `to` is neither a PID nor a name, `MailboxFull` if the receiver's
    mailbox is bounded and has no room.

    >>> from fauxtp import Mailbox
    >>> mailbox = Mailbox()
    >>> send_nowait(mailbox.pid, "hello")
    >>> len(mailbox)
    1
    """
    if wanted(ON_THE_WAY):
        message = on_its_way(to, message)
    mailbox = mailbox_of(to)
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif not mailbox.admit(message):
        if find_process(mailbox.pid) is None or meet(mailbox.pid) is not None:
            note(("mailbox_full", class_of(mailbox.pid)), mailbox.pid, {"message": bare(message)})
            raise MailboxFull(mailbox.pid, mailbox.max_size)
        mailbox.admit(message)  # which is closed now


def cast_nowait(to: PID | str, request: Any) -> None:
    """Hand `request` to a server's `handle_cast`, from any thread, without waiting.

    `to` is a PID or a name. As with `send_nowait`: nobody there is no error, no room is.

    Raises `TypeError` if `to` is neither a PID nor a name, `MailboxFull` if there is no room.

    >>> cast_nowait("nobody", "reset")
    """
    send_nowait(to, Cast(request))


async def send(to: PID | str, message: Any) -> None:
    """Send `message` to a process or a mailbox; wait while its mailbox is full.

    That it was read is not promised: a message to nobody is counted in `dead_letters`.
    Messages from one process to another arrive in the order in which they were sent.

    Raises `TypeError` if `to` is neither a PID nor a name; and `CallCycle` if there would never be
    room: the mailbox is that of the caller itself, or of one that waits for it.

    >>> import anyio
    >>> from fauxtp import Mailbox
    >>> mailbox = Mailbox()
    >>> anyio.run(send, mailbox.pid, "hello")
    >>> len(mailbox)
    1
    """
    global sent
    sent += 1
    if sent >= BUDGET:  # who only sends must not keep the readers from reading
        sent = 0
        await checkpoint()  # before: whoever is cancelled here has sent nothing
    full = post(to, message)
    if full is not None:
        if isinstance(full, tuple):
            full, message = full
        meet(full.pid)
        if not full.admit(message):
            await _wait_for_room(full, message)


async def cast(to: PID | str, request: Any) -> None:
    """Hand `request` to a server's `handle_cast`, and do not wait for what becomes of it.

    `to` is a PID or a name. As with `send`: nobody there is no error; a full mailbox makes it
    wait.

    Raises what `send` raises.

    >>> import anyio
    >>> anyio.run(cast, "nobody", "reset")
    """
    global sent
    sent += 1
    if sent >= BUDGET:
        sent = 0
        await checkpoint()
    request = Cast(request)
    full = post(to, request)
    if full is not None:
        if isinstance(full, tuple):
            full, request = full
        meet(full.pid)
        if not full.admit(request):
            await _wait_for_room(full, request)


async def _wait_for_room(full: Queue, message: Any) -> None:
    """Put `message` in when there is room; raise if whoever is to make some waits for this one."""
    caller = current_process(own_task=True)
    if caller is None:
        await put_in_line(full, message)
        return
    caller.waiting_for = room = Call(ROOM, full.pid, caller.pid)
    try:
        refuse_circle(caller, full.pid)
        await put_in_line(full, message, room)
    except CallCycle:
        await give_way()
        raise
    finally:
        caller.waiting_for = None


if TYPE_CHECKING:

    @overload
    async def call(
        to: PID | str,
        request: Request[A],
        timeout: float | None = 5.0,
        wait: float | None = None,
    ) -> A: ...
    @overload
    async def call(
        to: PID | str, request: object, timeout: float | None = 5.0, wait: float | None = None
    ) -> Any: ...


async def call(
    to: PID | str, request: Any, timeout: float | None = USUAL, wait: float | None = None
) -> Any:
    """Hand `request` to a server's `handle_call`, and return its answer.

    If it is a `Request` of some type, type checkers take the answer for one of that type.
    `timeout` is in seconds; None waits for ever. A call that the server has not taken up by
    then is never executed; what it has begun, it ends.

    Raises `NoProcess` if there is nobody, `ProcessExited` if the server ends before it
    answers (with the error that ended it as the cause), `CallCycle` if the server waits for
    the caller, `ReceiveTimeout` if no answer came in time; the first three at once. And
    `TypeError` if `to` is neither a PID nor a name, or `timeout` no number.

    What can safely be sent again: a request that met `NoProcess`, `MailboxFull` or `CallCycle`
    has had no effect; nor has one that met `ProcessExited` or `ReceiveTimeout`, if its
    `taken_up` is False. With `wait`, a name that means nobody, as its server is restarted, is
    waited for so many seconds in all, and what that server has not taken up is sent again to its
    successor; `timeout` counts from then on. So is what met the `NoConnection` of a cluster. What
    a server has answered, by `Raise`, is never sent again, whatever the error.

    >>> import anyio
    >>> anyio.run(call, "nobody", "stats")
    Traceback (most recent call last):
        ...
    fauxtp.NoProcess: no living process behind 'nobody'
    """
    if wait is not None:
        from fauxtp._messaging.safe_retry import again  # noqa: PLC0415  (few need it)

        return await again(partial(call, to, request, timeout), to, wait)
    try:
        limit = timeout if timeout is USUAL else seconds(timeout)
        begun = attempt(to, request)
        if type(begun) is not Attempt:
            return begun
        rest: Awaitable[Any] = _go_on(begun, to, timeout, limit)
        if begun.told is not None:
            from fauxtp._messaging.told import told_rest  # noqa: PLC0415  (seldom needed)

            rest = told_rest(rest, begun.told)
        del begun  # a mailbox that nobody else has would never be read
    except BaseException as error:
        _give_up(None, None, False)
        if isinstance(error, Exception):
            await give_way()
        raise
    return await rest


async def _go_on(begun: Attempt, to: PID | str, timeout: float | None, limit: float | None) -> Any:
    """Do what is left of a call that is not answered yet."""
    pending, caller, answer = begun.call, begun.caller, begun.outcome
    process: Any = begun.process  # there is one, unless the call was declined
    lies_there = False
    try:
        if answer is GAVE_WAY:
            answer = await process.handed_over.go_on(process, caller)
        if answer is DECLINED:
            limit = await _put_in(begun, to, timeout, limit)
            lies_there = True
        elif answer is not PENDING:
            return answer
        del begun
        # What is pending was stepped by this event loop, which is that of the process.
        await _wait(pending, None if lies_there else process.home, limit, limit == timeout)
    except BaseException as error:
        _give_up(pending, caller, lies_there)
        if isinstance(error, Exception):
            await give_way()
        raise
    finally:
        if caller is not None:
            caller.waiting_for = None
    if pending.give_up():
        if lies_there:
            withdraw(pending)
        raise timed_out(pending, to, timeout, pending.taken or not lies_there)
    return outcome_of(pending, to)


async def _put_in(
    begun: Attempt, to: PID | str, timeout: float | None, limit: float | None
) -> float | None:
    """Put the call into the mailbox of whom it is for; return how much of `limit` is left."""
    pending, mailbox = begun.call, begun.mailbox
    if begun.process is not None and meet(pending.target) is None:
        mailbox = next_mailbox(to, pending, begun.process)
    refuse_circle(begun.caller, pending.target)
    if not mailbox.max_size:
        while not mailbox.deliver(pending):
            mailbox = next_mailbox(to, pending, begun.process)
        return limit
    if mailbox.max_size < 0:
        cast_type("Elsewhere", mailbox).forward(pending, limit)
        return limit
    if mailbox.admit(pending):
        return limit
    started = current_time()
    with anyio.move_on_after(limit):
        await put(mailbox, pending)
        return None if limit is None else max(0.0, limit - (current_time() - started))
    raise timed_out(pending, to, timeout, False)


def next_mailbox(to: PID | str, pending: Call, gone: Process | None) -> Queue:
    """Return the mailbox of whom `to` means now, as `gone` has just ended."""
    if starting(to) is None:
        raise NoProcess(to)
    if gone is not None and gone.reason is not None and gone.reason.exception is not None:
        error = ProcessExited(gone.pid, gone.reason, name=str(to))  # as it was started, perhaps
        raise error from gone.reason.exception
    pending.target, _, mailbox = target_of(to)
    return mailbox


async def _wait(pending: Call, home: Home | None, limit: float | None, common: bool) -> None:
    """Wait for the outcome of a call; let others have a turn if it is there already."""
    if not pending.settled:
        waiter = new_waiter() if home is None else home.new_waiter()
        pending.wake = waiter.wake
        if not pending.settled:  # another thread may have been quick
            await waiter.wait(limit, common=common)
    elif home is not None:
        await turn()
    else:
        await give_way()


def _give_up(pending: Call | None, caller: Process | None, lies_there: bool) -> None:
    """Let `caller` wait no more for `pending`, or, with None, for what `attempt` has begun.

    That has failed itself, or a signal handler has, just as it returned.
    """
    if pending is None:
        caller = current_process(own_task=True)
        if caller is None or caller.waiting_for is None:
            return
        pending = caller.waiting_for
    if caller is not None:
        caller.waiting_for = None
    if pending.give_up() and lies_there:
        withdraw(pending)
    if pending.wake is not None:
        pending.wake()  # nobody waits any more
