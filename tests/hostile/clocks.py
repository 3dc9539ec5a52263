"""A scenario of timers: what is sent by them and what is not, whoever is quicker.

It is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from fauxtp import (
    PID,
    Call,
    GenServer,
    NoProcess,
    ProcessExited,
    Timer,
    call,
    cancel_timer,
    dead_letters,
    exit,
    registered,
    send_after,
    send_every,
    wait_exit,
)
from fauxtp._core.process import find_process
from hostile.scenes import crash, end_of, moment, pause, together


@dataclass(eq=False)
class Letter:
    """A message that knows what should become of it."""

    due: float
    ends_with: list[PID]  # whose end is its own
    again: bool
    timer: Timer | None = None
    cancelled: bool = False
    arrived: int = 0

    def arrive(self) -> None:
        self.arrived += 1
        assert self.again or self.arrived == 1, "a timer went off twice"
        assert anyio.current_time() >= self.due, "a timer went off early"


@dataclass
class Book:
    """What everybody knows of the letters, and of those who have ended."""

    letters: list[Letter] = field(default_factory=list)
    ended: dict[PID, float] = field(default_factory=dict)  # and when that was heard of

    def set_one(self, to: PID | str, owner: PID | None) -> None:
        """Set a timer for a letter, as `owner`."""
        seconds, again = moment(), random.random() < 0.3
        ends_with = [pid for pid in (to, owner) if isinstance(pid, PID)]
        letter = Letter(anyio.current_time() + seconds, ends_with, again)
        self.letters.append(letter)
        make = send_every if again else send_after
        letter.timer = make(seconds, to, letter)

    def cancel_one(self) -> None:
        """Cancel one that may be over."""
        letter = random.choice(self.letters)
        if letter.timer is not None and cancel_timer(letter.timer) is not None:
            assert not letter.cancelled, "a timer was cancelled twice"
            letter.cancelled = True
            assert letter.again or not letter.arrived, "a timer was cancelled that had gone off"

    def close(self) -> None:
        """Check what has become of the letters."""
        for letter in self.letters:
            ends = [self.ended[pid] for pid in letter.ends_with if pid in self.ended]
            sent = letter.arrived > 0
            assert not (sent and letter.cancelled and not letter.again), "it was sent all the same"
            assert not (sent and ends and min(ends) < letter.due), "a timer outlived its process"
            assert sent or letter.cancelled or ends, "a timer did not go off"


class Owner(GenServer[Any, None]):
    """Sets and cancels timers, and gets letters; is slow, or crashes."""

    def __init__(self, book: Book) -> None:
        self.book = book

    async def init(self) -> None:
        return None

    async def handle_call(self, request: Callable[[PID], Any], from_: Call, state: None) -> Any:
        request(self.pid)
        return "done", state

    async def handle_info(self, letter: Letter, state: None) -> None:
        process = find_process(self.pid)
        assert process is not None
        lying = sum(other is letter for other in process.mailbox.inbox)
        assert lying <= 1, "letters pile up"
        letter.arrive()
        await pause()
        if random.random() < 0.05:
            crash()


async def timers() -> None:
    """Each letter comes once and in time; or none if it was cancelled, or one of its two ended."""
    book = Book()

    async def meddle() -> None:
        for _ in range(4):
            await pause()
            owner = random.choice(owners)
            to = random.choice((random.choice(owners), random.choice(["a", "b"])))
            try:
                match random.randrange(3):
                    case 0:
                        book.set_one(to, None)
                    case 1:
                        await call(owner, lambda pid, to=to: book.set_one(to, pid))
                    case 2 if book.letters:
                        book.cancel_one()
            except (NoProcess, ProcessExited):
                pass

    async def listen(owner: PID) -> None:
        await wait_exit(owner)
        book.ended[owner] = anyio.current_time()

    async def disturb() -> None:
        await pause()
        if random.random() < 0.5:
            await end_of(random.choice(owners))

    def bury(dead: Any) -> None:
        if isinstance(dead.message, Letter):
            dead.message.arrive()

    with dead_letters.observed_by(bury):
        async with anyio.create_task_group() as group:
            owners = [
                await Owner.start(book, task_group=group, register_as=name) for name in ("a", "b")
            ]
            for owner in owners:
                group.start_soon(listen, owner)
            await together(meddle, meddle, meddle, disturb)
            await anyio.sleep(1)
            for letter in book.letters:
                if letter.again and letter.timer is not None:
                    letter.cancelled |= cancel_timer(letter.timer) is not None
            book.close()
            for owner in owners:
                exit(owner)
    assert registered() == []
