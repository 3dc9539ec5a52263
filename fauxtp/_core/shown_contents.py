"""Contents: how much of messages and states those may see who read logs, or look in."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fauxtp._base.coroutines import has_effect
from fauxtp._base.redaction import SECRETS, described

if TYPE_CHECKING:
    from fauxtp._core.process import Process

__all__ = ["LIMIT", "contents", "message_text", "state_text"]

LIMIT = 2_000  # characters of a message, or of a state


@final
class Contents:
    """What `fauxtp.observe.reports.configure` says."""

    __slots__ = ("are_shown", "limit", "secrets")

    def __init__(self) -> None:
        self.are_shown = False  # in reports of crashes
        self.limit = LIMIT
        self.secrets: tuple[str, ...] = SECRETS


contents: Contents = Contents()


def message_text(message: object) -> str:
    """Return what is in a message, but for secrets."""
    return described(message, contents.limit, contents.secrets)


def state_text(process: Process, limit: int, *, by_default: bool) -> str | None:
    """Return what is in the state of a process, but for secrets; None if that is not to be shown.

    Its class says what may be shown, by `format_state`. If it says nothing, all may be that
    somebody may see who sees contents at all: `by_default`.
    """
    says = has_effect(process.kind.format_state)
    if not (says or by_default):
        return None
    state = process.state
    if says:
        try:
            state = process.actor.format_state(state)
        except KeyboardInterrupt:  # of whoever is at the keyboard
            raise
        except BaseException as error:  # a look at a process ends nobody
            return f"format_state failed: {described(error, limit, contents.secrets)}"
        if state is None:
            return None
    return described(state, limit, contents.secrets)
