"""Control: what is asked of the runtime of a server, and not of its handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

__all__ = ["Control"]


@final
class Control:
    """The request of a call that no handler gets: `"get"`, `"replace"`, `"suspend"`, `"resume"`.

    Its call is one that nobody takes up, and so costs those that are taken up nothing.
    """

    __slots__ = ("change", "what")

    def __init__(self, what: str, change: Callable[[Any], Any] | None = None) -> None:
        self.what = what
        self.change = change

    def __repr__(self) -> str:
        return f"Control({self.what!r})"
