"""What is published in a group of a cluster: one frame to each node that has members."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from fauxtp._core.dead_letters import dead_letters
from fauxtp._messaging.groups import put_in_all, tell
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._nodes.peers import Peer

__all__ = ["Publisher"]


@final
class Publisher:
    """Tells the members here, and the nodes that have others, which tell those."""

    def __init__(self, post: Post, groups: Groups) -> None:
        self._post = post
        self._groups = groups
        post.handlers["publish"] = self._published

    def publish(self, group: str, message: Any) -> int:
        """Tell all who are in `group`, from any thread; return how many those are."""
        there = [(one.peer, one.members(self._post.pids)) for one in self._groups.elsewhere(group)]
        content = self._post.pack([group, message]) if there else b""  # before anybody is told
        told = tell(self._groups.members_here(group), message)
        for peer, pids in there:
            send = partial(self._post.send_message, pids[0], peer, ("publish", content), message)
            if self._post.node.hub.post(send):
                told += len(pids)
            else:
                dead_letters.add(pids[0], message, "noconnection")
        return told

    def _published(self, peer: Peer, content: bytes) -> None:
        try:
            group, message = self._post.wire.decode(content)
            members = self._groups.members_here(group)
        except Exception as error:
            self._post.node.malformed.note(f"what node {peer.node!r} publishes ({error})")
            return
        put_in_all(members, message)
