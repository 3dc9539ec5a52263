"""Children of a supervisor: what it is told of each, and what it tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, final

from fauxtp._actors.actor import Actor
from fauxtp._base.arguments import kind_of
from fauxtp._base.exit_reason import ExitReason
from fauxtp._supervision.backoff import Backoff
from fauxtp._supervision.intensity import Intensity
from fauxtp.registry import PID

__all__ = ["AutoShutdown", "ChildInfo", "ChildSpec", "RestartStrategy", "RestartType"]


class RestartStrategy(Enum):
    """Who is started again when one child ends: it alone, all, or it and the later ones.

    >>> from fauxtp import Supervisor
    >>> class Pipeline(Supervisor):
    ...     strategy = RestartStrategy.REST_FOR_ONE
    """

    ONE_FOR_ONE = "one_for_one"
    """The one that has ended."""
    ONE_FOR_ALL = "one_for_all"
    """All children of the supervisor."""
    REST_FOR_ONE = "rest_for_one"
    """The one that has ended, and those that were started after it."""


class RestartType(Enum):
    """When a child is started again: always, after an abnormal end, or never.

    >>> from fauxtp import Actor
    >>> ChildSpec("import", Actor, restart=RestartType.TRANSIENT).restart
    <RestartType.TRANSIENT: 'transient'>
    """

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """After an abnormal end: by an error, by another process, or by being cancelled."""
    TEMPORARY = "temporary"
    """Never."""


class AutoShutdown(Enum):
    """When a supervisor ends by itself: when one significant child has ended, or all have.

    >>> from fauxtp import Supervisor
    >>> class Job(Supervisor):
    ...     auto_shutdown = AutoShutdown.ANY_SIGNIFICANT
    """

    NEVER = "never"
    """Only when it is told to, or gives up."""
    ANY_SIGNIFICANT = "any_significant"
    """When one `significant` child has ended, and is not started again."""
    ALL_SIGNIFICANT = "all_significant"
    """When all `significant` children have."""


_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("args", Sequence, "a sequence"),
    ("kwargs", dict, "a dict"),
    ("restart", RestartType, "a RestartType"),
    ("shutdown", (int, float), "a number"),
    ("register_as", (str, type(None)), "a name or None"),
    ("start_timeout", (int, float, type(None)), "a number or None"),
    ("backoff", (Backoff, type(None)), "a Backoff or None"),
    ("max_restarts", (int, type(None)), "an int or None"),
    ("max_seconds", (int, float), "a number"),
    ("significant", bool, "a bool"),
)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a supervisor starts, restarts and stops one child.

    `id` tells it from its siblings. `actor_class(*args, **kwargs)` makes it. With `register_as`,
    it has that name from before its `init`, also each time that it is restarted. An `init` that
    takes longer than `start_timeout` seconds, if that is not None, has failed.

    `shutdown` is how many seconds it has to end when it is told to, before it is killed. Its
    `terminate` runs in that time; and, if it traps exits (`Actor.trap_exit`), what lies in its
    mailbox is handled before. Else the handler that runs is cancelled at once, and the mailbox
    dropped; so it is with `shutdown=0`, which leaves no time for `terminate` either.

    With a `backoff`, its supervisor waits before each restart, and goes on trying. With
    `max_restarts` it has a restart intensity of its own: after more than so many restarts within
    `max_seconds` it is given up, and its supervisor goes on without it. In both cases its restarts
    do not count towards the intensity of the supervisor.

    The end of a `significant` child may be that of the supervisor: see `AutoShutdown`. Who is
    always restarted cannot be.

    `restart` says after which ends it is started again: see `RestartType`.

    Raises `ValueError` if `id` or `register_as` is empty, or a field is not what it should be.

    >>> from fauxtp import GenServer
    >>> ChildSpec("store", GenServer, register_as="store").shutdown
    5.0
    """

    id: str
    actor_class: type[Actor]
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    restart: RestartType = RestartType.PERMANENT
    shutdown: float = 5.0
    register_as: str | None = None
    start_timeout: float | None = None
    backoff: Backoff | None = None
    max_restarts: int | None = None
    max_seconds: float = 5.0
    significant: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or str.__len__(self.id) == 0:
            got = "''" if isinstance(self.id, str) else kind_of(self.id)
            raise ValueError(f"expected id to be a str with characters, got {got}")
        if not (isinstance(self.actor_class, type) and issubclass(self.actor_class, Actor)):
            raise ValueError(
                f"expected the actor_class of {self.id!r} to be a class of actors,"
                f" got {kind_of(self.actor_class)}"
            )
        for name, kind, words in _FIELDS:
            came = getattr(self, name)
            if name == "args" and isinstance(came, str | bytes):
                hint = f"got {type(came).__name__}: a tuple of one thing is (thing,)"
                raise ValueError(f"expected the args of {self.id!r} to be a sequence, {hint}")
            if not isinstance(came, kind):
                raise ValueError(
                    f"expected the {name} of {self.id!r} to be {words}, got {kind_of(came)}"
                )
        for name in ("shutdown", "start_timeout", "max_restarts", "max_seconds"):
            came = getattr(self, name)
            if came is not None and not came >= 0:
                raise ValueError(
                    f"expected the {name} of {self.id!r} to be at least 0, got {came}"
                )
        if self.significant and self.restart is RestartType.PERMANENT:
            expected = f"expected the significant of {self.id!r} to be False"
            raise ValueError(f"{expected}, as it is always restarted, got True")
        if self.register_as is not None and str.__len__(self.register_as) == 0:
            raise ValueError(f"expected the register_as of {self.id!r} to have characters, got ''")

    @property
    def intensity(self) -> Intensity | None:
        """A new restart intensity, if the child has one of its own."""
        if self.max_restarts is None:
            return None
        return Intensity(self.max_restarts, self.max_seconds)

    @property
    def stands_alone(self) -> bool:
        """Whether its restarts do not count towards the intensity of its supervisor."""
        return self.max_restarts is not None or self.backoff is not None

    def must_restart(self, reason: ExitReason) -> bool:
        """Return whether it is started again after an end by `reason`."""
        if self.restart is RestartType.TRANSIENT:
            return reason.abnormal
        return self.restart is RestartType.PERMANENT


@final
@dataclass(frozen=True, slots=True)
class ChildInfo:
    """What a supervisor tells of a child: its `id`, `actor_class` and `restart`, as in its spec.

    `pid` is None while it does not run. `restarts` is how often its supervisor has started it
    again. `restarts_in` is in how many seconds it will do so, if it waits for that.

    >>> from fauxtp import Actor
    >>> ChildInfo("worker", None, Actor, RestartType.PERMANENT, restarts=2).restarts
    2
    """

    id: str
    pid: PID | None
    actor_class: type[Actor]
    restart: RestartType
    restarts: int = 0
    restarts_in: float | None = None
