"""What is published in a group of a cluster: one frame to each node that has members."""

from __future__ import annotations

from typing import Any, final

from fauxtp._messaging.groups import put_in_all, tell
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._wire.frames import packed

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
        there = [(one.peer, one.numbers) for one in self._groups.elsewhere(group)]
        # Before anybody is told
        frame = packed("publish", self._post.pack([group, message])) if there else b""
        told = tell(self._groups.members_here(group), message)
        for peer, numbers in there:
            if self._post.send_soon(peer, numbers[0], frame, message):
                told += len(numbers)
        return told

    def _published(self, peer: Peer, content: bytes) -> None:
        try:
            group, message = self._post.wire.decode(content)
            members = self._groups.members_here(group)
        except Exception as error:
            self._post.node.malformed.note(f"what node {peer.node!r} publishes ({error})")
            return
        put_in_all(members, message)
