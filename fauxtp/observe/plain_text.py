"""Texts of others, as a terminal can show them: what is no printable character has no effect."""

from __future__ import annotations

__all__ = ["in_seconds", "plain"]


def plain(text: object) -> str:
    """Return a text without what would move the cursor, colour the screen, or turn it around.

    >>> plain("a name\\x1b[2J\\n")
    'a name·[2J·'
    """
    return "".join(char if char.isprintable() else "·" for char in str(text))


def in_seconds(seconds: float) -> str:
    """Return a time as people read it.

    >>> in_seconds(0.0123), in_seconds(75.2), in_seconds(90_061)
    ('0.01 s', '1 min 15 s', '1 d 1 h')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    parts = []
    left = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
