"""Why a process ended."""

from __future__ import annotations

from typing import Any, Self

from fauxtp._base.arguments import expect_text
from fauxtp._base.texts import shown

__all__ = ["AT_REST", "CANCELLED", "LOOP_ENDED", "ExitReason"]


class ExitReason(str):
    """Why a process ended: `text`, and what happened.

    `exception` is the error that ended it, or None. `abnormal` tells whether it ended against
    its own will: by an error, by another process, or by being cancelled. It is what happened
    that counts, never the words of the text.

    >>> reason = ExitReason.error(ValueError("x"))
    >>> reason, reason.abnormal, reason.exception
    ("error: ValueError('x')", True, ValueError('x'))
    >>> ExitReason("error, or so it says").abnormal
    False
    """

    __slots__ = ("_fauxtp_told", "abnormal", "exception")
    exception: BaseException | None
    abnormal: bool
    _fauxtp_told: bool  # whether the crash was logged, with the traceback of its error

    def __new__(
        cls, text: str, *, exception: BaseException | None = None, abnormal: bool = False
    ) -> Self:
        self = super().__new__(cls, expect_text("text", text))
        self.exception = exception
        self.abnormal = abnormal or exception is not None
        self._fauxtp_told = False
        return self

    @classmethod
    def error(cls, exception: BaseException) -> ExitReason:
        """Return the reason of a process that `exception` ended. It raises nothing."""
        return cls(f"error: {shown(exception)}", exception=exception)

    def __reduce__(self) -> Any:
        from fauxtp._base.travelling import pack  # noqa: PLC0415  (seldom needed)

        return _exit_reason, (type(self), str(self), pack(self.exception), self.abnormal)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _exit_reason(
    kind: type[ExitReason], text: str, exception: BaseException | None, abnormal: bool
) -> ExitReason:
    return kind(text, exception=exception, abnormal=abnormal)


AT_REST = ExitReason("normal")  # of who is asked to end as nobody wants anything of it
CANCELLED = ExitReason("cancelled", abnormal=True)
LOOP_ENDED = ExitReason("event loop ended", abnormal=True)
