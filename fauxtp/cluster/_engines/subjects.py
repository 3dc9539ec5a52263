"""Where messages go: the subjects of a cluster, by which its nodes are told apart.

`ftp.<cluster>.to.<node>.<incarnation>.<sender>` is where a node of that incarnation hears of a
sender. The sender is in the subject, not only in the message: so a server can hold each node to
its own name, and nobody can speak for another. What else a node needs may follow as more words.

`ftp.<cluster>.key.<key>` is where a key is written, and `ftp.<cluster>.seen.<key>` where the
server tells of it: nobody else may publish there.

>>> subjects = Subjects("shop")
>>> subjects.to("b", "4711", sender="a")
'ftp.shop.to.b.4711.a'
>>> subjects.sender("ftp.shop.to.b.4711.a")
'a'
"""

from __future__ import annotations

from typing import final

from fauxtp.cluster._engines.checks import check_token

__all__ = ["Subjects"]


@final
class Subjects:
    """The subjects of the cluster of that name.

    Raises `TypeError` or `ValueError` if `cluster` is no name of one: it is one word of a subject.
    """

    __slots__ = ("cluster", "keys", "prefix", "seen", "stream")

    def __init__(self, cluster: str) -> None:
        self.cluster: str = check_token("cluster", cluster)
        self.prefix: str = f"ftp.{cluster}."
        self.keys: str = f"{self.prefix}key."
        self.seen: str = f"{self.prefix}seen."
        self.stream: str = f"ftp_{cluster}"

    def to(self, node: str, incarnation: str, sender: str) -> str:
        """Return where `node`, in that incarnation, is told something by `sender`."""
        return f"{self.prefix}to.{node}.{incarnation}.{sender}"

    def of(self, node: str, incarnation: str) -> str:
        """Return what `node`, in that incarnation, listens to: whoever speaks to it."""
        return f"{self.prefix}to.{node}.{incarnation}.>"

    def sender(self, subject: str) -> str | None:
        """Return who speaks in a message to that subject, or None if it is none of `to`."""
        words = subject.split(".", 6)
        return words[5] if len(words) > 5 and words[2] == "to" else None
