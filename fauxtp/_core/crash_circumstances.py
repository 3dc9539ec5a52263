"""What the report of a crash tells, beside what all reports do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from fauxtp._base.carried import bare
from fauxtp._base.texts import label, type_name
from fauxtp._core.calls import Call
from fauxtp._core.process import Process, find_process
from fauxtp._core.shown_contents import contents, message_text, state_text

if TYPE_CHECKING:
    from fauxtp.registry import PID

__all__ = ["circumstances", "shown_contents"]

FIRST: Final = 5  # messages of a mailbox whose labels are told
MOST: Final = 50  # of whatever may be many


def circumstances(process: Process) -> dict[str, Any]:
    """Return what was around a process: who is above it, who waited, what was yet to be done."""
    now = monotonic()
    return {
        "ancestors": list(map(_called, _ancestors(process))),
        "handled": 0 if process.handled is None else process.handled.value,
        "uptime": round(now - process.started_at, 6),
        "handling_for": 0.0 if process.handling is None else round(now - process.handled_since, 6),
        "mailbox": [label(message) for message in islice(_messages(process), FIRST)],
        "callers": list(map(_caller, islice(_calls(process), MOST))),
        "links": [repr(pid) for pid in list(process.links)[:MOST]],
        "monitors": [repr(pid) for pid in list(process.monitors.copy().values())[:MOST]],
        "watchers": len(process.watchers),
    }


def shown_contents(process: Process) -> dict[str, str]:
    """Return what may be shown of the message that is handled, and of the state."""
    told = {}
    if contents.are_shown and process.handling is not None:
        told["message"] = message_text(process.handling)
    state = state_text(process, contents.limit, by_default=contents.are_shown)
    if state is not None:
        told["state"] = state
    return told


def _ancestors(process: Process) -> Iterator[PID]:
    """Yield its supervisor, that one's, and so on."""
    above = process.supervisor
    for _ in range(MOST):
        if above is None:
            return
        yield above
        chief = find_process(above)
        above = None if chief is None else chief.supervisor


def _called(pid: PID) -> str:
    process = find_process(pid)
    return repr(pid) if process is None else f"{type_name(process.kind)} {pid!r}"


def _messages(process: Process) -> Iterator[Any]:
    """Yield what lies in its mailbox, the oldest first, as others put in and take out."""
    mailbox = process.mailbox
    for messages in (mailbox.kept, mailbox.inbox):
        for number in range(len(messages)):
            try:
                yield bare(messages[number])
            except IndexError:
                break


def _calls(process: Process) -> Iterator[Call]:
    """Yield the calls whose callers wait, for an answer or for their turn."""
    owed = () if process.calls is None else process.calls
    for message in chain([process.handling], owed, islice(_messages(process), 1000)):
        if issubclass(type(message), Call) and not message.settled:
            yield message


def _caller(call: Call) -> str:
    return "no process" if call.caller is None else _called(call.caller)
