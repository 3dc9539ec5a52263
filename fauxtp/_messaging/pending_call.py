"""PendingCall: a call whose answer is waited for later, or beside others."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast, final, overload

from fauxtp import _loops
from fauxtp._base.arguments import unexpected
from fauxtp._base.events import CALLS, wanted
from fauxtp._core.calls import Call
from fauxtp._core.ended_loops import meet
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current_process
from fauxtp._core.wait_for_room import LeftInLine, put_later
from fauxtp._loops.current import current_home, give_way, new_waiter, seconds
from fauxtp._messaging.addresses import find_pid, starting, target_of
from fauxtp._messaging.call_circles import refuse_circle
from fauxtp._messaging.outcome import outcome_of, timed_out, too_late, withdraw
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere
    from fauxtp._core.request import Request
    from fauxtp._messaging.told import ToldCall

__all__ = ["PendingCall", "call_many", "start_call"]

USUAL = 5.0  # seconds, as for a call

_deciding = threading.RLock()  # how a call was given up; a finaliser may come in between


def _after_fork_in_child() -> None:
    global _deciding
    _deciding = threading.RLock()  # who held it is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


@final
class PendingCall(Generic[A_co]):
    """A call that was sent, and whose answer is there when it is awaited: see `start_call`.

    To await it again gives the same again. Who lets go of it without awaiting it has given it up.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> class Square(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return request * request, state
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         square = await Square.start(task_group=task_group)
    ...         pending = start_call(square, 3)
    ...         print(await pending, pending.done, pending.cancel())
    ...         exit(square)
    >>> anyio.run(main)
    9 True False
    """

    __slots__ = (
        "_call",
        "_first",
        "_gave_up",
        "_home",
        "_place",
        "_timeout",
        "_to",
        "_told",
        "_until",
    )

    def __init__(
        self, call: Call, to: PID | str, timeout: float | None, home: _loops.Home
    ) -> None:
        limit = seconds(timeout)
        self._call = call
        # The history of its error, as it was when it was awaited first
        self._first: tuple[TracebackType | None, BaseException | None] | None = None
        self._gave_up = ""  # or how
        self._home = home
        self._place: LeftInLine | None = None  # if there was no room for it
        self._timeout = timeout
        self._to = to
        self._told: ToldCall | None = None  # whose end is to be told, if somebody listens
        if wanted(CALLS):
            from fauxtp._messaging.told import ToldCall  # noqa: PLC0415  (seldom needed)

            self._told = told = ToldCall(to, call.request)
            try:
                told.enter()
                call.note_sender()  # again, as it comes of what was told now
            finally:
                told.leave()
        self._until = None if limit is None else home.time() + limit

    def put_into(self, mailbox: Queue) -> None:
        """Send it, now or as soon as there is room; `start_call` does so."""
        try:
            self._put_into(mailbox)
        except BaseException as error:
            self._tell_end(error)
            raise

    def _put_into(self, mailbox: Queue) -> None:
        if mailbox.max_size < 0:
            cast("Elsewhere", mailbox).forward(self._call, seconds(self._timeout))
        elif mailbox.max_size:
            self._place = put_later(mailbox, self._call, self._home)
        elif not mailbox.deliver(self._call):
            if starting(self._to) is None:
                raise NoProcess(self._to)
            mailbox.refuse(self._call)  # which leaves it to a successor

    def __repr__(self) -> str:
        how = self._gave_up or ("answered" if self.done else "pending")
        return f"<PendingCall to {self._to!r}: {how}>"

    @property
    def done(self) -> bool:
        """Whether there is an outcome, so that to await it takes no time."""
        return self._call.settled

    def cancel(self) -> bool:
        """Give the call up, and return True; False if there is an outcome already.

        What the server has not taken up is never executed. Whoever awaits it gets `RuntimeError`;
        this raises nothing.
        """
        return self._give_up("cancelled")

    def _give_up(self, how: str) -> bool:
        with _deciding:  # whoever finds it given up finds how
            if self._call.settled or not self._call.give_up():
                return False
            self._gave_up = how
        if how == "cancelled":
            self._tell_end(RuntimeError("the call was cancelled"))
            if self._call.wake is not None:  # somebody waits for it, and is to hear of that
                self._call.wake()
        if self._place is None or not self._place.leave():
            withdraw(self._call)
        return True

    def __await__(self) -> Generator[Any, Any, A_co]:
        """Wait for the answer, and return it.

        Raises what `call` raises, and `RuntimeError` if the call was cancelled, if somebody else
        waits for it, or in another event loop.
        """
        return (self._wait() if self._told is None else self._wait_told()).__await__()

    async def _wait_told(self) -> Any:
        try:
            answer = await self._wait()
        except BaseException as error:
            self._tell_end(error)
            raise
        self._tell_end()
        return answer

    def _tell_end(self, error: BaseException | None = None) -> None:
        told, self._told = self._told, None
        if told is not None:
            told.end(error)

    async def _wait(self) -> Any:
        call = self._call
        try:
            self._check()
            if call.settled:
                await give_way()
            else:
                await self._wait_for_outcome()
        except Exception:
            await give_way()
            raise
        if self._give_up("too late"):
            raise timed_out(call, self._to, self._timeout, call.taken)
        if self._gave_up == "cancelled":
            raise RuntimeError("the call was cancelled as it was awaited")
        if self._gave_up:
            raise too_late(self._to, self._timeout, call.taken)
        handled = sys.exc_info()[1]
        try:
            return outcome_of(call, self._to)
        except BaseException as error:
            self._raise_again(error, handled)

    def _raise_again(self, error: BaseException, handled: BaseException | None) -> NoReturn:
        """Raise `error`, with nothing of those who have awaited this before.

        What it comes as the first time is remembered, but for what was `handled` there.
        """
        if self._first is None:
            traceback, context = error.__traceback__, error.__context__
            further = None if traceback is None else traceback.tb_next
            self._first = further, None if context is handled else context
        traceback, context = self._first
        try:
            raise error.with_traceback(traceback)
        finally:
            error.__context__ = context

    def _check(self) -> None:
        if self._gave_up == "cancelled":
            raise RuntimeError("expected a call that is pending, and this one was cancelled")
        if current_home() is not self._home:
            raise RuntimeError("expected the event loop in which the call was started")
        if self._call.wake is not None and not self._call.settled:
            raise RuntimeError("expected a call that nobody else waits for")

    async def _wait_for_outcome(self) -> None:
        call, caller = self._call, current_process(own_task=True)
        waiter = new_waiter()
        if caller is not None:
            caller.waiting_for = call
        call.wake = waiter.wake
        try:
            refuse_circle(caller, call.target, is_late=True)
            if not call.settled:  # another thread may have been quick
                left = None if self._until is None else max(0.0, self._until - self._home.time())
                await waiter.wait(left)
            if call.settled and self._place is not None:
                self._place.leave()  # if it has failed there
        except BaseException:
            self.cancel()
            raise
        finally:
            if caller is not None:
                caller.waiting_for = None

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and hasattr(self, "_until"):  # else it was never sent
            self.cancel()
            self._tell_end()  # if there was an answer that nobody has awaited


if TYPE_CHECKING:

    @overload
    def start_call(
        to: PID | str, request: Request[A], timeout: float | None = 5.0
    ) -> PendingCall[A]: ...
    @overload
    def start_call(
        to: PID | str, request: object, timeout: float | None = 5.0
    ) -> PendingCall[Any]: ...


def start_call(to: PID | str, request: Any, timeout: float | None = USUAL) -> PendingCall[Any]:
    """Send `request` to the `handle_call` of `to`, and return what is awaited for its answer.

    Meanwhile the caller can do other things, and start other calls: the servers work on them side
    by side. It does not wait for room in a full mailbox either; the request does. `timeout` is in
    seconds, from now on, as `call` has it.

    Raises `NoProcess` if there is nobody, `RuntimeError` where no event loop runs, and `TypeError`
    as `call` does. All other errors come when it is awaited.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> class Square(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return request * request, state
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         square = await Square.start(task_group=task_group)
    ...         pending = [start_call(square, number) for number in (2, 3)]
    ...         print([await one for one in pending])
    ...         exit(square)
    >>> anyio.run(main)
    [4, 9]
    """
    seconds(timeout)
    pid, process, mailbox = target_of(to)
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread; use call_blocking instead")
    if process is not None and meet(pid) is None:
        raise NoProcess(to)
    caller = current_process(own_task=True)
    call = Call(request, pid, None if caller is None else caller.pid)
    pending: PendingCall[Any] = PendingCall(call, to, timeout, home)
    pending.put_into(mailbox)
    return pending


if TYPE_CHECKING:

    @overload
    async def call_many(
        to: Iterable[PID | str], request: Request[A], timeout: float | None = 5.0
    ) -> tuple[dict[PID | str, A], dict[PID | str, Exception]]: ...
    @overload
    async def call_many(
        to: Iterable[PID | str], request: object, timeout: float | None = 5.0
    ) -> tuple[dict[PID | str, Any], dict[PID | str, Exception]]: ...


async def call_many(
    to: Iterable[PID | str], request: Any, timeout: float | None = USUAL
) -> tuple[dict[PID | str, Any], dict[PID | str, Exception]]:
    """Call several servers at once with one `request`; return their answers, and who failed.

    Both are dicts by what was given in `to`, PIDs or names, each of which is called once; in the
    second are the errors that `call` would have raised. All have the same `timeout`, in seconds.

    Raises `TypeError` if `to` is not of PIDs and names, and as `call` does; then nobody is called.

    >>> import anyio
    >>> anyio.run(call_many, ["nobody"], "stats")
    ({}, {'nobody': NoProcess("no living process behind 'nobody'")})
    """
    await give_way()
    seconds(timeout)
    answers: dict[PID | str, Any] = {}
    failures: dict[PID | str, Exception] = {}
    pending: dict[PID | str, PendingCall[Any]] = {}
    try:
        for one in _addresses(to):
            try:
                pending[one] = start_call(one, request, timeout)
            except NoProcess as error:
                failures[one] = error
        for one, call in pending.items():
            try:
                answers[one] = await call
            except Exception as error:
                failures[one] = error
    finally:
        for call in pending.values():
            call.cancel()
    return answers, failures


def _addresses(to: Iterable[PID | str]) -> list[PID | str]:
    """Return each of `to` once, if all of them are PIDs and names."""
    if isinstance(to, (str, PID)) or not isinstance(to, Iterable):
        raise unexpected("to", "an iterable of PIDs and names", to)
    addresses = list(to)
    for one in addresses:
        find_pid(one)
    return list(dict.fromkeys(addresses))
