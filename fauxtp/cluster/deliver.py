"""The last step of what has come from elsewhere: into a mailbox."""

from __future__ import annotations

from typing import Any

from fauxtp._core.process import Process
from fauxtp._core.queue import Queue
from fauxtp._core.wait_for_room import put_later
from fauxtp.cluster.post import Post

__all__ = ["deliver"]


def deliver(message: Any, process: Process | None, mailbox: Queue, post: Post) -> None:
    """Put in what has come from elsewhere; in line, if there is no room."""
    if mailbox.max_size:
        put_later(mailbox, message, post.node.hub.home if process is None else process.home)
    else:
        mailbox.admit(message)
