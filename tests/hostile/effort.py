"""How much a hostile test does: a little under `make test`, much more under `make torture`.

`FAUXTP_TORTURE_MINUTES` is the time that all of them have together; without it they are short.
Its seed is the same each time, so that a change is not held up by what it has nothing to do with;
torture takes a new one, printed above the tests. `FAUXTP_SEED` replays what a run did.
"""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Sequence
from typing import TypeVar

MINUTES = float(os.environ.get("FAUXTP_TORTURE_MINUTES") or 0)
SEED = int(os.environ.get("FAUXTP_SEED") or (random.randrange(2**32) if MINUTES else 20261129))
os.environ["FAUXTP_SEED"] = str(SEED)  # for all processes that share the tests

figures: list[str] = []

T = TypeVar("T")


def times(short: int, long: int) -> int:
    """Return how often a test does what it does: `short`, and `long` in 10 minutes of torture."""
    return max(short, round(long * MINUTES / 10))


def seconds(short: float, share: float) -> float:
    """Return how long a test goes on: `short`, or in torture its share of all the minutes."""
    return max(short, MINUTES * 60 * share)


def one_in(number: int, them: Sequence[T]) -> Sequence[T]:
    """Return one in so many of them, by the seed; in torture, all."""
    return them if MINUTES else them[SEED % number :: number]


def report(figure: str) -> None:
    """Print a line of figures below the tests: what was done, and what was found."""
    figures.append(figure)


def where() -> str:
    """Say of which version, on what and with which seed the figures are."""
    from importlib.metadata import version  # noqa: PLC0415 - programs have no use for it

    python = f"{platform.python_implementation()} {platform.python_version()}"
    long = f", FAUXTP_TORTURE_MINUTES={MINUTES:g}" if MINUTES else ""
    return f"fauxtp {version('fauxtp')}, {python}, {platform.system()}, FAUXTP_SEED={SEED}{long}"
