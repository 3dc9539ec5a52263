"""The events of a state machine: which comes next, which wait, and what becomes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from time import monotonic
from typing import Any, Protocol, final

from anyio.lowlevel import checkpoint

from fauxtp._actors.actor import started
from fauxtp._actors.lifecycle import ROUNDS
from fauxtp._actors.serving import serve
from fauxtp._actors.timeouts import Elapsed, Timeouts
from fauxtp._actors.transition import (
    POSTPONE,
    EventTimeout,
    NamedTimeout,
    NextEvent,
    Reply,
    StateTimeout,
    taken_apart,
)
from fauxtp._base.carried import bare
from fauxtp._base.carrying import instead
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.redaction import described
from fauxtp._core.calls import NO_REPLY, Call, Cast, reply
from fauxtp._core.carried_messages import kept
from fauxtp._core.continuing import Continue
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.process import Process
from fauxtp._core.protocols import Startable

__all__ = ["Machine"]

_OWN = (StateTimeout, EventTimeout, NamedTimeout, NextEvent)  # events of the machine's own


class Owner(Startable, Protocol):
    """What the user's class of a state machine has made."""

    async def handle_event(self, event: Any, state: Any, data: Any, /) -> Any: ...
    async def handle_enter(self, old: Any, state: Any, data: Any, /) -> Any: ...
    def _fauxtp_expect(self, state: Any) -> None: ...


@final
class Machine:
    """The `Behaviour` (`fauxtp._core.protocols`) of a state machine: its class has made `owner`.

    The process's state is the pair of the machine's state and its data.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._events: deque[Any] = deque()  # that come before any message
        self._postponed: list[Any] = []
        self._limit = 16  # of those that are postponed, before it is looked who still waits
        self._timeouts = Timeouts()

    @property
    def trap_exit(self) -> bool:
        return self._owner.trap_exit

    # As any server

    async def init(self) -> Any:
        state, data, actions = self._taken_apart(await self._owner.init(), "init")
        self._refuse(actions, (POSTPONE,), "init")
        self._owner._fauxtp_expect(state)
        return (state, data), Continue(actions)

    async def run(self, state: Any, /) -> Any:
        raise NotImplementedError("a state machine serves")

    async def terminate(self, reason: ExitReason, state: Any, /) -> None:
        try:
            await self._owner.terminate(reason, state)
        finally:
            self._give_up_events()

    def format_state(self, state: Any, /) -> Any:
        return self._owner.format_state(state)

    async def handle_continue(self, actions: Any, _: Any, /) -> Any:
        """Begin, as `init` has said: no message has come yet."""
        process = self._process
        begun = process.handling
        state, _ = _pair(process)
        self._begin(actions, None)
        await self._enter(None, state)
        await self._go_on()
        process.handling = begun
        return process.state

    async def handle_call(self, _: Any, from_: Call, __: Any, /) -> Any:
        return await self._handle(from_), self._process.state

    async def handle_cast(self, request: Any, _: Any, /) -> Any:
        await self._handle(Cast(request))
        return self._process.state

    async def handle_info(self, message: Any, pair: Any, /) -> Any:
        event = self._timeouts.has_come(message) if type(message) is Elapsed else message
        if event is not None:
            await self._handle(event)
        return self._process.state

    def _fauxtp_work(self, process: Process) -> Coroutine[Any, Any, None]:
        return serve(process)

    _fauxtp_can_be_stepped = True
    _fauxtp_may_wait = True

    _fauxtp_leave = None

    @property
    def _process(self) -> Process:
        return started(self._owner)

    # Events

    async def _handle(self, event: Any) -> Any:
        """Handle an event, and all that come of it; return the answer to it, if that is a call.

        An answer is held back only if there is nothing else to do before it is given.
        """
        process = self._process
        message = process.handling
        answer = await self._handle_one(event)
        if self._events or self._timeouts.is_any_due:
            answer = self._answered(process, event, answer)
            await self._go_on()
        process.handling = message  # whatever was handled since
        return answer

    async def _go_on(self) -> None:
        """Handle the events that come before any message."""
        process, left = self._process, ROUNDS
        while True:
            event = self._events.popleft() if self._events else self._timeouts.next_due()
            if event is None:
                return
            if _is_given_up(event):
                continue  # nobody waits for it any more
            left = left - 1 or ROUNDS
            if left == ROUNDS or process.exit_request is not None:
                self._events.appendleft(event)
                await checkpoint()  # as a server does between messages
                self._events.popleft()
            with instead(event):
                event = bare(event)
                process.handling, process.handled_since = event, monotonic()
                self._answered(process, event, await self._handle_one(event))

    def _answered(self, process: Process, event: Any, answer: Any) -> Any:
        """Give the answer that was held back, or note that it comes later."""
        if type(event) is Call:
            if answer is NO_REPLY:
                process.defer(event)
            else:
                reply(event, answer)
        return NO_REPLY

    async def _handle_one(self, event: Any) -> Any:
        """Handle one event; return the answer to it, if that is all that is to be done now."""
        process, timeouts = self._process, self._timeouts
        before, data = _pair(process)
        timeouts.event_has_come()
        result = await self._owner.handle_event(event, before, data)
        after, data, actions = self._taken_apart(result, "handle_event")
        changes = after is not before and after != before
        if changes:
            self._owner._fauxtp_expect(after)
        process.state = after, data
        if POSTPONE in actions:
            self._postpone(event)
        if changes:
            timeouts.state_has_changed()
            self._events.extendleft(reversed(self._postponed))
            self._postponed.clear()
        answer = self._begin(actions, event)
        if changes:
            answer = self._answered(process, event, answer)
            await self._enter(before, after)
        return answer

    def _taken_apart(self, result: Any, handler: str) -> tuple[Any, Any, list[Any]]:
        return taken_apart(result, f"{type(self._owner).__name__}.{handler}")

    def _refuse(self, actions: list[Any], refused: tuple[Any, ...], handler: str) -> None:
        """Raise `TypeError` if one of `actions`, or its kind, is `refused`."""
        for action in actions:
            if action in refused or type(action) in refused:
                name = f"{type(self._owner).__name__}.{handler}"
                raise TypeError(
                    f"expected {name} to return other actions, got {described(action)}"
                )

    def _begin(self, actions: list[Any], event: Any) -> Any:
        """Do what `actions` say; return the answer to `event`, if there is one, to be given."""
        answer: Any = NO_REPLY
        inserted = []
        for action in actions:
            if type(action) is NextEvent:
                inserted.append(action)
            elif type(action) is not Reply:
                if action is not POSTPONE:
                    self._timeouts.set(action, self._process.pid)
            elif action.to is event and answer is NO_REPLY and not event.settled:
                answer = action.value
            else:
                reply(action.to, action.value)
        self._events.extendleft([kept(one) for one in reversed(inserted)])
        return answer

    async def _enter(self, old: Any, state: Any) -> None:
        """Let the machine do what it does whenever it enters `state`."""
        process = self._process
        _, data = _pair(process)
        result = await self._owner.handle_enter(old, state, data)
        after, data, actions = self._taken_apart(result, "handle_enter")
        if after is not state and after != state:
            name = f"{type(self._owner).__name__}.handle_enter"
            raise TypeError(
                f"expected {name} to stay in {described(state)}, got {described(after)}"
            )
        self._refuse(actions, (POSTPONE, NextEvent), "handle_enter")
        process.state = state, data
        self._begin(actions, None)

    def _postpone(self, event: Any) -> None:
        if len(self._postponed) >= self._limit:
            self._postponed = [one for one in self._postponed if not _is_given_up(one)]
            self._limit = max(16, 2 * len(self._postponed))  # so that adding stays cheap
        self._postponed.append(kept(event))

    def _give_up_events(self) -> None:
        """Count the messages that the machine has not handled, as it ends; its calls fail."""
        for event in (*self._events, *self._postponed):
            if type(bare(event)) is not Call and type(bare(event)) not in _OWN:
                dead_letters.add(self._process.pid, event, "exited")
        self._events.clear()
        self._postponed.clear()


def _pair(process: Process) -> tuple[Any, Any]:
    """Return the state and the data of a machine, which somebody may have replaced."""
    pair = process.state
    if type(pair) is not tuple or len(pair) != 2:
        raise TypeError(
            f"expected the state of a machine to be (state, data), got {described(pair)}"
        )
    return pair


def _is_given_up(event: Any) -> bool:
    call = bare(event)
    return type(call) is Call and call.settled
