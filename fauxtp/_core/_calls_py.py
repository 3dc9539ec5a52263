"""Call and Cast: the twin in Python of `fauxtp._core._calls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

from fauxtp._base.stack import TO_ANSWER, insist_on_room

if TYPE_CHECKING:
    from collections.abc import Callable

    from fauxtp.registry import PID

__all__ = ["Call", "Cast"]

_GIVEN_UP = (None, None)


@final
class Cast:
    """A request without an answer, as it lies in a mailbox.

    >>> Cast("reset")
    Cast('reset')
    """

    __slots__ = ("request",)
    __match_args__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request: Any = request

    def __repr__(self) -> str:
        return f"Cast({self.request!r})"


@final
class Call:
    """A request that somebody waits for, as it lies in a mailbox and as `from_`.

    Its target takes it up, unless the caller has given up before; and it gets one outcome:
    an answer, an error, or that the caller gave up. All of that may happen in any thread,
    and the first wins.
    """

    __slots__ = ("_cell", "caller", "deferred", "request", "target", "wake")
    __match_args__ = ("request",)

    def __init__(self, request: Any, target: PID, caller: PID | None) -> None:
        self.request: Any = request
        self.target: PID = target
        self.caller: PID | None = caller
        self.deferred: bool = False  # the target has promised an answer, and does other things
        self.wake: Callable[[], object] | None = None  # the caller, if it waits
        self._cell: dict[str, Any] = {}  # whoever sets a key first has decided

    def __repr__(self) -> str:
        return f"Call({self.request!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle or copy a Call: only the one that came can be answered")

    def take(self) -> bool:
        """Take the call up; return False if the caller has given up before."""
        return self._cell.setdefault("taken", True) is True

    @property
    def taken(self) -> bool:
        """Whether its target has taken it up."""
        return self._cell.get("taken", False) is True

    def give_up(self) -> bool:
        """Stop waiting; return False if there is an outcome already."""
        if self._cell.setdefault("outcome", _GIVEN_UP) is not _GIVEN_UP:
            return False
        self._cell.setdefault("taken", False)
        return True

    def answer(self, value: Any, error: BaseException | None = None) -> bool:
        """Give the caller `value`, or `error`; return False if it no longer waits."""
        insist_on_room(TO_ANSWER)  # or there would be an outcome of which nobody hears
        if not self.has_answered(value, error):
            return False
        if self.wake is not None:
            self.wake()
        return True

    def has_answered(self, value: Any, error: BaseException | None = None) -> bool:
        """Do as `answer` does, for a caller that does not wait yet."""
        outcome = (value, error)
        return self._cell.setdefault("outcome", outcome) is outcome

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
