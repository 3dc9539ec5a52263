"""All that a node has of groups."""

from __future__ import annotations

from typing import final

from fauxtp.cluster._groups.group_monitors import GroupMonitors
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._groups.memberships import Memberships
from fauxtp.cluster._groups.publisher import Publisher
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._nodes.node import Node

__all__ = ["Grouped"]


@final
class Grouped:
    """Who is in which group, who is told of that, and what is published there."""

    def __init__(self, node: Node, post: Post) -> None:
        self.groups: Groups = Groups(node, post.pids)
        self.memberships: Memberships = Memberships(node, post.pids, self.groups)
        self.monitors: GroupMonitors = GroupMonitors(node.hub, self.groups)
        self.publisher: Publisher = Publisher(post, self.groups)
