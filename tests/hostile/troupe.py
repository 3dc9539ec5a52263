"""A troupe: processes that perform a play, and note what each of them sees.

One thing is done at a time: who has others do something waits for them, so what each of them
sees follows from the play alone, and not from who is quicker. Where a cancellation sets free
somebody who waits, those for whom it waited do nothing more: their frames are `cut`. What
would make the order a matter of chance is left out, by rules that look at nothing but the play.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import NO_REPLY, PID, Call, Down, Exit, GenServer, reply
from hostile.plays import Play

TURNS = 25  # of the event loop in which nothing is done: then nothing will be


class Boom(Exception):
    """The crash of a play."""


class Frame:
    """Somebody at work on a script: who it is, and who waits for that."""

    def __init__(self, kind: str, player: Player | None, above: Frame | None) -> None:
        self.kind = kind
        self.player = player
        self.above = above
        self.scopes: list[anyio.CancelScope] = []
        self.cut = False
        same = above if kind == "delegate" else None
        self.is_aside: bool = kind == "later" or (same is not None and same.is_aside)
        self.is_last: bool = kind == "terminate" or (same is not None and same.is_last)

    def chain(self) -> Iterator[Frame]:
        """Return this frame, and those that wait for it."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.above

    def top(self) -> Frame:
        """Return the frame that all that its process does here is in."""
        return next(frame for frame in self.chain() if frame.kind != "delegate")

    def region(self, top: Frame) -> list[Frame]:
        """Return which frames of the chain are cancelled with `top`."""
        frames = list(self.chain())
        frames = frames[: frames.index(top) + 1]
        found = [frames.pop()]
        while frames and frames[-1].kind == "delegate":
            found.append(frames.pop())
        return found

    def cut_below(self, top: Frame) -> None:
        """Let those do nothing more for whom `top`, which is being cancelled, has waited."""
        frames = list(self.chain())
        below = frames[: frames.index(top) - len(self.region(top)) + 1]
        is_cancelled = True  # who waits for the next one
        for frame in reversed(below):
            frame.cut = True
            if frame.kind == "delegate":
                continue
            is_cancelled = is_cancelled and frame.kind == "init"
            if frame.player is not None:
                frame.player.unread += 1
                frame.player.tainted |= is_cancelled
                frame.player.is_dying |= frame.is_last

    def is_doomed(self) -> bool:
        """Return whether it is cancelled where it next waits."""
        for frame in self.chain():
            for scope in reversed(frame.scopes):
                if scope.cancel_called:
                    return True
                if scope.shield:
                    return False
            if frame.kind != "delegate":
                break
        if self.player is None:
            return False
        if self.is_last:
            return self.player.is_killed
        return self.player.is_asked_to_end


class Player(GenServer[Any, Any]):
    """Does what it is told by calls and casts, and notes what it hears."""

    def __init__(
        self,
        troupe: Troupe,
        traits: int,
        begin: Play,
        frame: Frame,
        parent: Player | None = None,
    ) -> None:
        self.troupe = troupe
        self.trap_exit = bool(traits & 1)
        self.label = troupe.enlist(self)
        self.address: PID | str | None = None  # until it begins
        self.addresses: set[PID | str | None] = set()
        self.is_named = bool(traits & 4)
        self.begin = begin
        if parent is not None:
            parent.young.append(self)
        self.above: Frame | None = frame
        self.finale: tuple[Play, Frame] | None = None
        self.young: list[Player] = []
        self.joined: set[Player] = set()
        self.refs: list[Any] = []
        self.watchers: set[Player] = set()
        self.tainted = False  # its start was given up: nobody knows how far it gets
        self.is_asked_to_end = self.is_ending = self.is_killed = False
        self.is_dying = False
        self.may_hear_no_more = False  # as others end with it
        self.unread = 0  # or something else to do before it is idle

    def note(self, *what: Any, aside: bool = False) -> None:
        self.troupe.stirred += 1
        if not (self.tainted or (self.may_hear_no_more and what[0] == "news")):
            log = f"p{self.label}{' aside' if aside else ''}"
            self.troupe.logs.setdefault(log, []).append(list(what))

    async def init(self) -> None:
        self.troupe.pids[self.pid] = self
        self.address = f"p{self.label}" if self.is_named else self.pid
        self.addresses = {self.pid, f"p{self.label}"}
        frame, self.above = Frame("init", self, self.above), None
        await self.troupe.perform(self.begin, frame)
        self.note("began")

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        kind, script, above = request
        self.unread = 0
        if kind == "later":
            self.start_soon_child(self.answer, script, above, from_)
            return NO_REPLY, state
        await self.troupe.perform(script, Frame("handler", self, above))
        return f"p{self.label} did it", state

    async def answer(self, script: Play, above: Frame, from_: Call) -> None:
        frame = Frame("later", self, above)
        try:
            await self.troupe.perform(script, frame)
        except Exception as error:
            reply(from_, self.troupe.text(error))
        else:
            reply(from_, f"p{self.label} did it later")

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await self.troupe.perform(request, Frame("handler", self, None))
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        match message:
            case Down(pid=pid, reason=reason):
                self.note("news", "down", self.troupe.label(pid), str(reason))
            case Exit(pid, reason):
                self.note("news", "exit", pid and self.troupe.label(pid), str(reason))
            case _:
                self.note("heard", message)
        return state

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        self.note("task", status, self.troupe.text(result))
        return state

    async def terminate(self, reason: str, state: Any) -> None:
        self.note("ends", self.troupe.text(reason))
        finale, self.finale = self.finale, None
        if finale is not None:
            script, above = finale
            await self.troupe.perform(script, Frame("terminate", self, above))
            self.note("ended")


Action = Callable[["Troupe", Frame, Play], Awaitable[None]]


class Troupe:
    """All who perform one play, and what is noted of it."""

    def __init__(self, group: TaskGroup, act: Action) -> None:
        self.group = group
        self.act = act
        self.players: list[Player] = []
        self.pids: dict[PID, Player] = {}
        self.logs: dict[str, list[Any]] = {}
        self.stirred = 0
        self.has_late_replies = False  # some, but nobody knows how many

    def enlist(self, player: Player) -> int:
        self.players.append(player)
        return len(self.players) - 1

    def label(self, pid: PID) -> str:
        player = self.pids.get(pid)
        return "nobody" if player is None else f"p{player.label}"

    def text(self, what: Any) -> str:
        """Return what is the same in every run of a play."""
        if isinstance(what, BaseExceptionGroup):
            return f"group of {', '.join(sorted(map(self.text, what.exceptions)))}"
        if isinstance(what, BaseException):
            ours = type(what).__module__.startswith("fauxtp")
            words = f" {what}" if ours or isinstance(what, Boom) else ""
            cause = what.__cause__
            because = f" by {self.text(cause)}" if ours and cause is not None else ""
            what = f"{type(what).__name__}{words}{because}"
        labels = {repr(pid): f"p{player.label}" for pid, player in self.pids.items()}
        return re.sub(r"<PID \d+>", lambda found: labels.get(found[0], "<PID>"), str(what))

    def note(self, frame: Frame, *what: Any) -> None:
        if frame.cut:
            return
        if frame.player is not None:
            frame.player.note(*what, aside=frame.is_aside)
        else:
            self.stirred += 1
            self.logs.setdefault("stage", []).append(list(what))

    async def perform(self, script: Play, frame: Frame) -> None:
        for step in script:
            if frame.cut:
                return
            self.stirred += 1
            try:
                await self.act(self, frame, step)
            except anyio.get_cancelled_exc_class():
                self.note(frame, "cut off", step[0])
                raise

    def cut(self, frame: Frame, top: Frame) -> None:
        """Cancel `top`, for whom `frame` works: who is in between does nothing more."""
        self.has_late_replies = True
        frame.cut_below(top)

    async def settle(self) -> None:
        """Wait until nothing is done any more."""
        quiet = 0
        while quiet < TURNS:
            before = self.stirred
            await anyio.sleep(0)
            quiet = quiet + 1 if self.stirred == before else 0
