"""Perform plays: `stage asyncio|uvloop|trio|eager [FAULT]`, a play in each line that is read.

For each, a line is printed of what came of it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import sys
from collections import Counter
from typing import Any

import anyio

from fauxtp import (
    DeadLetter,
    Down,
    Exit,
    dead_letters,
    exit,
    is_alive,
    processes,
    registered,
    tree,
    wait_exit,
    whereis,
)
from fauxtp._core.crash_storms import storms
from hostile.actions import act, will_end
from hostile.plays import Play
from hostile.stage_faults import FAULTS
from hostile.troupe import Frame, Player, Troupe

PATIENCE = 1  # seconds, for one play


class Ear(logging.Handler):
    """Hears what is logged of crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


async def perform(play: Play) -> dict[str, Any]:
    """Perform a play; return what came of it, the same on whatever it runs."""
    letters: list[DeadLetter] = []
    ear, end = Ear(), "well"
    storms.forget()
    logger = logging.getLogger("fauxtp")
    logger.handlers, logger.propagate = [ear], False
    troupes: list[Troupe] = []
    with dead_letters.observed_by(letters.append):
        try:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    troupes.append(Troupe(group, act))
                    await on_stage(troupes[0], play)
        except TimeoutError:
            end = "hangs"
        except Exception as error:
            end = f"fails: {troupes[0].text(error)}"
    (troupe,) = troupes
    reasons = Counter(letter.reason for letter in letters if is_certain(troupe, letter))
    for log in troupe.logs.values():
        sort_news(log)
    return {
        "end": end,
        "left": [tree(), registered()],
        "logs": dict(sorted(troupe.logs.items())),
        "letters": dict(sorted(reasons.items())),
        "logged": sorted(map(troupe.text, ear.heard)),
    }


def is_certain(troupe: Troupe, letter: DeadLetter) -> bool:
    """Return whether a message is lost in every run."""
    if letter.reason == "late reply":
        return not troupe.has_late_replies
    if isinstance(letter.message, Down | Exit):
        return False  # it may be for one who ends at the same time
    return not any(one.tainted for one in troupe.players if letter.to in one.addresses)


async def on_stage(troupe: Troupe, play: Play) -> None:
    frame = Frame("stage", None, None)
    for label, traits in enumerate((0, 4, 5)):
        name = f"p{label}" if traits & 4 else None
        await Player.start(troupe, traits, [], frame, task_group=troupe.group, register_as=name)
    for step in play:
        await troupe.perform([step], frame)
        await troupe.settle()
        await rest(troupe)
    alive = [one.label for one in troupe.players if one.address and is_alive(one.address)]
    troupe.note(frame, "alive", alive)
    names = {name: troupe.label(pid) for name in registered() if (pid := whereis(name))}
    troupe.note(frame, "names", names)
    for pid in processes():
        if is_alive(pid):
            will_end(troupe.pids[pid])
            exit(pid, "kill")
            troupe.note(frame, "ends", troupe.label(pid), str(await wait_exit(pid)))
            await troupe.settle()
    troupe.group.cancel_scope.cancel()


async def rest(troupe: Troupe) -> None:
    """Begin anew, when nobody does anything: without those of whom nobody knows how they are."""
    for player in troupe.players:
        player.unread, player.is_dying, player.may_hear_no_more = 0, False, False
        if player.tainted and player.address is not None:
            exit(player.address, "kill")
            await wait_exit(player.address)


def sort_news(log: list[Any]) -> None:
    """Put in order what came from several who ended at the same time."""
    start = 0
    while start < len(log):
        end = start
        while end < len(log) and log[end][0] == "news":
            end += 1
        log[start:end] = sorted(log[start:end], key=repr)
        start = max(end, start + 1)


async def perform_all() -> None:
    loud: list[str] = []
    if is_asyncio := sys.argv[1] != "trio":
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: loud.append(context["message"]))
        if sys.version_info >= (3, 12) and sys.argv[1] == "eager":
            loop.set_task_factory(asyncio.eager_task_factory)
    for line in sys.stdin:
        faulthandler.dump_traceback_later(10 * PATIENCE, exit=True)
        outcome = await perform(json.loads(line))
        if is_asyncio:
            outcome["loud"] = loud.copy()
            loud.clear()
        else:
            outcome["loud"] = []
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


def main() -> None:
    for fault in sys.argv[2:]:
        FAULTS[fault]()
    if sys.argv[1] == "uvloop":
        anyio.run(perform_all, backend="asyncio", backend_options={"use_uvloop": True})
    else:
        anyio.run(perform_all, backend="trio" if sys.argv[1] == "trio" else "asyncio")


if __name__ == "__main__":
    main()
