"""Texts about values that are somebody else's: safe to make, and never long."""

from __future__ import annotations

from typing import Any, Final

from fauxtp._base.carried import bare
from fauxtp._base.own_errors import own_errors

__all__ = ["full_name", "label", "local_types", "module_of", "shown", "type_name"]

local_types: list[type] = []
"""Types whose values mean nothing in another OS process: they go there as texts."""

LONGEST: Final = 400  # characters: enough to know it again, and a log of it stays readable

# A metaclass may say anything of these, or fail.
_NAME: Final = type.__dict__["__name__"]
_QUALNAME: Final = type.__dict__["__qualname__"]
_MODULE: Final = type.__dict__["__module__"]

_REQUESTS: Final = frozenset({"Call", "Cast", "Continue"})
_DEPTH: Final = 3  # requests within requests


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
    except own_errors():
        return type_name(type(value))
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … {len(text) - LONGEST:,} characters more … {text[-half:]}"


def type_name(kind: type) -> str:
    """Return how a class is called, on one line, and without asking its metaclass.

    >>> type_name(int), type_name(type("two\\nlines", (), {}))
    ('int', "'two\\\\nlines'")
    """
    name = str.__str__(_NAME.__get__(kind))[:LONGEST]
    return name if name.isprintable() else repr(name)


def module_of(kind: type) -> str:
    """Return the name of the module of a class, without asking its metaclass."""
    try:
        name = _MODULE.__get__(kind)
    except AttributeError:
        return ""
    return name if type(name) is str else ""


def full_name(kind: type) -> str:
    """Return what sets a class apart from others of its name, without asking its metaclass."""
    return f"{module_of(kind)}.{str.__str__(_QUALNAME.__get__(kind))}"


def label(message: object) -> str:
    """Return what kind of message it is, and nothing of what else it contains.

    Nothing that the message's class says is asked: it is somebody else's.

    >>> label(("put", "password", "secret")), label("stats"), label(5)
    ("('put', …)", "'stats'", 'int')
    """
    before, message = "", bare(message)
    for _ in range(_DEPTH):
        kind = type(message)
        name = type_name(kind)
        if name not in _REQUESTS or module_of(kind).partition(".")[0] != "fauxtp":
            break
        before += f"{name} "
        message = message.request  # type: ignore[attr-defined]
    return before + _plain_label(message)


def _plain_label(message: Any) -> str:
    kind = type(message)
    if issubclass(kind, tuple) and (length := tuple.__len__(message)):
        first = tuple.__getitem__(message, 0)
        if _is_word(first):
            return f"({first!r}{', …' if length > 1 else ','})"
    return repr(message) if _is_word(message) else type_name(kind)


def _is_word(part: object) -> bool:
    return type(part) is str and len(part) <= 40 and part.replace(" ", "_").isidentifier()
