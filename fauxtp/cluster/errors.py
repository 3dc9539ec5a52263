"""Errors of a cluster, beside those of its engine."""

from __future__ import annotations

from fauxtp._base.errors import FauxtpError

__all__ = ["NodeTaken"]


class NodeTaken(FauxtpError):
    """Another node of that name is in the cluster, and lives. The name is `node`.

    >>> print(NodeTaken("a"))
    there is a node 'a' in the cluster already
    """

    def __init__(self, node: str) -> None:
        super().__init__(f"there is a node {node!r} in the cluster already")
        self.node: str = node
