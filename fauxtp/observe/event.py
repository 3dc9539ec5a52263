"""What listeners are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from fauxtp._base.implementation import implementation
from fauxtp.observe.event_kinds import Kind
from fauxtp.registry import PID

__all__ = ["Event"]


@final
class Event:
    """What has happened: its kind, whose PID it is about, its labels, and its details by name.

    `pid` is that of the process, of the supervisor, or of whom a call or a message is for; None if
    there is nobody. It can be unpacked, and is equal to a tuple of the four.

    >>> from fauxtp.observe.events import Kind
    >>> Event(Kind.DEAD_LETTER, None, ("noproc",), {"to": "nobody", "message": 1}).labels
    ('noproc',)
    """

    # Those that are told again and again are made in C, and their details when they are asked for.

    __slots__ = ("details", "kind", "labels", "pid")
    __match_args__ = ("kind", "pid", "labels", "details")

    def __init__(
        self, kind: Kind, pid: PID | None, labels: tuple[str, ...], details: dict[str, Any]
    ) -> None:
        self.kind: Final[Kind] = kind
        self.pid: Final[PID | None] = pid
        self.labels: Final[tuple[str, ...]] = labels
        self.details: Final[dict[str, Any]] = details

    def __iter__(self) -> Iterator[Any]:
        return iter((self.kind, self.pid, self.labels, self.details))

    def __getitem__(self, place: Any, /) -> Any:
        return tuple(self)[place]

    def __len__(self) -> int:
        return 4

    def __eq__(self, other: object, /) -> bool:
        if type(other) is not Event and type(other) is not tuple:
            return NotImplemented
        return tuple(self) == tuple(other)

    __hash__: ClassVar[None]  # type: ignore[assignment]  # as the details have none

    def __repr__(self) -> str:
        kind, pid, labels, details = self
        return f"Event(kind={kind!r}, pid={pid!r}, labels={labels!r}, details={details!r})"

    def __reduce__(self) -> tuple[type[Event], tuple[Any, ...]]:
        return Event, tuple(self)


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import Event
