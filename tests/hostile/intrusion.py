"""Something comes in while the whole of the runtime is at work, at one place after another.

A program, as it may hang: `python -m hostile.intrusion LOOP WAY SEED RUNS PATIENCE [FAULT]`. A
run is a play of intruded.py; in some, something comes in once, in others again and again. What
a run does follows from the seed; but for signals, which come when they come.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, ClassVar

import anyio

import fauxtp
from hostile import intrusion_faults
from hostile.intruded import INTRUSIONS, System, who_is_near
from hostile.intruded_servers import accounted, overheard
from hostile.opcodes import Places

ENOUGH = 600  # intrusions in a run: if more came in than can be handled, it would not end
PLACES = 10_000  # about so many lines are there in a run
OFTEN = len(INTRUSIONS)  # at a place where somebody is handled
SELDOM = 2  # at another
RARELY = 0.003  # the probability that it comes in where it has been often
SIGNALS = 0.0003  # seconds between two


class Intruder:
    """Comes in at some of the places that are passed: the sooner, the less it has been there."""

    been: ClassVar[Counter[object]] = Counter()

    def __init__(self, system: System, dice: random.Random) -> None:
        self.system, self.dice = system, dice
        self.inside = False
        self.left = 1 if dice.random() < 0.1 else ENOUGH
        self.passed, self.first = 0, dice.randrange(PLACES) if dice.random() < 0.5 else 0

    def come(self, frame: Any, *_: Any) -> Any:
        self.passed += 1
        if self.passed > self.first and self.dice.random() < 0.5:
            self.enter(0, frame)
        return self.come

    def enter(self, number: int, frame: Any) -> None:
        if self.inside or not self.left:
            return
        self.inside = True
        try:
            near, place = None, None
            if isinstance(frame, FrameType):
                near = who_is_near(frame)
                place = frame.f_code, frame.f_lineno, self.system.is_mortal(near)
            often = OFTEN if near is not None else SELDOM
            if number or self.been[place] < often or self.dice.random() < RARELY:
                self.left -= 1
                self.been[place] += 1
                self.system.intrude(near, self.been[place] - 1)
        finally:
            self.inside = False

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Each new line of the runtime and of what it stands upon, and each call there."""
        sys.settrace(lambda frame, *_: self.come(frame) if _is_ours(frame) else None)
        try:
            yield
        finally:
            sys.settrace(None)

    @contextmanager
    def opcodes(self) -> Iterator[None]:
        """Each place where CPython lets something in, within lines too."""
        sys.settrace(Places(_is_ours, self.come))
        try:
            yield
        finally:
            sys.settrace(None)

    @contextmanager
    def collections(self) -> Iterator[None]:
        """Each collection, of which there are as many as Python can be moved to."""
        threshold = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self.come)
        gc.set_threshold(1, 1000, 1000)
        try:
            yield
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(self.come)
            gc.unfreeze()

    @contextmanager
    def finalisers(self) -> Iterator[None]:
        """Each end of a thing that a letter carries, or that a collection finds in a cycle."""
        threshold = gc.get_threshold()
        gc.collect()
        gc.freeze()
        self.system.accounts.load = lambda: Dropped(self)
        gc.set_threshold(1)
        Dropped(self).drop()
        try:
            yield
        finally:
            gc.set_threshold(*threshold)
            self.system.accounts.load = type(None)
            self.left = 0
            gc.unfreeze()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Each signal, of which there is a storm."""
        signal.signal(signal.SIGALRM, self.enter)
        signal.setitimer(signal.ITIMER_REAL, SIGNALS, SIGNALS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Dropped:
    """Comes in as it is finalised, and leaves another in a cycle behind."""

    def __init__(self, intruder: Intruder) -> None:
        self.intruder = intruder
        self.itself: Dropped | None = None

    def drop(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        intruder = self.intruder
        if intruder.left:
            intruder.enter(0, sys._getframe(1))
            if self.itself is not None:
                Dropped(intruder).drop()


def _home(module: ModuleType) -> str:
    return os.path.join(os.path.dirname(module.__file__ or ""), "")


OURS = [_home(fauxtp), _home(anyio), _home(asyncio), intrusion_faults.__file__]


def _is_ours(frame: Any) -> bool:
    return frame.f_code.co_filename.startswith(tuple(OURS))  # type: ignore[no-any-return]


async def run(system: System, way: Callable[[], Any], troubles: list[Any]) -> None:
    loop = asyncio._get_running_loop()
    if loop is not None:
        loop.set_exception_handler(lambda _, told: troubles.append(told))
    with way():
        await system.play()


def intrude(loop: str, way: str, seed: str) -> int:
    """Do one run, and judge; return how often something came in."""
    dice = random.Random(seed)
    system = System(dice)
    intruder = Intruder(system, dice)
    troubles: list[Any] = []
    sys.unraisablehook = troubles.append
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    with accounted(system.accounts), overheard():
        anyio.run(
            run,
            system,
            getattr(intruder, way),
            troubles,
            backend=backend,
            backend_options=options,
        )
    system.judge()
    assert not troubles, troubles
    return system.intrusions


def main(loop: str, way: str, seed: str, runs: str, patience: str, fault: str = "") -> None:
    if loop == "trio":
        import trio  # noqa: PLC0415

        OURS.append(_home(trio))
    with intrusion_faults.planted(fault):
        count = 0
        for number in range(int(runs)):
            faulthandler.dump_traceback_later(float(patience), exit=True)
            print(f"in the run {seed}/{number}:", file=sys.stderr, flush=True)  # noqa: T201
            count += intrude(loop, way, f"{seed}/{number}")
            assert threading.active_count() == 1
    print(count)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
