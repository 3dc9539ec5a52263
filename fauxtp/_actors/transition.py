"""What a state machine does after an event: its next state and data, and actions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar, final

from fauxtp._actors.serving import Stop
from fauxtp._base.arguments import expect_seconds, unexpected
from fauxtp._base.redaction import described
from fauxtp._core.calls import Call, Raise
from fauxtp._core.continuing import Continue

__all__ = [
    "POSTPONE",
    "Action",
    "EventTimeout",
    "NamedTimeout",
    "NextEvent",
    "Reply",
    "StateTimeout",
    "Timeout",
    "Transition",
    "taken_apart",
]


@final
@dataclass(frozen=True, slots=True, match_args=False)
class StateTimeout:
    """An event that comes in so many `seconds`, unless the state changes before.

    With None for `seconds`, one that was set does not come. The event is this object itself:
    `case StateTimeout("connect"):` matches it by its `content`, which may be anything.

    Raises `TypeError` and `ValueError` as `send_after`.

    >>> match StateTimeout(1.5, "connect"):
    ...     case StateTimeout("connect"):
    ...         print("it took too long")
    it took too long
    """

    seconds: float | None
    content: Any = None
    __match_args__ = ("content",)

    def __post_init__(self) -> None:
        _expect_seconds_or_none(self.seconds)


@final
@dataclass(frozen=True, slots=True, match_args=False)
class EventTimeout:
    """An event that comes in so many `seconds`, unless another comes before.

    Its `content`, and what it raises, are as those of `StateTimeout`.

    >>> EventTimeout(0.5).seconds
    0.5
    """

    seconds: float | None
    content: Any = None
    __match_args__ = ("content",)

    def __post_init__(self) -> None:
        _expect_seconds_or_none(self.seconds)


@final
@dataclass(frozen=True, slots=True, match_args=False)
class NamedTimeout:
    """An event that comes in so many `seconds`, unless one of that name is set or ended before.

    It is matched by its `name`, and its `content`: `case NamedTimeout("heartbeat"):`. Else it is
    as `StateTimeout`, whatever state it was set in. A `name` without a hash raises `TypeError`.

    >>> match NamedTimeout("heartbeat", 5):
    ...     case NamedTimeout("heartbeat"):
    ...         print("time for one more")
    time for one more
    """

    name: Hashable
    seconds: float | None
    content: Any = None
    __match_args__ = ("name", "content")

    def __post_init__(self) -> None:
        try:
            hash(self.name)
        except TypeError:
            raise unexpected("name", "hashable", self.name) from None
        _expect_seconds_or_none(self.seconds)


@final
@dataclass(frozen=True, slots=True)
class NextEvent:
    """An event that the machine gives itself: it comes before any that waits, as this object.

    Of several, the first comes first. Its `content` may be anything.

    >>> match NextEvent("flush"):
    ...     case NextEvent(what):
    ...         print(what)
    flush
    """

    content: Any = None


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call, as `reply` gives it: to that which has come now, or to an older one.

    `to` is the call, `value` the answer, or `Raise(error)`. Raises `TypeError` if `to` is no call.

    >>> from fauxtp import PID
    >>> Reply(Call("push", PID(), None), "come in").value
    'come in'
    """

    to: Call
    value: Any

    def __post_init__(self) -> None:
        if not isinstance(self.to, Call):
            raise unexpected("to", "a Call", self.to)


@final
class _Postpone:
    """What lets an event wait until the state changes.

    >>> import anyio
    >>> from fauxtp import StateMachine, exit, send, start_call
    >>> class Gate(StateMachine):
    ...     async def init(self):
    ...         return "closed", None
    ...     async def handle_event(self, event, state, data):
    ...         match state, event:
    ...             case "closed", "open":
    ...                 return "open", data
    ...             case "open", Call():
    ...                 return "open", data, Reply(event, "come in")
    ...         return state, data, POSTPONE
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         gate = await Gate.start(task_group=task_group)
    ...         knock = start_call(gate, "knock")
    ...         await send(gate, "open")
    ...         print(await knock)
    ...         exit(gate)
    >>> anyio.run(main)
    come in
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "POSTPONE"

    def __reduce__(self) -> str:
        return "POSTPONE"


POSTPONE: Final = _Postpone()
"""The event comes again when the state has changed, before those that came later."""

Timeout: TypeAlias = StateTimeout | EventTimeout | NamedTimeout
Action: TypeAlias = Timeout | NextEvent | Reply | _Postpone

S = TypeVar("S")
D = TypeVar("D")
Transition: TypeAlias = tuple[S, D, *tuple[Action, ...]]
"""What handlers return: the next state, the data, and any number of actions."""

_ACTIONS = (StateTimeout, EventTimeout, NamedTimeout, NextEvent, Reply, _Postpone)


def taken_apart(result: Any, handler: str) -> tuple[Any, Any, list[Any]]:
    """Return the state, the data and the actions in what `handler` has returned.

    Raises what it has returned if that is a `Stop`, and `TypeError` if it is no transition.
    """
    if type(result) is Stop:
        raise result
    if type(result) is Raise or (type(result) is tuple and result and type(result[0]) is Raise):
        what = f"expected {handler} to return (state, data, *actions)"
        raise TypeError(f"{what}, got a Raise: an action does so, Reply(event, Raise(error))")
    if type(result) is not tuple or len(result) < 2:
        expected = "(state, data, *actions) or Stop"
        raise TypeError(f"expected {handler} to return {expected}, got {described(result)}")
    state, data, *actions = result
    for action in actions:
        if not isinstance(action, _ACTIONS):
            hint = ": a machine has NextEvent for that" if type(action) is Continue else ""
            raise TypeError(
                f"expected what {handler} returns behind state and data to be actions,"
                f" got {described(action)}{hint}"
            )
    return state, data, actions


def _expect_seconds_or_none(seconds: float | None) -> None:
    if seconds is not None:
        expect_seconds("seconds", seconds)
