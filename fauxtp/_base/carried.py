"""Carried: a message on its way, with the values of context variables that go with it.

A call has a place for these values itself. Any other message is put into one of these when there
are such values, or it is to be known when it was sent, and taken out where it is taken up: nobody
but the runtime ever sees one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final

__all__ = ["MISSING", "Carried", "Values", "bare"]


if TYPE_CHECKING:  # to make a protocol takes longer than all else here

    class Variable(Protocol):
        """What has a value in each context, as a `ContextVar` has."""

        def get(self, default: Any, /) -> Any: ...
        def set(self, value: Any, /) -> Any: ...
        def reset(self, token: Any, /) -> object: ...

else:
    Variable = Any

Values: TypeAlias = tuple[tuple[Variable, Any], ...]
"""Those variables that had a value, and which."""


class _Missing:
    __slots__ = ()


MISSING: Final = _Missing()
"""In place of a value: the variable has none."""


@final
class Carried:
    """A message, and the values that go with it; none are none of the sender's, nor of others.

    `sent_at` is when it was sent, if somebody wanted to be told how long it lies there; else 0.
    """

    __slots__ = ("message", "sent_at", "values")

    def __init__(self, message: Any, values: Values, sent_at: float = 0.0) -> None:
        self.message: Any = message
        self.values: Values = values
        self.sent_at: float = sent_at

    def __repr__(self) -> str:
        return repr(self.message)


def bare(message: Any) -> Any:
    """Return `message` as it was sent, whether or not values go with it."""
    return message.message if type(message) is Carried else message
