"""The servers of the chaos: they do what letters tell them, and note it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, NoReturn

import anyio
from anyio.lowlevel import checkpoint

from fauxtp import (
    NO_REPLY,
    PID,
    POSTPONE,
    Actor,
    Call,
    Cast,
    Exit,
    GenServer,
    OnDemand,
    ReceiveTimeout,
    StateMachine,
    StateTimeout,
    Stop,
    exit,
    join,
    link,
    reply,
)
from fauxtp._core.process import find_process
from hostile.chaos_letter import Answer, Event, How, Letter, Order
from hostile.chaos_post import Boom, post
from hostile.chaos_world import World

__all__ = ["KINDS", "SERVERS", "Bounded", "Clerk", "Machine", "Server", "Trapper", "addresses_of"]

INIT_FAILS, INIT_HANGS, INIT_SLOW = 0.003, 0.001, 0.02
TERMINATE_FAILS = TERMINATE_HANGS = 0.005
BUSY_ENDS = 0.3  # of those that are sent something meanwhile
BUSY = (0.0, 0.001, 0.005)  # seconds that a machine is busy after each letter
NEVER_MIND = 0.002  # seconds that a dawdling handler takes
IDLE, SESSIONS = 0.002, 4  # seconds until one ends; how many there may be of each tree
WAITS = (0.0, 0.0, 0.001)  # seconds that a clerk waits for plain messages
RELAYED = (0.05, 0.01, None)  # seconds that a server waits for another


async def hang(world: World, actor: Actor) -> NoReturn:
    """Do nothing until somebody ends this."""
    world.hung[actor.pid] = time.monotonic()
    try:
        await anyio.Event().wait()
    finally:
        world.hung.pop(actor.pid, None)
    raise AssertionError("an event that nobody sets")


SERVERS = "servers"  # the group that all of them are in, of both trees


class Deeds(Actor):
    """What all of the servers have in common: mishaps, and what an order means."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.sender = world.new_sender()
        self.latest: dict[int, int] = {}  # the number of the last letter of each sender
        world.witness(self)
        self.noted("made")

    def noted(self, what: str) -> None:
        self.world.count(f"{what}: {type(self).__name__}")

    async def init(self) -> Any:
        self.noted("init begun")
        process = find_process(self.pid)
        assert process is not None
        self.world.witness(process)
        self.world.witness(process.mailbox)
        join(SERVERS)
        if self.world.mishap(INIT_SLOW):
            await self.dawdle()
        if self.world.mishap(INIT_HANGS):
            self.world.inject("init hangs")
            await hang(self.world, self)
        if self.world.mishap(INIT_FAILS):
            self.world.inject("init fails")
            raise Boom("init")
        self.noted("init done")

    async def terminate(self, reason: str, state: Any) -> None:
        if self.world.mishap(TERMINATE_FAILS):
            self.world.inject("terminate fails")
            raise Boom("terminate")
        if self.world.mishap(TERMINATE_HANGS):
            self.world.inject("terminate hangs")
            await hang(self.world, self)

    def begin(self, letter: Letter) -> None:
        """Note that the letter is handled; look whether it is its turn."""
        letter.note(Event.BEGUN)
        latest = self.latest.get(letter.sender, -1)
        if letter.number <= latest:
            self.world.fault(f"{self.name} had #{latest} of that sender before {letter!r}")
        self.latest[letter.sender] = letter.number

    async def obey(self, letter: Letter) -> None:
        """Do what the letter says, up to the answer."""
        match letter.order:
            case Order.YIELD:
                await checkpoint()
            case Order.DAWDLE:
                await self.dawdle()
            case Order.RELAY:
                await self.relay()
            case Order.HIRE:
                await self.hire(letter.number)
            case Order.CHILD:
                self.world.inject("crash of a child")
                self.start_soon_child(fail)
            case Order.LINK:
                self.world.inject("link")
                link(self.world.random.choice(self.world.servers))
            case Order.CRASH:
                self.world.inject("crash")
                raise Boom(letter)
            case Order.STOP:
                self.world.inject("stop")
                self.stop("asked to")
            case Order.HANG:
                self.world.inject("hang")
                await hang(self.world, self)

    async def relay(self) -> None:
        """Call any server, this one too; a circle must not be for ever."""
        to = self.world.random.choice(self.world.servers)
        order = self.world.random.choice((Order.WORK, Order.YIELD, Order.RELAY))
        letter = self.world.letter(self.sender, to, How.CALL, order)
        await post(letter, self.world.random.choice(RELAYED))

    async def hire(self, number: int) -> None:
        """Start a helper, let it work, and hear of its end exactly once."""
        ends: list[PID] = []

        async def told(pid: PID, reason: str) -> None:
            ends.append(pid)

        name = f"{self.name}:helper:{number}"
        handle = await self.spawn_child_actor(
            Server, self.world, name, on_exit=told, register_as=name
        )
        self.world.hired.append((handle.pid, ends))
        order = self.world.random.choice((Order.WORK, Order.STOP, Order.LATER))
        await post(self.world.letter(self.sender, name, How.CALL, order), 1.0)
        if order is not Order.LATER:
            handle.cancel_scope.cancel()

    async def promise(self, letter: Letter, from_: Call) -> None:
        """Promise an answer, that another task or another thread gives."""
        letter.note(Event.PROMISED)
        if letter.order is Order.LATER:
            self.start_soon_child(self._answer_later, letter, from_)
        else:
            self.world.pool.submit(give, letter, from_)

    async def dawdle(self) -> None:
        await anyio.sleep(self.world.random.random() * NEVER_MIND)

    async def _answer_later(self, letter: Letter, from_: Call) -> None:
        await self.dawdle()
        give(letter, from_)


async def fail() -> None:
    """End whose child this is."""
    raise Boom("a child")


def give(letter: Letter, from_: Call) -> None:
    """Answer a call."""
    letter.note(Event.REPLIED)
    reply(from_, Answer(letter))


class Server(Deeds, GenServer[Letter, Any]):
    """A server as most of them are."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.tasks: set[PID] = set()

    async def obey(self, letter: Letter) -> None:
        if letter.order is Order.TASK:
            self.tasks.add(await self.spawn_task(self.dawdle))
        await super().obey(letter)

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        self.noted("handlers begun")
        if pid not in self.tasks:
            self.world.fault(f"{self.name} did not wait for the end of {pid!r}")
        self.tasks.discard(pid)
        return state

    async def handle_call(self, letter: Letter, from_: Call, state: Any) -> Any:
        self.noted("handlers begun")
        self.begin(letter)
        if letter.order in {Order.LATER, Order.ELSEWHERE}:
            await self.promise(letter, from_)
            return NO_REPLY, state
        if letter.order is Order.STOP:
            self.world.inject("stop")
            letter.note(Event.REPLIED)
            return Stop("asked to", reply=Answer(letter))
        await self.obey(letter)
        letter.note(Event.REPLIED)
        return Answer(letter), state

    async def handle_cast(self, letter: Letter, state: Any) -> Any:
        self.noted("handlers begun")
        self.begin(letter)
        await self.obey(letter)

    async def handle_info(self, message: Any, state: Any) -> Any:
        self.noted("handlers begun")
        assert isinstance(message, Letter)
        self.begin(message)
        await self.obey(message)


class Bounded(Server):
    """One whose senders have to wait."""

    mailbox_size = 2


class Trapper(Server):
    """One that is asked to end, and mostly does so."""

    trap_exit = True

    async def handle_info(self, message: Any, state: Any) -> Any:
        if not isinstance(message, Exit):
            return await super().handle_info(message, state)
        self.noted("handlers begun")
        if message.pid is None and self.world.random.random() < 0.7:
            self.stop(message.reason)
        return state


class Clerk(Deeds):
    """No server: takes casts before calls, and now and then the plain messages, too."""

    async def run(self, state: Any) -> Any:
        await self.receive((Cast, self._cast), (Call, self._call), timeout=None)
        with suppress(ReceiveTimeout):
            await self.receive((Letter, self._plain), timeout=self.world.random.choice(WAITS))

    def begin(self, letter: Letter) -> None:
        letter.note(Event.BEGUN)  # whose turn it is, is its own affair

    async def _call(self, call: Call) -> None:
        letter = call.request
        self.begin(letter)
        if letter.order in {Order.LATER, Order.ELSEWHERE}:
            await self.promise(letter, call)
            return
        await self.obey(letter)
        give(letter, call)

    async def _cast(self, cast: Cast) -> None:
        await self._plain(cast.request)

    async def _plain(self, letter: Letter) -> None:
        self.begin(letter)
        await self.obey(letter)


class Machine(Deeds, StateMachine[str, None]):
    """One that is busy now and then, and postpones what comes meanwhile."""

    async def init(self) -> Any:
        await super().init()
        return "open", None

    async def handle_event(self, event: Any, state: str, _: None) -> Any:
        if isinstance(event, StateTimeout):
            return "open", None
        if state == "busy":
            if self.world.mishap(BUSY_ENDS):
                self.world.inject("exit of who has postponed something")
                exit(self.pid, "too busy")
            return "busy", None, POSTPONE
        letter = event if isinstance(event, Letter) else event.request
        self.begin(letter)
        if letter.order in {Order.LATER, Order.ELSEWHERE} and isinstance(event, Call):
            await self.promise(letter, event)
        else:
            await self.obey(letter)
            if isinstance(event, Call):
                give(letter, event)
        return "busy", None, StateTimeout(self.world.random.choice(BUSY))


class Session(Server):
    """One that is started when somebody wants something of it, and ends when nobody does."""

    world: World

    def __init__(self, key: str) -> None:
        super().__init__(self.world, key)


def addresses_of(world: World, supervisor: str) -> list[str]:
    """Return the addresses of some sessions under a supervisor of that name."""
    kind: type[Session] = type("Session", (Session,), {"world": world})
    prefix = f"{supervisor}:"
    sessions = OnDemand(kind, supervisor=supervisor, prefix=prefix, idle_timeout=IDLE)
    return [sessions[str(number)] for number in range(SESSIONS)]


KINDS = (Server, Machine, Bounded, Trapper, Server, Clerk, Server, Bounded)
