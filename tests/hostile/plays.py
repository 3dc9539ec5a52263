"""Plays: random programs for processes, as plain data that a seed makes and that can be shrunk.

A play is a list of steps, a step a list: what to do, with whom, and what they do meanwhile,
which is a list of steps again. What each means stands in `hostile.troupe`. Whatever is left out
of a play, what remains is one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Play", "play_of", "shrunk"]

Play = list[Any]

DEEPEST = 4
REASONS = ["bye", "bye", "kill"]

# What to do, and how often compared to the others.
LOCAL = {"log": 3, "pause": 3, "wait": 1, "group": 1}
QUIET = {"link": 2, "unlink": 1, "monitor": 3, "demonitor": 1, "register": 2, "unregister": 1}
LOOK = {"whereis": 1, "alive": 1, "find": 1, "uncancel": 1}
OTHERS = {"call": 14, "later": 4, "start": 6, "exit": 6, "await": 1, "delegate": 3, "task": 2}
SEND = {"cast": 4, "send": 2}
SCOPES = {"scope": 9, "cancel": 7}
ENDS = {"exit self": 2, "stop": 1, "crash": 2, "finish": 1}

# What else there is to say of a step; of the others, a number.
PARTS: dict[str, list[str]] = {
    "pause": ["turns"],
    "wait": ["turns"],
    "group": ["n", "seldom"],
    "call": ["n", "script"],
    "later": ["n", "script"],
    "cast": ["n", "script"],
    "start": ["n", "n", "script"],
    "exit": ["n", "reason", "script"],
    "delegate": ["script"],
    "scope": ["seldom", "script"],
    "task": ["seldom", "alone"],
    "register": ["n", "n"],
    "exit self": ["reason"],
    "finish": ["reason"],
}


class _Author:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def play(self) -> Play:
        return [self.step(0) for _ in range(self.random.randrange(2, 7))]

    def script(self, depth: int) -> Play:
        length = self.random.choice([0, 1, 1, 2, 2, 3, 4])
        return [self.step(depth) for _ in range(length)]

    def alone(self) -> Play:
        """Return what concerns nobody but who does it."""
        what = self.random.choices(["log", "pause"], k=self.random.randrange(3))
        return [self.fill(name, DEEPEST) for name in what]

    def step(self, depth: int) -> Play:
        chances = {**LOCAL, **QUIET, **LOOK, **SCOPES}
        if depth < DEEPEST:
            chances |= {**OTHERS, **SEND}
        if depth:
            chances |= ENDS
        (what,) = self.random.choices(list(chances), list(chances.values()))
        return self.fill(what, depth + 1)

    def fill(self, what: str, depth: int) -> Play:
        """Return the step `what` with what belongs to it."""
        parts = [self.part(kind, depth) for kind in PARTS.get(what, ["n"])]
        if what == "cast" and depth > 1:
            parts[1] = self.alone()  # nobody waits for it, so it may not have others do anything
        if what == "group":
            parts += [self.alone() for _ in range(self.random.randrange(3))]
        return [what, *parts]

    def part(self, kind: str, depth: int) -> Any:
        match kind:
            case "n":
                return self.random.randrange(6)
            case "turns":
                return self.random.choice([1, 1, 2, 5])
            case "seldom":
                return self.random.randrange(4) == 0
            case "reason":
                return self.random.choice(REASONS)
            case "alone":
                return self.alone()
        return self.script(depth) if depth <= DEEPEST else []


def play_of(seed: int) -> Play:
    """Return the play of a seed."""
    return _Author(seed).play()


def _smaller(play: Play) -> Iterator[Play]:
    """Return plays with less in them: without some steps, with what is in a step in its place."""
    for size in {len(play), len(play) // 2, 1} - {0}:
        for start in range(0, len(play), size):
            yield play[:start] + play[start + size :]
    for place, step in enumerate(play):
        before, after = play[:place], play[place + 1 :]
        for index, part in enumerate(step):
            if isinstance(part, list):
                yield [*before, *part, *after]
                for fewer in _smaller(part):
                    yield [*before, [*step[:index], fewer, *step[index + 1 :]], *after]


def shrunk(play: Play, fails: Callable[[Play], bool], tries: int = 400) -> Play:
    """Return a smallest play found, within so many tries, that still fails."""
    while True:
        for smaller in _smaller(play):
            if tries <= 0:
                return play
            tries -= 1
            if fails(smaller):
                play = smaller
                break
        else:
            return play
