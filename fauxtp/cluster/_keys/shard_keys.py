"""Shards as keys, and which node has one as their values; and which keys of a user's are in one.

Processes whose names begin with one prefix are spread over the nodes by 1,024 shards. Each is in
one of them, by the rest of its name; and a shard is with one node at a time.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

from fauxtp.cluster._engines.checks import check_key, check_token
from fauxtp.cluster._engines.engine import SHARDS
from fauxtp.cluster._keys.group_keys import RESERVED
from fauxtp.cluster._keys.key_words import text_of, word_of
from fauxtp.cluster._keys.name_keys import EMPTY
from fauxtp.cluster._nodes.peers import parsed

__all__ = [
    "ShardHolding",
    "as_bytes",
    "check_prefix",
    "group_of",
    "key_of",
    "place_of",
    "rank",
    "shard_holding",
    "shard_of",
]

LONGEST_PREFIX: Final = 300  # bytes


class ShardHolding(NamedTuple):
    """What a shard's key holds: the node that has it, and its incarnation."""

    node: str
    incarnation: int

    def packed(self) -> bytes:
        return f"{self.node} {self.incarnation}".encode()


def shard_holding(value: bytes) -> ShardHolding | None:
    """Return who has a shard, by what its key holds, or None if that makes no sense.

    >>> shard_holding(ShardHolding("a", 4711).packed())
    ShardHolding(node='a', incarnation=4711)
    >>> shard_holding(b"junk") is None
    True
    """
    node, _, number = value.partition(b" ")
    incarnation = parsed(number)
    if incarnation is None:
        return None
    try:
        return ShardHolding(check_token("node", node.decode()), incarnation)
    except ValueError:
        return None


def as_bytes(text: str) -> bytes:
    """Return a name, or a part of one, as it travels."""
    return text.encode("utf-8", "surrogatepass")


def shard_of(key: str, shards: int) -> int:
    """Return the number of the shard, of so many, that a key is in, whatever the prefix.

    >>> shard_of("anna", 1024), shard_of("bert", 1024)
    (695, 782)
    """
    return crc32(as_bytes(key)) % shards


@lru_cache(maxsize=1024)
def rank(node: str, shards: int) -> tuple[int, ...]:
    """Return how much `node` is wanted for each of so many shards: the highest of all has it.

    So when one comes or goes, no shard moves but to it or from it.
    """
    name = node.encode()
    return tuple(
        int.from_bytes(blake2b(b"%d %b" % (number, name), digest_size=8).digest(), "big")
        for number in range(shards)
    )


def check_prefix(prefix: str) -> str:
    """Return `prefix` if shards can have it, and the group of their hosts.

    Raises `ValueError` if it is too long or no Unicode.
    """
    try:
        length = len(prefix.encode())
    except UnicodeEncodeError:
        raise ValueError("expected prefix to be Unicode") from None
    if length > LONGEST_PREFIX:
        raise ValueError(f"expected prefix to be at most {LONGEST_PREFIX} bytes, got {length}")
    return prefix


def group_of(prefix: str) -> str:
    """Return the group of the hosts of those that begin with `prefix`."""
    return f"{RESERVED}shards {prefix}"


def key_of(prefix: str, number: int) -> str:
    """Return the key of a shard.

    >>> key_of("session:", 3)
    'shard.c2Vzc2lvbjo.3'
    """
    return check_key(f"shard.{word_of(prefix) or EMPTY}.{number}")


def place_of(words: str) -> tuple[str, int] | None:
    """Return the prefix and the number of a key, without its first word, or None if it is of none.

    >>> place_of("c2Vzc2lvbjo.3")
    ('session:', 3)
    """
    word, _, digits = words.rpartition(".")
    number = parsed(digits.encode())
    if number is None or number >= SHARDS:
        return None
    if digits != str(number):
        return None
    try:
        return "" if word == EMPTY else text_of(word), number
    except ValueError:
        return None
