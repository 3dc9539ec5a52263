"""One side of the chaos: an event loop in its own thread, and the tree that lives in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future, wait
from contextlib import AbstractContextManager, suppress
from enum import Enum
from types import TracebackType
from typing import Any, Self

from anyio import TASK_STATUS_IGNORED, CancelScope, create_task_group, move_on_after
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.lowlevel import checkpoint

from fauxtp import (
    MaxRestartsExceeded,
    NoProcess,
    ProcessExited,
    exit,
    members,
    tree,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)
from hostile.chaos_faults import end_the_hung
from hostile.chaos_letter import Event, How, Order
from hostile.chaos_post import post
from hostile.chaos_servers import SERVERS
from hostile.chaos_tree import Root
from hostile.chaos_world import World

__all__ = ["Felling", "Side"]


class Felling(Enum):
    """How a tree ends: one after the other, all at once, or with all tasks of its loop."""

    FROM_THE_ROOT = 0
    AT_ONCE = 1
    WITH_ITS_LOOP = 2


class Side:
    """An event loop and its tree."""

    def __init__(self, world: World, name: str, backend: str, bound: float) -> None:
        self.world = world
        self.name = name
        self.bound = bound
        self.sender = world.new_sender()
        self.portal: BlockingPortal
        self._ended = False
        self._thread: AbstractContextManager[BlockingPortal] = start_blocking_portal(
            "trio" if backend == "trio" else "asyncio",
            {"use_uvloop": True} if backend == "uvloop" else {},
        )

    def __enter__(self) -> Self:
        self.portal = self._thread.__enter__()
        self._life, self._scope = self.portal.start_task(self._live)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._ended:
            self._ended = True
            self._thread.__exit__(kind, error, traceback)

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Future[Any]:
        """Run a task in this event loop."""
        return self.portal.start_task_soon(function, *args)

    async def _live(self, *, task_status: TaskStatus[CancelScope] = TASK_STATUS_IGNORED) -> None:
        async with create_task_group() as group:
            await Root.start(self.world, self.name, task_group=group, register_as=self.name)
            task_status.started(group.cancel_scope)

    def fell(self, how: Felling) -> None:
        """End the tree."""
        match how:
            case Felling.FROM_THE_ROOT:
                exit(self.name, "felled")
            case Felling.AT_ONCE:
                self.portal.call(self._scope.cancel)
            case Felling.WITH_ITS_LOOP:
                with suppress(CancelledError):  # this call, too, is cancelled
                    self.portal.call(self.portal.stop, True)
                self.__exit__(None, None, None)
        with suppress(CancelledError):
            if wait([self._life], self.bound).not_done:
                self.world.fault(f"{self.name!r} does not fall:\n{tree()}")
            self._life.result()

    async def see_them_back(self) -> None:
        """Wait until each server is there, and answers, and its supervisor knows it."""
        async with create_task_group() as group:
            for name in [*self.world.servers, *self.world.spared]:
                group.start_soon(self._see_it_back, name)
            for limb in self.world.limbs:
                group.start_soon(self._see_children_of, limb)

    async def _see_it_back(self, name: str) -> None:
        with move_on_after(self.bound):
            while not await self._answers(name):
                end_the_hung(self.world, 0.0)
                await checkpoint()
            return
        self.world.fault(f"{name!r} does not come back")

    async def _see_children_of(self, limb: str) -> None:
        """Wait until the supervisor tells of its children what the registry tells."""
        with move_on_after(self.bound):
            while not await self._knows_its_children(limb):
                end_the_hung(self.world, 0.0)
                await checkpoint()
            return
        self.world.fault(f"{limb!r} has lost sight of a child")

    async def _knows_its_children(self, limb: str) -> bool:
        try:
            children = await which_children(limb)
        except (NoProcess, ProcessExited):
            return False
        named = [child for child in children if ":guest:" not in child.id]
        return all(child.pid is not None and whereis(child.id) is child.pid for child in named)

    async def _answers(self, name: str) -> bool:
        letter = self.world.letter(self.sender, name, How.CALL, Order.WORK)
        await post(letter, 0.1)
        if not any(event is Event.ANSWERED for _, event, _ in letter.notes):
            return False
        return name in self.world.spared or whereis(name) in members(SERVERS)

    async def see_one_give_up(self) -> None:
        """Let a branch have too many restarts; see that its supervisor starts it again."""
        limb = f"{self.name}:one:fragile"
        before, root = whereis(limb), whereis(self.name)
        assert before is not None
        assert root is not None
        reason = after = None
        async with create_task_group() as group:
            group.start_soon(self._let_crash, f"{limb}:0", group.cancel_scope)
            with move_on_after(self.bound):
                reason = await wait_exit(before)
                after = await wait_registered(limb)
            group.cancel_scope.cancel()
        if reason is None or not isinstance(reason.exception, MaxRestartsExceeded):
            self.world.fault(f"{limb!r} did not give up; it ended by {reason!r}")
        if after is before or after is None or whereis(self.name) is not root:
            self.world.fault(f"{limb!r} was {before!r}, is {after!r}; the root was {root!r}")

    async def _let_crash(self, name: str, until: CancelScope) -> None:
        while not until.cancel_called:
            letter = self.world.letter(self.sender, name, How.CALL, Order.CRASH)
            await post(letter, 1.0)
            await checkpoint()
