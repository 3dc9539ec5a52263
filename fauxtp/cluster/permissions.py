"""What a NATS server is told, so that it holds each node of a cluster to its own name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fauxtp.cluster.checks import check_token
from fauxtp.cluster.subjects import Subjects

__all__ = ["configuration", "may_listen", "may_publish"]


def may_publish(cluster: str, node: str) -> list[str]:
    """Return the subjects that `node` may publish to.

    It speaks to all others, but only as itself; it beats with no heart but its own. Names and
    shards it may take as every node may.
    """
    subjects = Subjects(cluster)
    keys, stream = subjects.keys, subjects.stream
    return [
        f"{subjects.prefix}to.*.*.{node}",
        f"{subjects.prefix}to.*.*.{node}.>",
        f"{keys}node.{node}",
        f"{keys}name.>",
        f"{keys}shard.>",
        f"{keys}group.*.{node}",
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
    ]


def may_listen(cluster: str, node: str) -> list[str]:
    """Return the subjects that `node` may listen to: what is said to it, and what all may know."""
    subjects = Subjects(cluster)
    return [
        f"{subjects.prefix}to.{node}.>",
        f"{subjects.seen}>",
        f"_INBOX_{cluster}_{node}.>",
    ]


def configuration(cluster: str, nodes: Sequence[str]) -> str:
    """Return what belongs into the configuration of the server: a user for each of `nodes`.

    Passwords come from the environment of the server, so that none stands there.

    Raises `ValueError` if there is no node, one is there twice, or no name of one, or if two of
    them would have one password.

    >>> print(configuration("shop", ["a"]).splitlines()[3].strip())
    { user: "a", password: $FAUXTP_PASSWORD_A, permissions: {
    """
    if not nodes:
        raise ValueError("expected nodes to be at least one")
    variables: dict[str, str] = {}
    users: list[str] = []
    for node in nodes:
        check_token("node", node)
        variable = f"FAUXTP_PASSWORD_{re.sub(r'[^A-Z0-9]', '_', node.upper())}"
        other = variables.setdefault(variable, node)
        if other != node or len(users) != len(variables) - 1:
            raise ValueError(f"{other!r} and {node!r} would both have the password {variable}")
        users.append(
            f'    {{ user: "{node}", password: ${variable}, permissions: {{\n'
            f"      publish: {{ allow: {_list(may_publish(cluster, node))} }}\n"
            f"      subscribe: {{ allow: {_list(may_listen(cluster, node))} }}\n"
            "    } }\n"
        )
    return (
        f"# The nodes of the cluster {cluster}. Let each password begin with a letter.\n"
        "authorization {\n"
        "  users: [\n"
        f"{''.join(users)}"
        "  ]\n"
        "}\n"
    )


def _list(subjects: list[str]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"
