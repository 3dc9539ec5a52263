"""All that a node has of groups."""

from __future__ import annotations

from typing import final

from fauxtp.cluster.group_monitors import GroupMonitors
from fauxtp.cluster.groups import Groups
from fauxtp.cluster.memberships import Memberships
from fauxtp.cluster.node import Node
from fauxtp.cluster.post import Post
from fauxtp.cluster.publisher import Publisher

__all__ = ["Grouped"]


@final
class Grouped:
    """Who is in which group, who is told of that, and what is published there."""

    def __init__(self, node: Node, post: Post) -> None:
        self.groups: Groups = Groups(node, post.pids)
        self.memberships: Memberships = Memberships(node, post.pids, self.groups)
        self.monitors: GroupMonitors = GroupMonitors(node.hub, self.groups)
        self.publisher: Publisher = Publisher(post, self.groups)
