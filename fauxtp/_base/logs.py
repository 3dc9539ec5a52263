"""Where fauxtp reports what nobody is told: the logger "fauxtp", and those below it."""

from __future__ import annotations

import sys
from typing import Any, Final, final

__all__ = ["DEBUG", "INFO", "Log", "logger", "report"]

DEBUG: Final = 10  # as in logging, which is not imported for them
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50


_known: dict[str, Any] = {}  # the loggers of `logging` that were asked for


@final
class Log:
    """A logger. Where a handler or a filter of it fails, that is printed to stderr, and is all."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def is_for(self, level: int) -> bool:
        """Return whether somebody wants to know what has this level."""
        found = _known.get(self._name)  # to ask for it each time takes longer than all else here
        if found is None:
            import logging  # noqa: PLC0415  (it takes a tenth of the time of all other imports)

            found = _known[self._name] = logging.getLogger(self._name)
        return bool(found.isEnabledFor(level))

    def debug(self, text: str, *arguments: object, **more: Any) -> None:
        self._log(DEBUG, text, arguments, **more)

    def info(self, text: str, *arguments: object, **more: Any) -> None:
        self._log(INFO, text, arguments, **more)

    def warning(self, text: str, *arguments: object, **more: Any) -> None:
        self._log(WARNING, text, arguments, **more)

    def error(self, text: str, *arguments: object, **more: Any) -> None:
        self._log(ERROR, text, arguments, **more)

    def exception(self, text: str, *arguments: object) -> None:
        """Do as `error`, with the error that is being handled."""
        self._log(ERROR, text, arguments, exc_info=True)

    def critical(self, text: str, *arguments: object, **more: Any) -> None:
        self._log(CRITICAL, text, arguments, **more)

    def _log(self, level: int, text: str, arguments: tuple[object, ...], **more: Any) -> None:
        try:
            import logging  # noqa: PLC0415

            logging.getLogger(self._name).log(level, text, *arguments, stacklevel=3, **more)
        except Exception:
            _print_failure(text, arguments)


def _print_failure(text: str, arguments: tuple[object, ...]) -> None:
    try:
        import traceback  # noqa: PLC0415

        if sys.stderr is not None:
            print(f"fauxtp could not log: {text % arguments}", file=sys.stderr)  # noqa: T201
            traceback.print_exc()
    except Exception:
        pass  # stderr may be closed, or the error not to be printed


def logger(name: str = "fauxtp") -> Log:
    """Return a logger of fauxtp's."""
    return Log(name)


def report(text: str, *arguments: object) -> None:
    """Log the error that is being handled, where nothing may come in between."""
    logger().exception(text, *arguments)
