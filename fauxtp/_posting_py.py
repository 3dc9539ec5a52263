"""The way of a message into a mailbox: the twin in Python of `fauxtp._posting`."""

from __future__ import annotations

from typing import Any

from fauxtp.addresses import mailbox_of
from fauxtp.dead_letters import dead_letters
from fauxtp.mailbox import Mailbox
from fauxtp.process import find_process
from fauxtp.registry import PID

__all__ = ["post"]


def post(to: PID | str, message: Any, /) -> Mailbox | None:
    """Put `message` into the mailbox of `to`; return one that is bounded or closed instead.

    If there is none, it is a dead letter. Raises `TypeError` if `to` is neither a PID nor
    a name.
    """
    process = find_process(to) if type(to) is PID else None
    mailbox = mailbox_of(to) if process is None else process.mailbox
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif mailbox.max_size or not mailbox.deliver(message):
        return mailbox
    return None
