"""Call and Cast: what a request looks like on its way, and how its answer comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base.installation import implementation
from fauxtp._core.dead_letters import dead_letters

if TYPE_CHECKING or implementation == "python":
    from fauxtp._core._calls_py import Call, Cast
else:
    from fauxtp._core._calls import Call, Cast

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DECLINED", "GAVE_WAY", "NO_REPLY", "PENDING", "Call", "Cast", "OwedCalls", "reply"]


@final
class _NoReply:
    """What stands in place of an answer that will come by `reply`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"

    def __reduce__(self) -> str:
        return "NO_REPLY"


NO_REPLY: Final = _NoReply()

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

    Raises `TypeError` if `from_` is no call.
    """
    if not isinstance(from_, Call):
        raise TypeError(f"expected from_ to be a Call, got {type(from_).__name__}")
    if from_.answer(value):
        return True
    dead_letters.add(from_.caller, value, "late reply")
    return False
