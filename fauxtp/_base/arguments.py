"""Arguments: how a call says that it was given the wrong thing."""

from __future__ import annotations

__all__ = ["expect_callable", "expect_text", "unexpected"]


def unexpected(parameter: str, expected: str, came: object) -> TypeError:
    """Return the error that says what was expected and what came.

    >>> unexpected("spec", "a ChildSpec", 5)
    TypeError('expected spec to be a ChildSpec, got int')
    """
    return TypeError(f"expected {parameter} to be {expected}, got {type(came).__name__}")


def expect_callable(parameter: str, came: object) -> None:
    """Raise `TypeError` unless `came` can be called."""
    if not callable(came):
        raise unexpected(parameter, "callable", came)


def expect_text(parameter: str, came: object) -> str:
    """Return the plain str that `came` stands for, or raise `TypeError`."""
    if not isinstance(came, str):
        raise unexpected(parameter, "a str", came)
    return str.__str__(came)
