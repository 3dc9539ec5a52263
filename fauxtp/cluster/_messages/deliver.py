"""The last step of what has come from elsewhere: into a mailbox."""

from __future__ import annotations

from typing import Any

from fauxtp._core.process import Process
from fauxtp._core.queue import Queue
from fauxtp._core.wait_for_room import LeftInLine, put_later
from fauxtp.cluster._messages.post import Post

__all__ = ["deliver", "deliver_all"]


def deliver(
    message: Any, process: Process | None, mailbox: Queue, post: Post
) -> LeftInLine | None:
    """Put in what has come from elsewhere; if there is no room, return its place in line."""
    if mailbox.max_size:
        home = post.node.hub.home if process is None else process.home
        return put_later(mailbox, message, home)
    if not mailbox.deliver(message):
        mailbox.refuse(message)
    return None


def deliver_all(messages: list[Any], process: Process | None, mailbox: Queue, post: Post) -> None:
    """Put in what has come in a row, none of which is a call."""
    if len(messages) > 1 and not mailbox.max_size and mailbox.deliver(messages[0]):
        mailbox.inbox.extend(messages[1:])
        mailbox.arrived()
        return
    for message in messages:
        deliver(message, process, mailbox, post)
