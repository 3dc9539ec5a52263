"""Letters that wait for shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from fauxtp.cluster._messages.shard_letter import Letter

__all__ = ["Waiting"]


@final
class Waiting:
    """Those of one kind, by shards, in the order in which they came."""

    __slots__ = ("_letters", "_size")

    def __init__(self) -> None:
        self._letters: dict[int, list[Letter]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return how many letters wait, those among them that nobody waits for any more."""
        return self._size

    def __contains__(self, shard: int) -> bool:
        return shard in self._letters

    def __iter__(self) -> Iterator[int]:
        """Yield the shards for which some wait."""
        return iter(list(self._letters))

    def add(self, letter: Letter) -> None:
        """Let a letter wait behind those that do."""
        self._letters.setdefault(letter.shard, []).append(letter)
        self._size += 1

    def take(self, shard: int) -> list[Letter]:
        """Return who waits for a shard, and let them wait no more."""
        letters = self._letters.pop(shard, [])
        self._size -= len(letters)
        return letters

    def drop_over(self) -> None:
        """Let those go that nobody waits for any more."""
        for shard in self:
            for letter in self.take(shard):
                if not letter.is_over:
                    self.add(letter)
