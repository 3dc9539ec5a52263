"""What all errors of fauxtp have in common, and the one that the registry raises."""

from __future__ import annotations

import sys
from typing import Any, Final, Self

__all__ = ["OUT_OF_MEMORY", "FauxtpError", "NoProcess", "Travels"]

OUT_OF_MEMORY: Final = (
    (MemoryError,)
    if sys.version_info >= (3, 12)
    else (MemoryError, SystemError)  # the latter where there is none for the frame of a function
)


class Travels:
    """What makes an error travel whole: by a copy, and by pickle to another OS process."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        from fauxtp._base.travelling import reduced  # noqa: PLC0415  (seldom needed)

        return reduced(self)  # type: ignore[arg-type]

    def __copy__(self) -> Self:
        from fauxtp._base.travelling import copied  # noqa: PLC0415

        return copied(self)  # type: ignore[arg-type, no-any-return]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        from fauxtp._base.travelling import deep_copied  # noqa: PLC0415

        return deep_copied(self, memo)  # type: ignore[arg-type, no-any-return]


class FauxtpError(Travels, Exception):
    """The base of every error that is fauxtp's own.

    It can be copied, and pickled. In another OS process, where a PID means nothing, it carries
    the text of each PID in its place; so it does of all that cannot be pickled.

    >>> import anyio
    >>> from fauxtp import call
    >>> try:
    ...     anyio.run(call, "nobody", "stats")
    ... except FauxtpError as error:
    ...     print(error)
    no living process behind 'nobody'
    """

    _fauxtp_is_answer: bool = False
    """Whether a server has given it as its answer, and so has taken up what it was asked."""

    def _fauxtp_is_untaken(self) -> bool:
        """Return whether nobody has taken up a request, as nobody was there who could."""
        return False


class NoProcess(FauxtpError):
    """There is no living process behind a PID or a name.

    `to` is the PID, or the name, that was meant; `text` what the error says, if that is more.

    >>> import anyio
    >>> from fauxtp import call
    >>> try:
    ...     anyio.run(call, "nobody", "stats")
    ... except NoProcess as error:
    ...     print(error.to)
    nobody
    """

    def __init__(self, to: Any, text: str = "") -> None:
        super().__init__(text or f"no living process behind {to!r}")
        self.to: Any = to

    def _fauxtp_is_untaken(self) -> bool:
        return True
