"""What keys, names and subjects may be; whatever else comes is refused with what was expected."""

from __future__ import annotations

import re
from typing import Final

from fauxtp._base.arguments import expect_text, unexpected

__all__ = [
    "LONGEST",
    "check_key",
    "check_lease",
    "check_revision",
    "check_subject",
    "check_token",
    "check_ttl",
    "check_value",
]

LONGEST: Final = 512  # characters of a key
LONGEST_TOKEN: Final = 64
LONGEST_TTL: Final = 10 * 365 * 86_400
TOKEN: Final = re.compile(r"[A-Za-z0-9_=-]+", re.ASCII)
SUBJECT: Final = re.compile(r"([A-Za-z0-9_=-]+|\*)(\.([A-Za-z0-9_=-]+|\*))*(\.>)?", re.ASCII)
KEY: Final = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*", re.ASCII)


def check_key(key: object) -> str:
    """Return `key` if it can be one.

    Raises `TypeError` if it is no str, and `ValueError` if it has other characters than keys have.

    >>> check_key("node.a")
    'node.a'
    """
    text = expect_text("key", key)
    if len(text) > LONGEST or not KEY.fullmatch(text):
        raise ValueError(
            f"expected key to be at most {LONGEST} letters, digits and any of _=/-,"
            f" with single dots within, got {text[:80]!r}"
        )
    return text


def check_token(parameter: str, came: object) -> str:
    """Return `came` if it can be the name of a cluster or of a node: one word of a subject.

    Raises `TypeError` and `ValueError`, which say so of `parameter`.

    >>> check_token("node", "a.b")
    Traceback (most recent call last):
        ...
    ValueError: expected node to be 1 to 64 letters, digits and any of _=-, got 'a.b'
    """
    text = expect_text(parameter, came)
    if len(text) > LONGEST_TOKEN or not TOKEN.fullmatch(text):
        raise ValueError(
            f"expected {parameter} to be 1 to {LONGEST_TOKEN} letters, digits and any of _=-,"
            f" got {text[:80]!r}"
        )
    return text


def check_ttl(ttl: object) -> int | None:
    """Return `ttl` if it can be one: a whole number of seconds from 1, or None.

    Raises `TypeError` if it is no int, and `ValueError` if it is too small or too large.
    """
    if ttl is None:
        return None
    if not isinstance(ttl, int) or isinstance(ttl, bool):
        raise unexpected("ttl", "a whole number of seconds or None", ttl)
    if not 1 <= ttl <= LONGEST_TTL:
        raise ValueError(f"expected ttl to be 1 to {LONGEST_TTL} seconds, got {ttl}")
    return int(ttl)


def check_lease(ttl: object) -> int:
    """Return `ttl` if a node can have one: a whole number of seconds, at least 2.

    Raises `TypeError` if it is no int, and `ValueError` if it is too small or too large.
    """
    seconds = check_ttl(ttl)
    if seconds is None:
        raise unexpected("ttl", "a whole number of seconds", ttl)
    if seconds < 2:
        raise ValueError(f"expected ttl to be at least 2 seconds, got {seconds}")
    return seconds


def check_revision(revision: object) -> int:
    """Return `revision` if it can be one.

    Raises `TypeError` if it is no int, and `ValueError` if it is less than 1.
    """
    if not isinstance(revision, int) or isinstance(revision, bool):
        raise unexpected("revision", "an int", revision)
    if revision < 1:
        raise ValueError(f"expected revision to be at least 1, got {revision}")
    return int(revision)


def check_value(value: object, longest: int) -> bytes:
    """Return `value` if a key can hold it: bytes, at least one and at most `longest`.

    Raises `TypeError` if it is none, and `ValueError` if it has too few or too many.
    """
    if not isinstance(value, bytes):
        raise unexpected("value", "bytes", value)
    if not 1 <= len(value) <= longest:
        raise ValueError(f"expected value to be 1 to {longest} bytes, got {len(value)}")
    return bytes(value)


def check_subject(subject: object, prefix: str) -> str:
    """Return `subject` if it can be listened to: words after `prefix`, as `Engine` tells.

    Raises `TypeError` if it is no str, and `ValueError` if it is something else.

    >>> check_subject("ftp.shop.to.a.*.>", "ftp.shop.")
    'ftp.shop.to.a.*.>'
    """
    text = expect_text("subject", subject)
    if not text.startswith(prefix) or not SUBJECT.fullmatch(text):
        raise ValueError(f"expected subject to be words after {prefix!r}, got {text[:80]!r}")
    return text
