"""Call and Cast: what a request looks like on its way, and how its answer comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from fauxtp._base.arguments import unexpected
from fauxtp._base.carried import Values
from fauxtp._base.errors import OUT_OF_MEMORY, FauxtpError
from fauxtp._base.events import CARRYING, HANDLED, carried_now, wanted
from fauxtp._base.implementation import implementation
from fauxtp._base.stack import TO_ANSWER, insist_on_room
from fauxtp._core.dead_letters import dead_letters
from fauxtp.registry import PID

__all__ = [
    "DECLINED",
    "GAVE_WAY",
    "NO_REPLY",
    "PENDING",
    "Call",
    "Cast",
    "OwedCalls",
    "Raise",
    "refused",
    "reply",
]

_GIVEN_UP = (None, None)
_OF_SENDER: Final = CARRYING | HANDLED


@final
class Cast:
    """A request without an answer, as it lies in a mailbox. `request` is what was cast.

    >>> Cast("reset")
    Cast('reset')
    """

    __slots__ = ("request", "sent_at")
    __match_args__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request: Any = request
        self.sent_at: float = monotonic() if wanted(HANDLED) else 0.0  # 0 is not known

    def __repr__(self) -> str:
        return f"Cast({self.request!r})"

    def __reduce__(self) -> tuple[type[Cast], tuple[Any]]:
        return Cast, (self.request,)


@final
class Call:
    """A request that somebody waits for, as it lies in a mailbox and as `from_`.

    Its target takes it up, unless the caller has given up before; and it gets one outcome:
    an answer, an error, or that the caller gave up. All of that may happen in any thread,
    and the first wins.

    `request` is what was asked, `target` the PID that it is for, `caller` the PID that waits,
    or None if that is no process.

    >>> from fauxtp import PID
    >>> match Call("push", PID(), None):
    ...     case Call(request):
    ...         print(request)
    push
    """

    __slots__ = ("_cell", "caller", "deferred", "request", "sent_at", "target", "wake")
    __match_args__ = ("request",)

    def __init__(self, request: Any, target: PID, caller: PID | None) -> None:
        self.request: Any = request
        self.target: PID = target
        self.caller: PID | None = caller
        self.sent_at: float = 0.0
        self.deferred: bool = False  # the target has promised an answer, and does other things
        self.wake: Callable[[], object] | None = None  # the caller, if it waits
        self._cell: dict[str, Any] = {}  # whoever sets a key first has decided
        if wanted(_OF_SENDER):
            self.note_sender()

    def note_sender(self) -> None:
        """Note when it is sent, and what it carries: where this is called."""
        if wanted(HANDLED):
            self.sent_at = monotonic()
        if wanted(CARRYING):
            self._cell["carried"] = carried_now()

    @property
    def carried(self) -> Values:
        """The values that go with it, until there is an outcome."""
        values: Values = () if self.settled else self._cell.get("carried", ())
        return values

    def __repr__(self) -> str:
        return f"Call({self.request!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle or copy a Call: only the one that came can be answered")

    def take(self) -> bool:
        """Take the call up; return False if the caller has given up before."""
        return self._cell.setdefault("taken", True) is True

    def pass_by(self) -> None:
        """Let its target never take it up, although its caller waits: it is for the runtime."""
        self._cell.setdefault("taken", False)

    @property
    def taken(self) -> bool:
        """Whether its target has taken it up."""
        return self._cell.get("taken", False) is True

    def give_up(self) -> bool:
        """Stop waiting; return False if there is an outcome already."""
        if self._cell.setdefault("outcome", _GIVEN_UP) is not _GIVEN_UP:
            return False
        self._cell.pop("carried", None)
        self._cell.setdefault("taken", False)
        return True

    def answer(self, value: Any, error: BaseException | None = None) -> bool:
        """Give the caller `value`, or `error`; return False if it no longer waits."""
        insist_on_room(TO_ANSWER)  # or there would be an outcome of which nobody hears
        if not self.has_answered(value, error):
            return False
        if self.wake is not None:
            try:
                self.wake()
            except OUT_OF_MEMORY:
                self.wake()
        return True

    def has_answered(self, value: Any, error: BaseException | None = None) -> bool:
        """Do as `answer` does, for a caller that does not wait yet."""
        outcome = (value, error)
        if self._cell.setdefault("outcome", outcome) is not outcome:
            return False
        self._cell.pop("carried", None)
        return True

    def fail(self, error: BaseException) -> bool:
        """Raise `error` at the caller; return False if it no longer waits."""
        return self.answer(None, error)

    @property
    def settled(self) -> bool:
        """Whether there is an outcome."""
        return "outcome" in self._cell

    def result(self) -> Any:
        """Return the answer, or raise the error; there must be one."""
        value, error = self._cell["outcome"]
        if error is not None:
            raise error
        return value


@final
class _NoReply:
    """What stands in place of an answer that will come by `reply`.

    >>> import anyio
    >>> from fauxtp import GenServer, call, exit
    >>> class Slow(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         self.start_soon_child(self.answer, from_)
    ...         return NO_REPLY, state
    ...     async def answer(self, from_):
    ...         reply(from_, "at last")
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         slow = await Slow.start(task_group=task_group)
    ...         print(await call(slow, "how long?"))
    ...         exit(slow)
    >>> anyio.run(main)
    at last
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"

    def __reduce__(self) -> str:
        return "NO_REPLY"


NO_REPLY: Final = _NoReply()


@final
class Raise:
    """In place of an answer: the caller gets `error`, and the server goes on.

    It is what a request is refused with that is not as it should be: `return Raise(error), state`
    in `handle_call`, `reply(from_, Raise(error))`, or `Stop(reply=Raise(error))`. It is
    given, never raised: `raise Raise(error)` is a `TypeError` of Python's. To raise in the handler
    itself is a crash, which ends the server.

    Raises `TypeError` if `error` is no `Exception`.

    >>> Raise(KeyError("Anna"))
    Raise(KeyError('Anna'))
    """

    __slots__ = ("_before", "error")
    __match_args__ = ("error",)

    def __init__(self, error: Exception) -> None:
        if not isinstance(error, Exception):
            raise unexpected("error", "an instance of Exception", error)
        self.error: Exception = error
        self._before = error.__traceback__, error.__context__

    def refuse(self, call: Call) -> bool:
        """Give the caller the error, with nothing of those who were given the same before."""
        if isinstance(self.error, FauxtpError):
            self.error._fauxtp_is_answer = True
        traceback, self.error.__context__ = self._before
        return call.fail(self.error.with_traceback(traceback))

    def __reduce__(self) -> tuple[type[Raise], tuple[Exception]]:
        return Raise, (self.error,)

    def __repr__(self) -> str:
        return f"Raise({self.error!r})"


def refused(error: BaseException, what: str) -> Raise:
    """Return what the caller gets if `what` it asked for has failed by `error`.

    It must not take a cancellation for one of its own.

    >>> refused(KeyError("Anna"), "the search")
    Raise(KeyError('Anna'))
    """
    if isinstance(error, Exception):
        return Raise(error)
    told = RuntimeError(f"{what} was cancelled")
    told.__cause__ = error
    return Raise(told)


PENDING: Final = object()
"""In place of an answer: the call is being handled; or, if it has its answer, it is for its
caller to let others have a turn."""

GAVE_WAY: Final = object()
"""In place of an answer: the handler lets others have a turn, and so should the caller."""

DECLINED: Final = object()
"""In place of an answer: the call has to go through the mailbox."""


@final
class OwedCalls:
    """Calls that were taken up and are not answered yet."""

    __slots__ = ("_calls", "_limit")

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._limit = 16

    def add(self, call: Call) -> None:
        if len(self._calls) >= self._limit:
            self._calls = {known for known in self._calls if not known.settled}
            self._limit = max(16, 2 * len(self._calls))  # so that adding stays cheap
        self._calls.add(call)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))


def reply(from_: Call, value: Any) -> bool:
    """Answer a call, from anywhere; return False if nobody waits for the answer any more.

    `from_` is what `handle_call` got, or a `Call` out of a mailbox. An answer that comes
    too late is counted in `dead_letters`.

    With `Raise(error)` for `value`, the caller gets that error.

    Raises `TypeError` if `from_` is no call.

    >>> import anyio
    >>> from fauxtp import GenServer, cast, exit, start_call
    >>> class Oracle(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         return NO_REPLY, from_
    ...     async def handle_cast(self, request, asked):
    ...         print(reply(asked, request), reply(asked, request))
    ...         return asked
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         oracle = await Oracle.start(task_group=task_group)
    ...         pending = start_call(oracle, "the question")
    ...         await cast(oracle, 42)
    ...         print(await pending)
    ...         exit(oracle)
    >>> anyio.run(main)
    True False
    42
    """
    if not isinstance(from_, Call):
        raise unexpected("from_", "a Call", from_)
    if value.refuse(from_) if type(value) is Raise else from_.answer(value):
        return True
    dead_letters.add(from_.caller, value, "late reply")
    return False


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import Call, Cast
