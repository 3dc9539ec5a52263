"""The postboxes of the chaos: mailboxes of no process, with several impatient readers."""

from __future__ import annotations

from random import Random
from typing import Any

from anyio import create_task_group, move_on_after
from anyio.lowlevel import checkpoint

from fauxtp import ANY, Cast, Mailbox, MailboxClosed, ReceiveTimeout
from hostile.chaos_letter import Event, How, Letter, Order
from hostile.chaos_post import post
from hostile.chaos_world import World

__all__ = ["Postbox"]

READERS, WRITERS, LETTERS = 3, 3, 10  # of one mailbox; the letters of each writer
SIZES = (0, 1, 2)


def read(message: Letter | Cast) -> None:
    letter = message.request if isinstance(message, Cast) else message
    letter.note(Event.BEGUN)


class Postbox:
    """One mailbox after the other: read, written to, closed or forgotten."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = Random(f"{world.seed} postbox {number}")

    async def stand(self) -> None:
        while self.world.calling:
            mailbox = Mailbox(self.random.choice(SIZES))
            self.world.witness(mailbox)
            await self._use(mailbox)
            self.world.count("postboxes")
            if self.random.random() < 0.5:
                mailbox.close()
            del mailbox  # which makes dead letters of what is in there, too
            await self.world.breathe()

    async def _use(self, mailbox: Mailbox) -> None:
        async with create_task_group() as group:
            for _ in range(READERS):
                group.start_soon(self._read, mailbox)
            async with create_task_group() as writers:
                for _ in range(WRITERS):
                    writers.start_soon(self._write, mailbox)
                if self.random.random() < 0.3:
                    await checkpoint()
                    mailbox.close()
            group.cancel_scope.cancel()

    async def _read(self, mailbox: Mailbox) -> None:
        patterns: list[Any] = [(Letter, read), (Cast, read)]
        if self.random.random() < 0.5:
            patterns = [(ANY, read)]
        while True:
            with move_on_after(self.random.random() * 0.003):
                try:
                    await mailbox.receive(*patterns, timeout=self.random.random() * 0.003)
                except MailboxClosed:
                    return
                except ReceiveTimeout:
                    pass
            await checkpoint()

    async def _write(self, mailbox: Mailbox) -> None:
        sender = self.world.new_sender()
        for _ in range(LETTERS):
            how = self.random.choice((How.CAST, How.SEND, How.SEND_NOWAIT, How.CAST_NOWAIT))
            with move_on_after(self.random.random() * 0.005):
                letter = self.world.letter(sender, mailbox.pid, how, Order.WORK)
                await post(letter, None)
            await checkpoint()
