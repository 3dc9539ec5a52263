"""By which ways a node reaches the processes of its peers."""

from __future__ import annotations

from typing import NamedTuple

from fauxtp.cluster._messages.calls_out import CallsOut
from fauxtp.cluster._messages.circles import Circles
from fauxtp.cluster._messages.links import Links
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._messages.watches import Watches

__all__ = ["Ways"]


class Ways(NamedTuple):
    """What passes on messages, calls, monitors and links, and looks for circles."""

    post: Post
    calls_out: CallsOut
    watches: Watches
    links: Links
    circles: Circles
