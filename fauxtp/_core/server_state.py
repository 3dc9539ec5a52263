"""The states of a server, and how one follows another.

A server's task sleeps while nothing lies in its mailbox. Meanwhile others may run its handlers
as that task: they step it. Three fields of `Process` and one of its mailbox tell what is going
on: `idle`, `handling`, `handed_over`, and whether its task waits for messages. `ServerState` names
what they say together, `NEXT` what may come after each. Whoever changes one of the fields
changes the state in one line, so that whatever comes in between two lines finds one of these.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from fauxtp._core.crowd import Crowd

if TYPE_CHECKING:
    from fauxtp._core.process import Process

__all__ = ["NEXT", "ServerState", "state_of"]


class ServerState(Enum):
    """What the task of a server does, and what others do in its name."""

    BETWEEN = "its task is between two messages"
    HANDLES = "its task runs a handler, or waits within it"
    ASLEEP = "its task waits for messages; nobody steps it, nor may begin to"
    IDLE = "its task waits for messages, and others may step it"
    STEPPED = "its task waits, and somebody else runs a handler in its place"
    HANDED_OVER = "a handler that somebody else began waits; the task sleeps, or goes on with it"


_S = ServerState

NEXT: Final[dict[ServerState, frozenset[ServerState]]] = {
    _S.BETWEEN: frozenset({_S.HANDLES, _S.ASLEEP}),
    _S.HANDLES: frozenset({_S.BETWEEN}),
    _S.ASLEEP: frozenset({_S.IDLE, _S.STEPPED, _S.BETWEEN}),
    _S.IDLE: frozenset({_S.ASLEEP}),
    _S.STEPPED: frozenset({_S.ASLEEP, _S.HANDED_OVER}),
    _S.HANDED_OVER: frozenset({_S.STEPPED, _S.HANDLES}),
}
"""What may come after each state."""


def state_of(process: Process) -> ServerState:
    """Return in which state a server is."""
    if process.handed_over is not None:
        return ServerState.HANDED_OVER
    if not _sleeps(process):
        return ServerState.BETWEEN if process.handling is None else ServerState.HANDLES
    if process.handling is not None:
        return ServerState.STEPPED
    return ServerState.IDLE if process.idle else ServerState.ASLEEP


def _sleeps(process: Process) -> bool:
    """Return whether its task waits for messages itself, and not a handler that receives some."""
    for waiter in process.mailbox.waiting:
        for each in waiter if type(waiter) is Crowd else (waiter,):
            if getattr(each, "server", None) is process:
                return True
    return False
