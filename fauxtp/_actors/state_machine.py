"""StateMachine: a process that is in one of several states, and handles events as that says."""

from __future__ import annotations

import typing
from enum import Enum
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic

from fauxtp._actors.actor import Actor
from fauxtp._actors.classes import ITS_BASE, lacking
from fauxtp._actors.state_machine_events import Machine
from fauxtp._actors.transition import Transition, taken_apart
from fauxtp._base.arguments import unexpected
from fauxtp._base.redaction import described

__all__ = ["StateMachine"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from fauxtp._core.protocols import Behaviour

    S = TypeVar("S", default=Any)
    D = TypeVar("D", default=Any)
else:
    S, D = typing.TypeVar("S"), typing.TypeVar("D")


_AN_EVENT: Final = "a machine is told of {} as an event, in handle_event or its in_… methods"
_BY_TIMEOUT: Final = "a machine has EventTimeout and StateTimeout for that, and ends by Stop"
_KEPT: Final = {
    "run": ITS_BASE,
    "handle_call": _AN_EVENT.format("a Call"),
    "handle_cast": _AN_EVENT.format("a Cast"),
    "handle_info": _AN_EVENT.format("any other message"),
    "handle_continue": "a machine has NextEvent for that",
    "handle_timeout": _BY_TIMEOUT,
    "idle_timeout": _BY_TIMEOUT,
    "handle_task_end": "a machine has no spawn_task: Task.spawn_and_notify tells it as an event",
}


class StateMachine(Actor, Generic[S, D]):
    """A server that is in one of several states, and has data beside that.

    It is called and cast to as any server. Each event goes to `handle_event`, or, if that is not
    defined, to a method of the state: `in_open` for the state `"open"` or `State.OPEN`. An event
    is what came: a `Call`, a `Cast`, any other message as it was sent; or what the machine has
    given itself: a timeout, a `NextEvent`.

    A handler returns `(state, data)`, and behind them any actions: `Reply(call, value)`;
    `POSTPONE`, so that the event comes again when the state has changed; `StateTimeout`,
    `EventTimeout` and `NamedTimeout`, which come as events when their time is over; `NextEvent`,
    which comes before all others. It may also return or raise `Stop`, and `reply` at any time.

    A state that the class has nothing for is an error of who leads there. When it enters a state,
    the first one, too, `handle_enter` or a method of the state is called
    before any event: `enter_open`, if there is one.

    After an event, answers are given first. If the state has changed, its timeout ends, the new
    one is entered, and what was postponed comes again, the oldest first. Before that comes what is
    inserted, and behind it the timeouts of 0 seconds; then the next message. Any event ends the
    `EventTimeout`.

    >>> import anyio
    >>> from fauxtp import Call, Cast, Reply, StateTimeout, call, cast, exit
    >>> class Door(StateMachine):
    ...     async def init(self):
    ...         return "closed", 0
    ...     async def in_closed(self, event, opened):
    ...         match event:
    ...             case Cast("push"):
    ...                 return "open", opened + 1, StateTimeout(10)
    ...             case Call("how often?"):
    ...                 return "closed", opened, Reply(event, opened)
    ...     async def in_open(self, event, opened):
    ...         match event:
    ...             case StateTimeout():
    ...                 return "closed", opened
    ...             case Call():
    ...                 return "open", opened, POSTPONE, StateTimeout(0)
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         door = await Door.start(task_group=task_group)
    ...         await cast(door, "push")
    ...         print(await call(door, "how often?"))
    ...         exit(door)
    >>> from fauxtp import POSTPONE
    >>> anyio.run(main)
    1

    What servers have beside that is refused in its class, as `handle_call`: it says what to write.
    For `terminate` and `get_state`, what other servers have as their state is `(state, data)`.
    """

    _fauxtp_keeps: ClassVar = _KEPT
    _fauxtp_serves = True

    # To be defined by subclasses

    async def init(self) -> Transition[S, D]:
        """Return the first state, the data and actions, as a handler does, but for `POSTPONE`.

        What it raises ends the machine, and is raised by whoever starts it.
        """
        raise lacking(type(self), "init", ", which says its first state")

    async def handle_event(self, event: Any, state: S, data: D, /) -> Transition[S, D]:
        """Handle `event` in `state`: return `(state, data, *actions)`, of which `data` may be new.

        What it raises ends the machine. Where this is not defined, it calls the method of the
        state: `in_open(event, data)`.
        """
        name = _name_of(state)
        if not hasattr(self, f"in_{name}"):
            raise _unknown(self, state)
        result: Transition[S, D] = await _by_method(self, f"in_{name}", event, data)
        return result

    async def handle_enter(self, old: S | None, state: S, data: D, /) -> Transition[S, D]:
        """Begin to be in `state`, and no more in `old`, which at first is None.

        Return as a handler does, but the same state, with the `data`; and neither
        `POSTPONE` nor `NextEvent`. Where this is not defined, it calls the method of the
        state: `enter_open(old, data)`, if there is one. What it raises ends the machine.
        """
        name = _name_of(state)
        if not name or not hasattr(self, f"enter_{name}"):
            return state, data
        result: Transition[S, D] = await _by_method(self, f"enter_{name}", old, data)
        return result

    # What others ask of any actor

    async def run(self, state: Any, /) -> Any:
        raise NotImplementedError("a state machine serves")

    def _fauxtp_expect(self, state: Any) -> None:
        """Raise `TypeError` if nothing of the class is for `state`."""
        kind, name = type(self), _name_of(state)
        if (
            kind.handle_event is StateMachine.handle_event
            and kind.handle_enter is StateMachine.handle_enter
            and not hasattr(self, f"in_{name}")
            and not hasattr(self, f"enter_{name}")  # which may end it
        ):
            raise _unknown(self, state)

    def _fauxtp_behaviour(self) -> Behaviour:
        return Machine(self)


def _name_of(state: Any) -> str:
    """Return what methods of `state` are named by; nothing if it is neither a str nor an Enum."""
    if isinstance(state, Enum):
        return state.name.lower()
    return state if isinstance(state, str) else ""


def _unknown(machine: StateMachine[Any, Any], state: Any) -> TypeError:
    kind, name = type(machine).__name__, _name_of(state)
    expected = f"a method in_{name}" if name else "a handle_event"
    return TypeError(f"expected {kind} to have {expected} for the state {described(state)}")


async def _by_method(machine: StateMachine[Any, Any], name: str, *arguments: Any) -> Any:
    """Return what the method `name` returns; raise what says that it is no transition."""
    called, method = f"{type(machine).__name__}.{name}", getattr(machine, name)
    if not callable(method):
        raise unexpected(called, "a method", method)
    begun = method(*arguments)
    if not isawaitable(begun):
        raise TypeError(f"expected {called} to be async, and it has returned {described(begun)}")
    result = await begun
    taken_apart(result, called)
    return result
