"""Control: what is asked of the runtime of a server, and not of its handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from fauxtp._base.exit_reason import ExitReason

__all__ = ["Control"]


@final
class Control:
    """The request of a call that no handler gets.

    It is to `"get"` or to `"replace"` the state, to `"suspend"` or to `"resume"` the server, or to
    `"end"` it by `reason`, which nobody waits for.

    Its call is one that nobody takes up, and so costs those that are taken up nothing.
    """

    __slots__ = ("change", "reason", "what")

    def __init__(
        self,
        what: str,
        change: Callable[[Any], Any] | None = None,
        reason: ExitReason | None = None,
    ) -> None:
        self.what = what
        self.change = change
        self.reason = reason

    def __repr__(self) -> str:
        return f"Control({self.what!r})"
