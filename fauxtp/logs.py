"""Where fauxtp reports what nobody is told: the logger "fauxtp"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["logger"]


def logger() -> Logger:
    """Return the logger "fauxtp". To import logging takes a tenth of the time of all the rest."""
    import logging  # noqa: PLC0415

    return logging.getLogger("fauxtp")
