"""Texts of others, as a terminal can show them: what is no printable character has no effect."""

from __future__ import annotations

import unicodedata

__all__ = ["cut", "in_seconds", "plain", "quoted"]


def plain(text: object) -> str:
    """Return a text without what would move the cursor, colour the screen, or turn it around.

    >>> plain("a name\\x1b[2J\\n")
    'a name·[2J·'
    """
    return "".join(char if char.isprintable() else "·" for char in str(text))


def quoted(name: object) -> str:
    r"""Return a name in quotes, so that no other looks the same in them.

    What a terminal would not show is escaped; so are marks that are put on the character before
    them, where they stand first, or where there is a character for both.

    >>> print(quoted("a "), quoted("a\tb"), quoted("e\u0301"))
    'a ' 'a\tb' 'e\u0301'
    """
    text = repr(str(name))
    if text.isascii():
        return text
    bare = text[1:-1]
    if unicodedata.normalize("NFC", bare) == bare and not unicodedata.combining(bare[0]):
        return text
    return "".join(f"\\u{ord(char):04x}" if unicodedata.combining(char) else char for char in text)


def _cells(char: str) -> int:
    """Return how many cells of a terminal a character takes."""
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0  # it is put on the one before
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def cut(text: str, cells: int) -> str:
    """Return as much of a text, from its begin, as there is room for in so many cells.

    >>> cut("a name", 4), cut("名前", 3)
    ('a na', '名')
    """
    if text.isascii():
        return text[:cells]
    for place, char in enumerate(text):
        cells -= _cells(char)
        if cells < 0:
            return text[:place]
    return text


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
