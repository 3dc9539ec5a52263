"""Where fauxtp reports what nobody is told: the logger "fauxtp", and those below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["logger", "report"]


def logger(name: str = "fauxtp") -> Logger:
    """Return a logger of fauxtp's. To import logging takes a tenth of the time of all the rest."""
    import logging  # noqa: PLC0415

    return logging.getLogger(name)


def report(text: str, *arguments: object) -> None:
    """Log the error that is being handled, where nothing may come in between.

    If a handler or a filter of the log fails itself, that is printed to stderr.
    """
    try:
        logger().exception(text, *arguments)
    except Exception:
        import traceback  # noqa: PLC0415

        traceback.print_exc()
