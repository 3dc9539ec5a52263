"""Exploring: a scenario under thousands of schedules, each of which a seed brings back."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator
from itertools import chain

from fauxtp._base.arguments import expect_callable
from fauxtp._base.errors import Travels
from fauxtp._loops.asyncio_examination import insist_on_steps
from fauxtp._loops.current import current_home
from fauxtp.testing.simulation import End, Scenario, Simulations, leaves

__all__ = ["SeedFailed", "explore"]


class SeedFailed(Travels, AssertionError):
    """A scenario fails under the schedule of a seed. What it raised is `__cause__`.

    `seed` is the number that brings the schedule back, `what` the text of the error.

    >>> async def always_fails():
    ...     raise ValueError("x")
    >>> try:
    ...     explore(always_fails, seeds=[17])
    ... except SeedFailed as error:
    ...     print(error.seed, repr(error.__cause__))
    17 ValueError('x')
    """

    def __init__(self, seed: int, what: str) -> None:
        super().__init__(what)
        self.seed = seed


def explore(scenario: Scenario, seeds: int | Iterable[int] = 1000) -> None:
    """Run `scenario()` on asyncio, once per seed, each time in another order of its tasks.

    `scenario` is an async function without arguments: it starts processes, lets them meet,
    and asserts what must be true whoever is quicker. `seeds` is how many schedules are tried,
    or which: `seeds=[17]` is the schedule of seed 17, the same one every time.

    In each of them the default registry is empty; the module `random` is seeded; calls are
    handed off on the spot, or never are; and time is simulated: an hour's timeout takes no
    time, a step of a task up to a millisecond. What fauxtp logs is shown with a failure only.

    Raises `SeedFailed`, with the error as its cause, for the first seed under which the
    scenario raises; leaves a process running; is not done, but nothing is left to run; or has
    an error of which nobody hears, in a task, in a callback, or as an `AssertionError` in a
    process. Other crashes are what supervisors are for. Raises `TypeError` if `scenario` is
    no async function or `seeds` neither a number nor numbers, `ValueError` if there are none,
    and `RuntimeError` where an event loop runs already, or asyncio is not as it is known here.

    Not replayed are threads and input and output (errors), the wall clock, sets of strings.

    >>> import anyio
    >>> from fauxtp import PID, register, whereis
    >>> async def two_who_want_one_name():
    ...     async def take():
    ...         if whereis("store") is None:
    ...             await anyio.sleep(0)  # whatever awaits: here somebody else may be quicker
    ...             assert register("store", PID())
    ...     async with anyio.create_task_group() as task_group:
    ...         task_group.start_soon(take)
    ...         task_group.start_soon(take)
    >>> explore(two_who_want_one_name)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fauxtp.testing.exploring.SeedFailed: seed ...
    """
    expect_callable("scenario", scenario)
    numbers = _numbers(seeds)
    if current_home() is not None:
        raise RuntimeError("explore runs event loops of its own, and here one runs already")
    insist_on_steps()
    with Simulations.begun() as simulations:
        for seed in numbers:
            try:
                end = simulations.run(scenario, seed)
            except BaseException as error:  # an interrupt, or what pytest skips and fails by
                error.add_note(f"explore was at seed {seed}")
                raise
            if end.error is not None:
                again = simulations.run(scenario, seed)
                raise _failed(scenario, seed, end, again) from end.error


def _numbers(seeds: int | Iterable[int]) -> Iterator[int]:
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = range(seeds)
    elif not isinstance(seeds, Iterable):
        raise TypeError(f"expected seeds to be a number or numbers, got {type(seeds).__name__}")
    numbers = iter(seeds)
    for first in numbers:
        return map(_checked, chain((first,), numbers))
    raise ValueError("expected seeds to be at least one")


def _checked(seed: int) -> int:
    if not isinstance(seed, int):
        raise TypeError(f"expected each seed to be an int, got {type(seed).__name__}")
    return seed


def _failed(scenario: Scenario, seed: int, end: End, again: End) -> SeedFailed:
    """Return what to raise for a seed that failed once, and was tried again."""
    same = again.trace == end.trace and type(again.error) is type(end.error)
    replays = "replays it" if same else "does not replay it: more than the schedule decides"
    name = getattr(scenario, "__name__", "scenario")
    errors = "".join(
        line for leaf in leaves(end.error) for line in traceback.format_exception_only(leaf)
    )
    failed = SeedFailed(
        seed,
        f"seed {seed}: {errors}explore({name}, seeds=[{seed}]) {replays}",
    )
    if end.logged:
        lines = map(logging.Formatter().format, end.logged)
        failed.add_note("\n".join(["What fauxtp logged last:", *lines]))
    return failed
