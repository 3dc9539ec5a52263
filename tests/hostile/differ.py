"""Compare what comes of plays: by hand-off and without, compiled and not, on every loop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from hostile import programs
from hostile.plays import Play, play_of, shrunk

PATIENCE = 20  # seconds, for the end of a program
FOR_SHRINKING = 20  # seconds

Outcome = dict[str, Any]


class Stage:
    """A program that performs plays, one after the other. It ends by itself if it hangs."""

    def __init__(self, name: str, *arguments: str, **environment: str) -> None:
        self.name = name
        self._arguments, self._environment = arguments, environment
        self._program: programs.Program | None = None

    def _running(self) -> tuple[IO[str], IO[str]]:
        if self._program is None:
            self._program = programs.start(
                "stage",
                *self._arguments,
                before=(),
                options=(),
                stdin=subprocess.PIPE,
                **self._environment,
            )
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        return self._program.stdin, self._program.stdout

    def give(self, play: Play) -> None:
        """Have `play` performed; `take` tells what came of it."""
        plays, _ = self._running()
        plays.write(json.dumps(play) + "\n")
        plays.flush()

    def take(self) -> Outcome:
        """Return what came of the last play; if the program does not say, how it ended."""
        _, outcomes = self._running()
        line = outcomes.readline()
        if not line:
            return {"end": f"the program ended: {self.close()}"}
        outcome: Outcome = json.loads(line)
        return outcome

    def close(self) -> str:
        """End the program; return the noise that it has made."""
        program, self._program = self._program, None
        return "" if program is None else programs.end_of(program, PATIENCE).stderr


@contextmanager
def staged(stages: Iterable[Stage]) -> Iterator[list[Stage]]:
    """Have these stages, of which the first is the standard; afterwards, end them."""
    opened, noise = list(stages), ""
    try:
        yield opened
    finally:
        for stage in opened:
            noise += stage.close()
    assert not noise, f"noise on stderr:\n{noise}"


def differences(stages: list[Stage], play: Play) -> list[str]:
    """Return in what the outcomes of `play` differ from that on the first stage."""
    for stage in stages:
        stage.give(play)
    standard, *others = [stage.take() for stage in stages]
    found = [f"{stages[0].name}: {standard['end']}"] if standard["end"] != "well" else []
    for stage, outcome in zip(stages[1:], others, strict=True):
        found += [f"{stage.name}: {line}" for line in _compared("", standard, outcome)]
    return found


def _compared(where: str, standard: Any, outcome: Any) -> list[str]:
    if standard == outcome:
        return []
    if isinstance(standard, dict) and isinstance(outcome, dict):
        keys = sorted({*standard, *outcome})
        parts = [_compared(f"{where}/{key}", standard.get(key), outcome.get(key)) for key in keys]
        return [line for part in parts for line in part]
    return [f"{where}: {outcome} in place of {standard}"]


def found_by(stages: list[Stage], seed: int) -> str:
    """Return in what the outcomes of a seed's play differ, as text; '' if in nothing."""
    play = play_of(seed)
    lines = differences(stages, play)
    if not lines:
        return ""
    end = time.monotonic() + FOR_SHRINKING
    small = shrunk(play, lambda one: time.monotonic() < end and bool(differences(stages, one)))
    again = differences(stages, small)
    how = [json.dumps(small), *again] if again else [json.dumps(play), *lines, "but not again"]
    return "\n  ".join([f"seed {seed}:", *how])


def all_stages() -> list[Stage]:
    """Return a stage for each way to run; the first is without hand-off."""
    stages = [
        Stage("without hand-off", "asyncio", FAUXTP_HANDOFF="never"),
        Stage("with hand-off", "asyncio", FAUXTP_HANDOFF="auto"),
        Stage("twins", "asyncio", FAUXTP_EXTENSIONS="never", FAUXTP_HANDOFF="auto"),
        Stage("trio", "trio"),
    ]
    if sys.platform != "win32":
        stages.append(Stage("uvloop", "uvloop", FAUXTP_HANDOFF="auto"))
    if sys.version_info >= (3, 12):
        stages.append(Stage("eager tasks", "eager", FAUXTP_HANDOFF="auto"))
    return stages
