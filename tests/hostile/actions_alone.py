"""What somebody in a play does without having others do something: waits, looks, links, names."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import sniffio

from fauxtp import (
    demonitor,
    is_alive,
    link,
    monitor,
    register,
    unlink,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
)
from hostile.plays import Play
from hostile.troupe import Boom, Frame, Player, Troupe

NATIVE = sys.version_info >= (3, 13)  # before, its cancellations and those of anyio do not mix

Action = Callable[..., Awaitable[None]]


def someone(troupe: Troupe, whom: int) -> Player:
    """Return whom a number means: nobody of whom it is not known how far they are."""
    players = [player for player in troupe.players if not player.tainted]
    return players[whom % len(players)]


# What concerns nobody else


async def log(troupe: Troupe, frame: Frame, _: int) -> None:
    troupe.note(frame, "log")


async def pause(troupe: Troupe, frame: Frame, times: int) -> None:
    for _ in range(times):
        await anyio.sleep(0)
    troupe.note(frame, "paused")


async def wait(troupe: Troupe, frame: Frame, times: int) -> None:
    event = anyio.Event()

    async def later() -> None:
        for _ in range(times):
            await anyio.sleep(0)
        event.set()

    if frame.player is None or frame.is_last or frame.player.is_asked_to_end:
        return
    frame.player.start_soon_child(later)
    await event.wait()
    troupe.note(frame, "waited")


async def group(troupe: Troupe, frame: Frame, native: int, fails: bool, *scripts: Play) -> None:
    """Have several tasks do something at once, one of which may fail."""

    async def fail() -> None:
        await anyio.sleep(0)
        raise Boom

    async def one(script: Play) -> None:
        for step in script:
            if step[0] == "pause":
                await anyio.sleep(0)
        if fails:
            await anyio.sleep_forever()

    kind: Any = anyio.create_task_group
    if native % 2 and NATIVE and sniffio.current_async_library() == "asyncio":
        kind = asyncio.TaskGroup
    try:
        async with kind() as tasks:
            start = getattr(tasks, "start_soon", None)
            for script in scripts:
                start(one, script) if start else tasks.create_task(one(script))
            if fails:
                start(fail) if start else tasks.create_task(fail())
    except* Boom:
        troupe.note(frame, "a task failed")
    troupe.note(frame, "tasks over")


async def uncancel(troupe: Troupe, frame: Frame, _: int) -> None:
    """Cancel the own task and think better of it, which asyncio has known since CPython 3.13."""
    if sys.version_info >= (3, 13) and sniffio.current_async_library() == "asyncio":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()


# Links, monitors, names


def living(player: Player) -> bool:
    return player.address is not None and is_alive(player.address)


async def link_with(troupe: Troupe, frame: Frame, whom: int) -> None:
    player, me = someone(troupe, whom), frame.player
    if me is None or frame.is_last or not living(player):
        return
    if any(one.is_ending or one.is_asked_to_end for one in (me, player)):
        return  # the other would end with it, at a moment that nobody knows
    if player is not me:
        me.joined.add(player)
        player.joined.add(me)
    assert player.address is not None
    link(player.address)


async def unlink_from(troupe: Troupe, frame: Frame, whom: int) -> None:
    player, me = someone(troupe, whom), frame.player
    if me is not None and player.address is not None and not frame.is_last:
        me.joined.discard(player)
        player.joined.discard(me)
        unlink(player.address)


async def watch(troupe: Troupe, frame: Frame, whom: int) -> None:
    player, me = someone(troupe, whom), frame.player
    if me is not None and player.address is not None and not frame.is_last:
        me.unread += not living(player)  # it is told at once
        player.watchers.add(me)
        me.refs.append(monitor(player.address))


async def watch_no_more(troupe: Troupe, frame: Frame, which: int) -> None:
    me = frame.player
    if me is not None and me.refs and not frame.is_last:
        troupe.note(frame, "demonitor", demonitor(me.refs[which % len(me.refs)]))


async def name(troupe: Troupe, frame: Frame, which: int, whom: int) -> None:
    player = someone(troupe, whom)
    if player.address is None:
        return
    pid = whereis(player.address) if isinstance(player.address, str) else player.address
    if pid is None:
        return
    try:
        troupe.note(frame, "register", register(f"n{which % 3}", pid))
    except Exception as error:
        troupe.note(frame, "register", troupe.text(error))


async def name_no_more(troupe: Troupe, frame: Frame, which: int) -> None:
    troupe.note(frame, "unregister", unregister(f"n{which % 3}"))


async def look_up(troupe: Troupe, frame: Frame, which: int) -> None:
    pid = whereis(f"n{which % 3}")
    troupe.note(frame, "whereis", pid and troupe.label(pid))


async def look(troupe: Troupe, frame: Frame, whom: int) -> None:
    player = someone(troupe, whom)
    troupe.note(frame, "alive", living(player))


async def find(troupe: Troupe, frame: Frame, which: int) -> None:
    """Find a name that somebody has, by those ways that would wait for it."""
    if whereis(f"n{which % 3}") is not None:
        pid = await wait_registered(f"n{which % 3}")
        troupe.note(frame, "found", troupe.label(pid))


async def hear_of_end(troupe: Troupe, frame: Frame, whom: int) -> None:
    """Ask how one has ended that is no more."""
    player = someone(troupe, whom)
    if player.address is not None and not is_alive(player.address):
        troupe.note(frame, "ended", player.label, str(await wait_exit(player.address)))


ALONE: dict[str, Action] = {
    "log": log,
    "pause": pause,
    "wait": wait,
    "group": group,
    "uncancel": uncancel,
    "await": hear_of_end,
    "link": link_with,
    "unlink": unlink_from,
    "monitor": watch,
    "demonitor": watch_no_more,
    "register": name,
    "unregister": name_no_more,
    "whereis": look_up,
    "alive": look,
    "find": find,
}
