"""Who is intruded upon in intruded.py, and what has become of the messages to them."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio

from fauxtp import (
    NO_REPLY,
    Actor,
    Call,
    ChildSpec,
    Down,
    GenServer,
    Supervisor,
    dead_letters,
    monitor,
)
from fauxtp._core.dead_letters import DeadLetter
from fauxtp.registry import PID, Ref

ROOM = 2  # in the narrow mailbox


class Wrong(AssertionError):
    """Something has come of it that must not."""


class Letter:
    """A message with a number."""

    def __init__(self, number: int, load: object) -> None:
        self.number, self.load = number, load

    def __repr__(self) -> str:
        return f"<Letter {self.number}>"


class Accounts:
    """What was sent, and what has become of it."""

    def __init__(self) -> None:
        # Each changes in one step: this, too, is interrupted.
        self.numbers = itertools.count()
        self.seen: list[int] = []
        self.ended: list[PID] = []
        self.held: list[Call] = []
        self.load: Callable[[], object] = type(None)  # makes what each letter carries
        self.watched: list[Ref] = []
        self.unwatched: list[Ref] = []
        self.told: list[Ref] = []

    def letter(self) -> Letter:
        return Letter(next(self.numbers), self.load())

    def handled(self, letter: Letter) -> None:
        self.seen.append(letter.number)

    def dead(self, letter: DeadLetter) -> None:
        if isinstance(letter.message, Letter):
            self.handled(letter.message)
        elif type(letter.message).__name__ == "Cast":
            self.handled(letter.message.request)
        elif isinstance(letter.message, Down):
            self.told.append(letter.message.ref)

    def judge(self) -> None:
        seen, sent = Counter(self.seen), next(self.numbers)
        wrong = {number: seen[number] for number in range(sent) if seen[number] != 1}
        if wrong:
            raise Wrong(f"of {sent} letters, these came so often: {wrong}")
        told = Counter(self.told)
        for ref in self.watched:
            if told[ref] != (ref not in self.unwatched):
                raise Wrong(f"{ref} has told {told[ref]} times; {self.unwatched} were to not")


class Server(GenServer[Any, Any]):
    """Answers at once, after a turn, after a wait, or when it is told to."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Call, state: int) -> Any:
        how, number = request
        if how == "turn":
            await anyio.sleep(0)
        elif how == "wait":
            event = anyio.Event()
            self.start_soon_child(self.set_soon, event)
            await event.wait()
        elif how == "later":
            self.accounts.held.append(from_)
            return NO_REPLY, state + 1
        return number, state + 1

    async def set_soon(self, event: anyio.Event) -> None:
        event.set()

    async def handle_cast(self, request: Any, state: int) -> int:
        self.accounts.handled(request)
        return state

    async def handle_info(self, message: Any, state: int) -> int:
        if isinstance(message, Letter):
            self.accounts.handled(message)
        elif isinstance(message, Down):
            self.accounts.told.append(message.ref)
        return state


class Narrow(Server):
    mailbox_size = ROOM

    async def handle_cast(self, request: Any, state: int) -> int:
        await super().handle_cast(request, state)
        await anyio.sleep(0)
        return state


class Reader(Actor):
    """Receives by pattern."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    async def run(self, state: Any) -> Any:
        monitor("kid")
        await self.receive((Down, lambda down: None), (Letter, self.accounts.handled))
        return state


class Victim(Server):
    """May be ended at any time."""


class Prey(Reader):
    """The same."""


class Chief(Supervisor):
    max_restarts = 1_000_000

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec("kid", Server, args=(self.accounts,), register_as="kid"),
            ChildSpec("reader", Reader, args=(self.accounts,), register_as="reader"),
        ]

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.accounts.handled(request)
        return state


class _Raises(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "could not be restarted" not in record.getMessage():  # who is ended in its init
            self.records.append(record)


@contextmanager
def overheard() -> Iterator[None]:
    """Raise at the end if anything has been logged, by fauxtp or an event loop."""
    heard = _Raises()
    with ExitStack() as stack:
        for name in ("fauxtp", "asyncio", "trio"):
            logger = logging.getLogger(name)
            logger.addHandler(heard)
            stack.callback(logger.removeHandler, heard)
        yield
    if heard.records:
        said = [(record.getMessage(), record.exc_info) for record in heard.records]
        errors = [error for _, info in said if info and (error := info[1]) is not None]
        raise Wrong(f"this was logged: {said}") from (errors[0] if errors else None)


def accounted(accounts: Accounts) -> Any:
    """Return the context in which letters that nobody reads are accounted for."""
    return dead_letters.observed_by(accounts.dead)
