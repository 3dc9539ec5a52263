"""Telling of keys without gaps: changes in the order of their revisions, or a new snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from fauxtp.cluster._engines.engine import Change, Followed, Part, Snapshot

__all__ = ["KeyFeed"]


@final
class KeyFeed:
    """What one who follows the keys is told.

    Changes come from a server that may leave some out: their revisions are without gaps, so one
    that does not follow on the last shows that there is one, and `ask` is called for a snapshot.
    Until that is there, changes are kept: those that it lacks are told after it.
    """

    __slots__ = ("_ask", "_early", "_followed", "_known")

    def __init__(self, followed: Followed, ask: Callable[[], object]) -> None:
        self._followed = followed
        self._ask = ask
        self._known: int | None = None  # the last revision that was told; None: none is
        self._early: list[Change] = []

    @property
    def known(self) -> int | None:
        """The revision up to which all was told, or None while a snapshot is waited for."""
        return self._known

    @property
    def early(self) -> list[Change]:
        """The changes that came while a snapshot was waited for."""
        return self._early

    @property
    def last_early(self) -> int:
        """The revision of the last of these, or 0."""
        return self._early[-1].revision if self._early else 0

    def begin(self) -> None:
        """Forget all, as of a connection that was lost, or is new. Nobody is asked yet."""
        self._known = None
        self._early.clear()

    def changed(self, change: Change) -> None:
        """Take what the server tells of a change."""
        if self._known is None:
            self._early.append(change)
        elif change.revision == self._known + 1:
            self._known = change.revision
            self._followed(change)
        else:
            self.begin()
            self._early.append(change)
            self._ask()

    def part(self, part: Part) -> None:
        """Take some of what was asked for."""
        self._followed(part)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Take what was asked for; if changes after it are missing, ask again."""
        early, self._early = self._early, []
        self._known = snapshot.revision
        later = [change for change in early if change.revision > snapshot.revision]
        first = later[0].revision if later else snapshot.revision + 1
        if first != snapshot.revision + 1:
            self._known = None
            self._early = later
            self._ask()
            return
        self._followed(snapshot)
        for change in later:
            self.changed(change)
