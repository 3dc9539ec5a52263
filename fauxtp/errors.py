"""What fauxtp raises, beside `TypeError`, `ValueError` and `TimeoutError`."""

from __future__ import annotations

__all__ = ["FauxtpError", "NoProcess"]


class FauxtpError(Exception):
    """The base of every error that is fauxtp's own."""


class NoProcess(FauxtpError):
    """There is no living process behind a PID or a name.

    `to` is the PID, or the name, that was meant.
    """

    def __init__(self, to: object) -> None:
        super().__init__(f"no living process behind {to!r}")
        self.to = to
