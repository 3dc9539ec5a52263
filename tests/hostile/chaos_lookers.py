"""Who looks into the chaos: in most seasons one asks the agent for all there is, and one watches.

They change nothing: all else is accounted for as without them, and at the end they have kept
nothing of what they were shown.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fauxtp._commands.client import Unreachable, Viewer
from fauxtp.observe import serve

__all__ = ["looked_into"]

QUESTIONS = ("processes", "top", "stacks", "counts")


@contextmanager
def looked_into(world: Any) -> Iterator[None]:
    """Have others look in meanwhile, in two seasons of three."""
    if world.random.random() < 1 / 3:
        yield
        return
    over = threading.Event()
    with serve() as agent:
        lookers = [
            threading.Thread(target=_look, args=(world, look, agent.path, over), daemon=True)
            for look in (_ask, _watch)
        ]
        for looker in lookers:
            looker.start()
        try:
            yield
        finally:
            over.set()
            for looker in lookers:
                looker.join(5)  # a watcher hears something each second
    if world.counted["questions answered"] == 0 or world.counted["pieces watched"] == 0:
        world.fault(f"those who looked in saw nothing: {dict(world.counted)}")


def _look(world: Any, look: Callable[..., None], path: Path, over: threading.Event) -> None:
    try:
        with Viewer(path) as viewer:
            look(world, viewer, over)
    except (Unreachable, ValueError) as error:
        world.fault(f"who looks in is not answered: {error!r}")


def _ask(world: Any, viewer: Viewer, over: threading.Event) -> None:
    for question in itertools.cycle(QUESTIONS):
        list(viewer.ask(question))
        world.count("questions answered")
        if over.wait(0.1):
            return


def _watch(world: Any, viewer: Viewer, over: threading.Event) -> None:
    for _ in viewer.ask("watch"):
        world.count("pieces watched")
        if over.is_set():
            return
