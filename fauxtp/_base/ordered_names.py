"""Names in alphabetical order: which of them begin with a text is known without a look at all."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container
from operator import itemgetter
from typing import Self, final

__all__ = ["PATIENCE", "SCARCE", "OrderedNames"]

SCARCE = 8  # of so many names one at most, or it is quicker to look at all
PATIENCE = 4  # tries to have in order what others keep changing
SIZE = 1024  # names of a block as it is made; one of twice as many is split
CHUNK = 1 << 15  # names that are sorted in one go, in some 20 ms
Place = tuple[int, int]  # of a block, and in it


@final
class OrderedNames:
    """Names in alphabetical order, each with the place that it has in the order of registration.

    It is never changed: what is made of it by `changed` shares all blocks but those that are
    other ones. So whoever has one can read it, whatever others do meanwhile.

    >>> names = OrderedNames.of(["b:2", "a", "b:1"])
    >>> names.count("b:"), names.beginning_with("b:")
    (2, ['b:2', 'b:1'])
    """

    __slots__ = ("_blocks", "_firsts", "_next", "_numbers", "length")

    def __init__(
        self,
        blocks: list[list[str]],
        numbers: list[array[int]],
        firsts: list[str],
        length: int,
        after: int,
    ) -> None:
        self._blocks: list[list[str]] = blocks  # none of them is empty
        self._numbers: list[array[int]] = numbers  # of the same names
        self._firsts: list[str] = firsts  # of each block
        self._next: int = after  # the number of the next name
        self.length: int = length

    @classmethod
    def of(cls, names: list[str]) -> Self:
        """Order `names`, which come in order of registration."""
        order: list[int] = []
        for start in range(0, len(names), CHUNK):  # between which other threads run
            chunk = range(start, min(start + CHUNK, len(names)))
            order += sorted(chunk, key=names.__getitem__)
        order.sort(key=names.__getitem__)
        parts = [order[start : start + SIZE] for start in range(0, len(order), SIZE)]
        blocks = [[names[number] for number in part] for part in parts]
        numbers = [array("q", part) for part in parts]
        return cls(blocks, numbers, [block[0] for block in blocks], len(names), len(names))

    def changed(self, touched: list[str], table: Container[str]) -> Self:
        """Return what has become of it after names were `touched`, in that order.

        Each of them may have come, gone, or both: it is there now if it is in `table`.
        """
        blocks, numbers, firsts = self._blocks[:], self._numbers[:], self._firsts[:]
        length = self.length
        last = {name: self._next + place for place, name in enumerate(touched)}
        owned: set[int] = set()  # blocks of our own, by their identity
        for name, number in last.items():
            at = max(0, bisect_right(firsts, name) - 1)
            if not blocks:
                blocks, numbers, firsts = [[]], [array("q")], [name]
            if id(blocks[at]) not in owned:
                blocks[at], numbers[at] = blocks[at][:], numbers[at][:]
                owned.add(id(blocks[at]))
            length -= len(blocks[at])
            _put(blocks[at], numbers[at], name, number if name in table else None)
            length += len(blocks[at])
            if not blocks[at]:
                del blocks[at], numbers[at], firsts[at]
                continue
            firsts[at] = blocks[at][0]
            if len(blocks[at]) > 2 * SIZE:
                blocks[at : at + 1] = blocks[at][:SIZE], blocks[at][SIZE:]
                numbers[at : at + 1] = numbers[at][:SIZE], numbers[at][SIZE:]
                firsts.insert(at + 1, blocks[at + 1][0])
                owned |= {id(blocks[at]), id(blocks[at + 1])}
        return type(self)(blocks, numbers, firsts, length, self._next + len(touched))

    def count(self, prefix: str) -> int:
        """Return how many names begin with `prefix`."""
        (first, start), (last, end) = self._range(prefix)
        return sum(map(len, self._blocks[first:last])) - start + end

    def are_few(self, prefix: str) -> bool:
        """Whether it is quicker to ask for those that begin with `prefix` than to look at all."""
        return self.count(prefix) <= self.length // SCARCE

    def beginning_with(self, prefix: str) -> list[str]:
        """Return the names that begin with `prefix`, in order of registration."""
        (first, start), (last, end) = self._range(prefix)
        names: list[str] = []
        numbers = array("q")
        for at in range(first, min(last + 1, len(self._blocks))):
            part = slice(start if at == first else 0, end if at == last else None)
            names += self._blocks[at][part]
            numbers += self._numbers[at][part]
        return [name for _, name in sorted(zip(numbers, names, strict=True))]

    def _range(self, prefix: str) -> tuple[Place, Place]:
        """Return where those that begin with `prefix` begin and end."""
        beginning = itemgetter(slice(len(prefix)))
        first = max(0, bisect_left(self._firsts, prefix) - 1)
        last = max(0, bisect_right(self._firsts, prefix, key=beginning) - 1)
        if not self._blocks:
            return (0, 0), (0, 0)
        start = bisect_left(self._blocks[first], prefix)
        return (first, start), (last, bisect_right(self._blocks[last], prefix, key=beginning))


def _put(names: list[str], numbers: array[int], name: str, number: int | None) -> None:
    """Let a block have `name` under `number`; not at all, if that is None."""
    at = bisect_left(names, name)
    if at < len(names) and names[at] == name:
        if number is None:
            del names[at], numbers[at]
        else:
            numbers[at] = number
    elif number is not None:
        names.insert(at, name)
        numbers.insert(at, number)
