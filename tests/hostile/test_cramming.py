"""Who comes in while a bounded mailbox is at work, and crams it full, finds no room too many.

At one place after another of what is done to the mailbox, in the middle of lines too, somebody
sends to it until it is full. Then it holds no more than it should, whoever waits for room gets
some, and each message comes out once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from fauxtp import ANY, Mailbox, MailboxFull, call, send, send_nowait
from fauxtp._core import bounded_queue, given_up, queue, receiving, room_line, wait_for_room
from fauxtp._core.room_line import Line
from hostile import effort
from hostile.opcodes import Places

FILES = bounded_queue, given_up, queue, receiving, room_line, wait_for_room
OURS = tuple(str(module.__file__) for module in FILES)
ENOUGH = 10  # more than there is ever room for
STRIDE = 1 if effort.MINUTES else 17  # of the places, one in so many


class Crammed:
    """A mailbox that is crammed full at one place."""

    def __init__(self, room: int, place: int) -> None:
        self.box, self.left = Mailbox(max_size=room), place
        self.sent = 0
        self.read: list[Any] = []
        self.inside = False
        self.most, self.ended = 0, False

    def come(self, _: FrameType) -> None:
        if self.inside:
            return
        self.inside = True
        try:
            self.left -= 1
            if self.left == -1:
                for _number in range(ENOUGH):
                    self.send()
            self.most = max(self.most, len(self.box))
        finally:
            self.inside = False

    def send(self) -> None:
        try:
            send_nowait(self.box.pid, "message")
        except MailboxFull:
            return
        self.sent += 1

    async def send_in_time(self) -> None:
        await send(self.box.pid, "message")
        self.sent += 1

    async def play(self, scene: Scene) -> None:
        async with anyio.create_task_group() as group:
            sys.settrace(Places(lambda frame: frame.f_code.co_filename in OURS, self.come))
            try:
                group.start_soon(self.run, scene)
                await others()
                await self.drain()
            finally:
                sys.settrace(None)
            await self.drain()
            group.cancel_scope.cancel()  # who waits still, though there is room

    async def run(self, scene: Scene) -> None:
        await scene(self)
        self.ended = True

    async def drain(self) -> None:
        while len(self.box):
            await self.box.receive((ANY, self.read.append))
            await others()


async def others() -> None:
    """Wait until nobody has anything to do."""
    for _ in range(10):
        await checkpoint()


Scene = Callable[[Crammed], Coroutine[Any, Any, None]]


async def put_in(crammed: Crammed) -> None:
    crammed.send()
    await crammed.send_in_time()
    crammed.send()


async def wait_until_there_is_room(crammed: Crammed) -> None:
    for _ in range(crammed.box.max_size + 2):
        await crammed.send_in_time()


async def select(crammed: Crammed) -> None:
    for _ in range(crammed.box.max_size - 1):
        crammed.send()
    async with anyio.create_task_group() as group:
        group.start_soon(send, crammed.box.pid, 1)
        await crammed.box.receive((int, str))
        group.start_soon(crammed.send_in_time)


async def give_up(crammed: Crammed) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(call, crammed.box.pid, "request", None)
        await others()
        crammed.send()
        group.cancel_scope.cancel()
    crammed.box._queue.sweep()
    await crammed.send_in_time()


SCENES = put_in, wait_until_there_is_room, select, give_up


def cram(scene: Scene, room: int, place: int, stride: int) -> int:
    """Cram it at that place, and at each that is `stride` further; return at how many."""
    places = 0
    while True:
        crammed = Crammed(room, place)
        anyio.run(crammed.play, scene)
        assert crammed.most <= room, f"{crammed.most} messages at place {place}"
        assert crammed.ended, f"somebody waits still, at place {place}"
        assert crammed.read.count("message") == crammed.sent, f"another number at place {place}"
        if crammed.left >= 0:
            return places
        place, places = place + stride, places + 1


@pytest.mark.parametrize("room", [1, 2, 3])
@pytest.mark.parametrize("scene", SCENES)
def test_a_mailbox_that_is_crammed_in_between_has_no_room_too_many(
    scene: Scene, room: int
) -> None:
    places = cram(scene, room, effort.SEED % STRIDE, STRIDE)
    effort.report(f"crammed, {scene.__name__}, room for {room}: at {places:,} places")


@pytest.mark.parametrize("scene", [put_in, wait_until_there_is_room, select])
def test_a_sender_that_keeps_no_room_is_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Line, "keep", lambda line, who: None)
    with pytest.raises(AssertionError, match=r"^\d messages at place"):
        cram(scene, 2, 0, 1)
