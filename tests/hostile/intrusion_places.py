"""Something comes in at one place after another of a short scene: at every line of fauxtp's.

A program, as it may hang:
`python -m hostile.intrusion_places LOOP GRAIN FIRST STRIDE PATIENCE [FAULT]`. Its places are the
`lines`, or the `opcodes` before which CPython lets something in, in the middle of lines too. It
takes the places FIRST, FIRST + STRIDE, and so on.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import product
from types import FrameType
from typing import Any

import anyio
from anyio.abc import TaskGroup

import fauxtp
from fauxtp import (
    Actor,
    NoProcess,
    ProcessExited,
    call,
    cast,
    cast_nowait,
    exit,
    send,
    wait_exit,
    whereis,
)
from fauxtp._core.process import find_process
from fauxtp.registry import PID
from hostile import intrusion_faults
from hostile.intruded_servers import Accounts, Letter, Victim, Wrong, accounted, overheard
from hostile.intrusion_bonds import Bonds, Witness
from hostile.intrusion_services import Services, scenes
from hostile.opcodes import Places

OURS = os.path.dirname(fauxtp.__file__) + os.sep
TOO_MANY = 100_000


class Listener(Actor):
    """Receives by pattern, and nothing else."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    async def run(self, state: Any) -> Any:
        await self.receive((Letter, self.accounts.handled))


Scene = Callable[["Place", TaskGroup], Awaitable[None]]


def is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((OURS, intrusion_faults.__file__))


class Place:
    """One place of a scene, where something comes in."""

    def __init__(self, number: int, intrude: Callable[[Place], object]) -> None:
        self.left, self.do = number, intrude
        self.accounts = Accounts()
        self.ended: list[PID] = []
        self.bonds = Bonds()
        self.services = Services(self.accounts)

    def come(self, frame: Any, *_: Any) -> Any:
        if not is_ours(frame):
            return None
        self.pass_by()
        return self.come

    def pass_by(self, _: object = None) -> None:
        self.left -= 1
        if self.left == -1:
            self.do(self)

    async def play(self, scene: Scene, grain: str) -> None:
        async with anyio.create_task_group() as group:
            sys.settrace(Places(is_ours, self.pass_by) if grain == "opcodes" else self.come)
            try:
                with suppress(NoProcess, ProcessExited):
                    await scene(self, group)
            finally:
                sys.settrace(None)
            if not self.ended:  # who was asked once need not be asked again
                exit("victim")
            for pid in self.ended:
                await wait_exit(pid)

    def end(self, reason: str) -> None:
        pid = whereis("victim")
        if pid is not None and exit(pid, reason):
            self.ended.append(pid)


async def start(place: Place, group: TaskGroup) -> None:
    await Victim.start(place.accounts, task_group=group, register_as="victim")
    await anyio.sleep(0)
    if not place.ended:
        exit("victim")
    await wait_exit("victim")


async def ask(place: Place, group: TaskGroup) -> None:
    pid = await Victim.start(place.accounts, task_group=group, register_as="victim")
    for number, how in enumerate(("now", "turn", "wait")):
        if await call(pid, (how, number), timeout=None) != number:
            raise Wrong(f"another answer to {how}")


async def tell(place: Place, group: TaskGroup) -> None:
    pid = await Victim.start(place.accounts, task_group=group, register_as="victim")
    await cast(pid, place.accounts.letter())
    await anyio.sleep(0)
    await send(pid, place.accounts.letter())
    await anyio.sleep(0)


async def receive(place: Place, group: TaskGroup) -> None:
    await Listener.start(place.accounts, task_group=group, register_as="victim")
    await anyio.sleep(0)
    await send("victim", place.accounts.letter())
    await anyio.sleep(0)


async def watch(place: Place, group: TaskGroup) -> None:
    await Victim.start(place.accounts, task_group=group, register_as="victim")
    await Witness.start(place.bonds, task_group=group, register_as="witness")
    await wait_exit("witness")


Intrusion = Callable[["Place"], object]
INTRUSIONS: tuple[Intrusion, ...] = (
    lambda place: place.end("shutdown"),
    lambda place: place.end("kill"),
    lambda place: cast_nowait("victim", place.accounts.letter()),
)
BONDS: tuple[Intrusion, ...] = (
    lambda place: place.bonds.monitor(),
    lambda place: place.bonds.demonitor(),
    lambda place: place.bonds.link(),
    lambda place: place.bonds.unlink(),
)
SCENES: tuple[tuple[Scene, Intrusion], ...] = (
    *product((start, ask, tell, receive), INTRUSIONS),
    *product((watch,), (*BONDS, INTRUSIONS[1])),
    *scenes(INTRUSIONS),
)


def intrude(
    loop: str, grain: str, scene: Scene, intrusion: Callable[[Place], object], number: int
) -> bool:
    """Let it come in at that place; return False if the scene has not so many."""
    place = Place(number, intrusion)
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    with accounted(place.accounts), overheard():
        anyio.run(place.play, scene, grain, backend=backend, backend_options=options)
    place.accounts.judge()
    if any(find_process(pid) is not None for pid in place.ended):
        raise Wrong("somebody has not ended")
    return place.left < 0


def main(loop: str, grain: str, first: str, stride: str, patience: str, fault: str = "") -> None:
    count = 0
    with intrusion_faults.planted(fault):
        for scene, intrusion in SCENES:
            if scene.__name__ != intrusion_faults.SCENES.get(fault, scene.__name__):
                continue
            for number in range(int(first), TOO_MANY, int(stride)):
                faulthandler.dump_traceback_later(float(patience), exit=True)
                print(f"in {scene.__name__}, at {number}:", file=sys.stderr, flush=True)  # noqa: T201
                if not intrude(loop, grain, scene, intrusion, number):
                    break
                count += 1
    print(count)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
