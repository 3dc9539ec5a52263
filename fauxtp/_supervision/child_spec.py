"""Children of a supervisor: what it is told of each, and what it tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, final

from fauxtp._actors.actor import Actor
from fauxtp.registry import PID

__all__ = ["ChildInfo", "ChildSpec", "RestartStrategy", "RestartType"]


class RestartStrategy(Enum):
    """Who is started again when one child ends: it alone, all, or it and the later ones."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class RestartType(Enum):
    """When a child is started again: always, after an abnormal end, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("args", Sequence, "a sequence"),
    ("kwargs", dict, "a dict"),
    ("restart", RestartType, "a RestartType"),
    ("shutdown", (int, float), "a number"),
    ("register_as", (str, type(None)), "a name or None"),
)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a supervisor starts, restarts and stops one child.

    `id` tells it from its siblings. `actor_class(*args, **kwargs)` makes it. `shutdown` is
    how many seconds it has to end when told so, before it is cancelled. With `register_as`,
    it has that name from before its `init`, also each time that it is restarted.

    Raises `ValueError` if `id` or `register_as` is empty, or a field is not what it should be.
    """

    id: str
    actor_class: type[Actor]
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    restart: RestartType = RestartType.PERMANENT
    shutdown: float = 5.0
    register_as: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or str.__len__(self.id) == 0:
            got = "''" if isinstance(self.id, str) else type(self.id).__name__
            raise ValueError(f"expected id to be a str with characters, got {got}")
        if not (isinstance(self.actor_class, type) and issubclass(self.actor_class, Actor)):
            raise ValueError(
                f"expected the actor_class of {self.id!r} to be a class of actors,"
                f" got {type(self.actor_class).__name__}"
            )
        for name, kind, words in _FIELDS:
            came = getattr(self, name)
            if not isinstance(came, kind):
                raise ValueError(
                    f"expected the {name} of {self.id!r} to be {words}, got {type(came).__name__}"
                )
        if not self.shutdown >= 0:
            raise ValueError(
                f"expected the shutdown of {self.id!r} to be at least 0, got {self.shutdown}"
            )
        if self.register_as is not None and str.__len__(self.register_as) == 0:
            raise ValueError(f"expected the register_as of {self.id!r} to have characters, got ''")


@final
@dataclass(frozen=True, slots=True)
class ChildInfo:
    """What a supervisor tells of a child.

    `pid` is None while it does not run. `restarts` is how often its supervisor has started it
    again.
    """

    id: str
    pid: PID | None
    actor_class: type[Actor]
    restart: RestartType
    restarts: int = 0
