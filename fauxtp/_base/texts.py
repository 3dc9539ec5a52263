"""Texts about values that are somebody else's: safe to make, and never long."""

from __future__ import annotations

from typing import Final

__all__ = ["label", "local_types", "shown"]

local_types: list[type] = []
"""Types whose values mean nothing in another OS process: they go there as texts."""

LONGEST: Final = 400  # characters: enough to know it again, and a log of it stays readable


def shown(value: object) -> str:
    """Return what `repr` says of `value`, cut to what fits in a message.

    What cannot be printed is told by its type: a message about an error must not fail itself.

    >>> shown({"key": 1})
    "{'key': 1}"
    >>> len(shown("x" * 1_000_000)) < 500
    True
    """
    try:
        text = repr(value)
    except Exception:
        return type(value).__name__
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … {len(text) - LONGEST:,} characters more … {text[-half:]}"


def label(message: object) -> str:
    """Return what kind of message it is, and nothing of what else it contains.

    >>> label(("put", "password", "secret")), label("stats"), label(5)
    ("('put', …)", "'stats'", 'int')
    """
    kind = type(message)
    if kind.__name__ in ("Call", "Cast", "Continue") and kind.__module__.split(".")[0] == "fauxtp":
        return f"{kind.__name__} {label(message.request)}"  # type: ignore[attr-defined]
    if isinstance(message, tuple) and message and _is_word(message[0]):
        return f"({message[0]!r}{', …' if len(message) > 1 else ','})"
    return repr(message) if _is_word(message) else kind.__name__


def _is_word(part: object) -> bool:
    return type(part) is str and len(part) <= 40 and part.replace(" ", "_").isidentifier()
