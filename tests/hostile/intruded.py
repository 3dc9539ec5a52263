"""A small system, what intrudes upon it, and what is to come of both.

Whoever intrudes does one thing at a time: it sends, casts, ends, answers, registers. Each
message is accounted for; who was asked to end has ended; each call has its own answer, or the
error that fits; and nothing is raised or logged anywhere.
"""

from __future__ import annotations

import random
from contextlib import suppress
from types import FrameType
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    ANY,
    Mailbox,
    MailboxFull,
    NoProcess,
    ProcessExited,
    call,
    cast,
    cast_nowait,
    demonitor,
    exit,
    link,
    monitor,
    register,
    registered,
    reply,
    send,
    send_nowait,
    unlink,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import Process, find_process
from fauxtp._core.running_process import current_process
from fauxtp._loops.asyncio_loop import AsyncioWaiter
from fauxtp.registry import PID
from hostile.intruded_servers import (
    ROOM,
    Accounts,
    Chief,
    Letter,
    Narrow,
    Prey,
    Server,
    Victim,
    Wrong,
)

NAMES = "spare", "spare too"


NEAR = 0.9  # how probable it is that it is done to whom the interrupted code does something


def who_is_near(frame: FrameType | None) -> PID | None:
    """Return the PID of whom the interrupted code has in its hands, or None."""
    for _ in range(3):
        if frame is None:
            return None
        for value in frame.f_locals.values():
            if isinstance(value, AsyncioWaiter):
                value = getattr(value, "server", None)  # noqa: PLW2901
            if isinstance(value, (Mailbox, Process)):
                return getattr(value, "pid", None)  # which it may have yet to get
        frame = frame.f_back
    return None


class System:
    """All of it, for one run."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.accounts = Accounts()
        self.intrusions = 0
        self.mailbox = Mailbox()
        self.victims: list[PID] = []
        self.chief: PID | None = None

    # What intrudes

    def intrude(self, near: PID | None, before: int) -> None:
        """Do something: most of the time, to whom the interrupted code does something.

        `before` is how often something came in at that place: first, all ways are tried.
        """
        self.intrusions += 1
        do = INTRUSIONS[before] if before < len(INTRUSIONS) else self.dice.choice(INTRUSIONS)
        if near is not None and do not in BONDS and self.dice.random() < NEAR:
            self.meet(near, do)
        else:
            getattr(self, do)()

    def meet(self, near: PID, do: str) -> None:
        process = find_process(near)
        if do == "end" and self.is_mortal(near):
            self.end_it(near)
        elif near is self.mailbox.pid or process is None:
            send_nowait(near, self.accounts.letter())
        elif process.mailbox.max_size:
            self.squeeze()
        else:
            cast_nowait(near, self.accounts.letter())

    def end_it(self, pid: PID) -> None:
        if exit(pid, self.dice.choice(("shutdown", "kill"))):
            self.accounts.ended.append(pid)

    def is_mortal(self, pid: PID | None) -> bool:
        """Return whether it may be ended."""
        process = None if pid is None else find_process(pid)
        if process is not None and process.kind in (Victim, Prey):
            return True
        # Before there is a chief, he could not start without them.
        return self.chief is not None and pid in (whereis("kid"), whereis("reader"))

    def send(self) -> None:
        letter = self.accounts.letter()
        everybody: tuple[PID | str, ...] = (
            "kid",
            "reader",
            "pool",
            "nobody",
            self.mailbox.pid,
            *self.victims,
        )
        send_nowait(self.dice.choice(everybody), letter)

    def cast(self) -> None:
        everybody: tuple[PID | str, ...] = ("kid", "pool", "nobody", *self.victims)
        cast_nowait(self.dice.choice(everybody), self.accounts.letter())

    def squeeze(self) -> None:
        letter = self.accounts.letter()
        try:
            cast_nowait("narrow", letter)
        except MailboxFull:
            self.accounts.handled(letter)
        narrow = whereis("narrow")
        mailbox = None if narrow is None else find_queue(narrow)
        if mailbox is not None and len(mailbox) > ROOM:
            raise Wrong(f"{len(mailbox)} messages in a mailbox for {ROOM}")

    def end(self) -> None:
        """End a server that is there for that, or one that is supervised."""
        pid = self.dice.choice((whereis("kid"), whereis("reader"), *self.victims))
        if pid is not None and self.is_mortal(pid):
            self.end_it(pid)

    def watch(self) -> None:
        """As a server that lives on: watch one that is to end, or end the watch."""
        me = current_process()
        if me is not None and me.kind is Server and me.pid is whereis("pool"):
            accounts = self.accounts
            if accounts.watched and self.dice.random() < 0.5:
                ref = self.dice.choice(accounts.watched)
                if demonitor(ref):
                    accounts.unwatched.append(ref)
            else:
                everybody: tuple[PID | str, ...] = ("kid", *self.victims)
                accounts.watched.append(monitor(self.dice.choice(everybody)))

    def bind(self) -> None:
        """As one that may be ended: be linked with another, or no more."""
        me = current_process()
        if me is not None and me.kind in (Victim, Prey):
            everybody: tuple[PID | str, ...] = ("nobody", *self.victims)
            self.dice.choice((link, unlink))(self.dice.choice(everybody))

    def answer(self) -> None:
        if self.accounts.held:
            reply(self.accounts.held.pop(), "later")

    def name(self) -> None:
        register(self.dice.choice(NAMES), self.mailbox.pid)

    def unname(self) -> None:
        unregister(self.dice.choice(NAMES))

    # What is intruded upon

    async def play(self) -> None:
        """Do a little of everything."""
        async with anyio.create_task_group() as group:
            await Server.start(self.accounts, task_group=group, register_as="pool")
            await Narrow.start(self.accounts, task_group=group, register_as="narrow")
            self.chief = await Chief.start(self.accounts, task_group=group)
            for part in (self.ask, self.tell, self.listen, self.begin_and_end):
                await part(group)
            async with anyio.create_task_group() as together:
                for part in (self.ask, self.tell, self.listen, self.begin_and_end):
                    together.start_soon(part, group)
            exit(self.chief)
            await wait_exit(self.chief)
            for pid in self.accounts.ended:
                await wait_exit(pid)
            for name in ("pool", "narrow"):
                exit(name)
        self.mailbox.close()

    async def ask(self, group: TaskGroup) -> None:
        for number, how in enumerate(("now", "turn", "wait", "later", "now", "now")):
            for to in ("pool", "kid", "narrow"):
                answer = await self.answer_to(to, how, number)
                if answer not in ({"later": "later"}.get(how, number), None):
                    raise Wrong(f"{to} was asked {how}, {number}, and said {answer}")

    async def answer_to(self, to: str, how: str, number: int) -> Any:
        if how == "later":
            async with anyio.create_task_group() as group:
                answers: list[Any] = []

                async def ask() -> None:
                    answers.append(await self.answer_of(to, how, number))

                group.start_soon(ask)
                await anyio.sleep(0)
                while not answers:
                    self.answer()
                    await anyio.sleep(0)
            return answers[0]
        return await self.answer_of(to, how, number)

    async def answer_of(self, to: str, how: str, number: int) -> Any:
        """Return the answer, or None if who was asked is no more, as the kid may be."""
        try:
            return await call(to, (how, number), timeout=None)
        except (NoProcess, ProcessExited):
            if to != "kid":
                raise
            return None

    async def tell(self, group: TaskGroup) -> None:
        for to in ("pool", "kid", "narrow", "narrow", "narrow", "nobody"):
            await cast(to, self.accounts.letter())
        await send("reader", self.accounts.letter())
        await send(self.mailbox.pid, self.accounts.letter())

    async def listen(self, group: TaskGroup) -> None:
        send_nowait(self.mailbox.pid, self.accounts.letter())
        for _ in range(3):
            while len(self.mailbox):
                await self.mailbox.receive((ANY, self.accounts.handled))
        group.start_soon(self.send_later)
        await self.mailbox.receive((Letter, self.accounts.handled))

    async def send_later(self) -> None:
        await anyio.sleep(0)
        await send(self.mailbox.pid, self.accounts.letter())

    async def begin_and_end(self, group: TaskGroup) -> None:
        for number, kind in enumerate((Victim, Victim, Prey, Victim)):
            await wait_registered("kid")
            with suppress(ProcessExited):
                pid = await kind.start(self.accounts, task_group=group)
                self.victims.append(pid)
                if number:
                    await send(pid, self.accounts.letter())
                await anyio.sleep(0)
                exit(pid)
                await wait_exit(pid)
            exit("kid")
            await wait_registered("kid")

    def judge(self) -> None:
        self.accounts.judge()
        for pid in (*self.victims, *self.accounts.ended):
            if find_process(pid) is not None:
                raise Wrong(f"{find_process(pid)!r} has not ended")
        for name in NAMES:
            unregister(name)
        if registered():
            raise Wrong(f"left are {registered()}")


BONDS = "watch", "bind"  # which are the interrupted process's own
INTRUSIONS = (
    *("end", "cast", "end", "send", "end", "squeeze", "answer", "name", "unname"),
    *BONDS,
)
