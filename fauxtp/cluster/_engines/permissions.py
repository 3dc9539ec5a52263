"""What a NATS server is told, so that it holds each node of a cluster to its own name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fauxtp.cluster._engines.checks import check_token
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["configuration", "inbox", "may_ask", "may_hear", "may_listen", "may_publish"]


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
        f"{inbox(cluster, node)}.>",
    ]


def may_ask(cluster: str) -> list[str]:
    """Return the subjects that an observer may publish to: by none of them anything changes."""
    stream = Subjects(cluster).stream
    return [f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}"]


def may_hear(cluster: str, observer: str) -> list[str]:
    """Return the subjects that an observer may listen to: what all may know, and its answers."""
    return [f"{Subjects(cluster).seen}>", f"{inbox(cluster, observer)}.>"]


def inbox(cluster: str, who: str) -> str:
    """Return where a server answers a node or an observer of that name."""
    return f"_INBOX_{cluster}_{who}"


def configuration(cluster: str, nodes: Sequence[str], observers: Sequence[str] = ()) -> str:
    """Return what belongs into the configuration of the server: a user for each of `nodes`.

    So is there one for each of `observers`, who may look and do nothing. Passwords come from the
    environment of the server, so that none stands there.

    Raises `ValueError` if there is neither, one is there twice, or no name of one, or if two of
    them would have one password.

    >>> print(configuration("shop", ["a"]).splitlines()[3].strip())
    { user: "a", password: $FAUXTP_PASSWORD_A, permissions: {
    """
    if not nodes and not observers:
        raise ValueError("expected nodes to be at least one")
    variables: dict[str, str] = {}
    users: list[str] = []
    rights = [(each, may_publish(cluster, each), may_listen(cluster, each)) for each in nodes]
    rights += [(each, may_ask(cluster), may_hear(cluster, each)) for each in observers]
    for who, publishes, listens in rights:
        check_token("node", who)
        variable = f"FAUXTP_PASSWORD_{re.sub(r'[^A-Z0-9]', '_', who.upper())}"
        other = variables.setdefault(variable, who)
        if other != who or len(users) != len(variables) - 1:
            raise ValueError(f"{other!r} and {who!r} would both have the password {variable}")
        users.append(
            f'    {{ user: "{who}", password: ${variable}, permissions: {{\n'
            f"      publish: {{ allow: {_list(publishes)} }}\n"
            f"      subscribe: {{ allow: {_list(listens)} }}\n"
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
