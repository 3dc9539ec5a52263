"""What can be done in a play: each step by its name, and the rules that keep its order certain."""

from __future__ import annotations

from typing import Any

import anyio

from fauxtp import Stop, call, cast_nowait, exit, is_alive, send_nowait, wait_exit, whereis
from hostile.actions_alone import ALONE, Action, someone
from hostile.plays import Play
from hostile.troupe import Boom, Frame, Player, Troupe

ALWAYS = {"log", "pause"}
DOOMED = {*ALWAYS, "wait", "call", "later", "whereis", "register", "unregister", "cancel"}
"""What may be done by who has been cancelled and does not know yet."""


async def act(troupe: Troupe, frame: Frame, step: Play) -> None:
    """Do what `step` says, unless the order of what comes of it would be a matter of chance."""
    what, *arguments = step
    at_work = {one.player for one in frame.chain()}
    dying = [one for one in troupe.players if one.is_dying and one not in at_work]
    if frame.is_doomed():
        if what not in DOOMED or (dying and what not in ALWAYS):
            return
    elif what not in ALWAYS:
        await ends(dying)
    await ACTIONS[what](troupe, frame, *arguments)


async def ends(dying: list[Player]) -> None:
    """Wait until those have ended whose end has begun."""
    for player in dying:
        player.is_dying = False
        if player.address is not None and not player.tainted:
            await wait_exit(player.address)


def may_end(frame: Frame, player: Player) -> bool:
    """Return whether nobody hears of it who is at work or has messages to read."""
    at_work = {one.player for one in frame.chain()}
    return not any(one in at_work or one.unread for one in involved(player) - {player})


def will_end(player: Player, *, abnormal: bool = True, has_finale: bool = False) -> None:
    """Note that `player` ends, or has ended: nobody knows in which order others end with it."""
    ending = ends_with(player, abnormal)
    for one in ending - {player}:
        one.may_hear_no_more = True
        one.is_dying |= not has_finale  # else it lives as long as that is performed
    for one in ending:
        for other in {*one.watchers, *one.joined}:
            other.unread += 1


def involved(player: Player) -> set[Player]:
    """Return who may hear of the end of `player`: its children, whom it is linked with, theirs."""
    found, left = {player}, [player]
    while left:
        one = left.pop()
        fresh = {*one.young, *one.joined} - found
        found |= fresh
        left += fresh
    return found


def ends_with(player: Player, abnormal: bool) -> set[Player]:
    """Return who ends with `player`: children always, the linked if the end is abnormal."""
    found, left = {player}, [(player, abnormal)]
    while left:
        one, passes_on = left.pop()
        linked = {other for other in one.joined if passes_on and not other.trap_exit}
        fresh = {*one.young, *linked} - found
        found |= fresh
        left += [(other, True) for other in fresh]
    return found


# Scopes


async def scope(troupe: Troupe, frame: Frame, shield: bool, script: Play) -> None:
    with anyio.CancelScope(shield=shield) as made:
        frame.scopes.append(made)
        try:
            await troupe.perform(script, frame)
        finally:
            frame.scopes.remove(made)
    troupe.note(frame, "scope", made.cancelled_caught)


async def cancel(troupe: Troupe, frame: Frame, which: int) -> None:
    """Cancel a scope of whoever is at work: one's own, or of one who waits."""
    open_ones = [(top, made) for top in frame.chain() for made in top.scopes]
    if not open_ones:
        return
    top, made = open_ones[which % len(open_ones)]
    region = frame.region(top)
    shielded = any(
        one.shield and not (owner is top and top.scopes.index(one) <= top.scopes.index(made))
        for owner in region
        for one in owner.scopes
    )
    if shielded and len(region) > 1:
        return
    if not may_be_cut(frame, region):
        return
    troupe.note(frame, "cancel")
    if frame not in region and not shielded:
        troupe.cut(frame, top)
    made.cancel()
    if frame is not top and frame in region:  # trio hears of it there and asyncio a little later
        await anyio.sleep_forever()


# Others


async def have(troupe: Troupe, frame: Frame, how: str, whom: int, script: Play) -> None:
    player = someone(troupe, whom)
    unseen = {"delegate", "later", "terminate"}
    delegated = any(one.kind in unseen for one in frame.chain())
    if delegated and any(one.player is player for one in frame.chain()):
        return  # nobody would notice that it waits for itself
    if player.address is None:
        return
    if frame.is_doomed():  # on asyncio, it comes so far that it is executed
        if player.unread or player.refs or player.joined:
            return  # it may be awake already, and then is quicker than the cancellation
        script, troupe.has_late_replies = [], True
    try:
        answer: Any = await call(player.address, (how, script, frame), timeout=None)
    except Exception as error:
        answer = troupe.text(error)
    troupe.note(frame, how, player.label, answer)


async def have_now(troupe: Troupe, frame: Frame, whom: int, script: Play) -> None:
    await have(troupe, frame, "call", whom, script)


async def have_later(troupe: Troupe, frame: Frame, whom: int, script: Play) -> None:
    await have(troupe, frame, "later", whom, script)


async def cast(troupe: Troupe, frame: Frame, whom: int, script: Play) -> None:
    player = someone(troupe, whom)
    if player.address is not None:
        player.unread += 1
        cast_nowait(player.address, script)


async def send(troupe: Troupe, frame: Frame, whom: int) -> None:
    player = someone(troupe, whom)
    if player.address is not None:
        player.unread += 1
        send_nowait(player.address, "a message")


async def start(troupe: Troupe, frame: Frame, mine: int, traits: int, script: Play) -> None:
    parent = frame.player if mine % 2 and not frame.is_last else None
    if parent is not None and (parent.is_ending or parent.is_asked_to_end):
        return
    label = len(troupe.players)
    try:
        await Player.start(
            troupe,
            traits,
            script,
            frame,
            parent,
            task_group=troupe.group if parent is None else parent.children,
            register_as=f"p{label}" if traits & 4 else None,
        )
    except Exception as error:
        troupe.note(frame, "start", label, troupe.text(error))
        return
    troupe.note(frame, "start", label)


async def end(troupe: Troupe, frame: Frame, whom: int, reason: str, script: Play) -> None:
    """End another one, and wait for that; or one that waits for this, which then goes on."""
    player = someone(troupe, whom)
    address = player.address
    if address is None or not is_alive(address) or not may_end(frame, player):
        return
    tops = [one for one in frame.chain() if one.player is player]
    if not tops:
        await end_other(troupe, frame, player, reason, script)
    elif reason == "kill" or not player.trap_exit:
        await end_above(troupe, frame, player, reason, tops)


async def end_other(
    troupe: Troupe, frame: Frame, player: Player, reason: str, script: Play
) -> None:
    assert player.address is not None
    pid = whereis(player.address) if isinstance(player.address, str) else player.address
    if pid is None:
        return
    if player.unread:
        await call(pid, ("call", [], frame), timeout=None)
    if reason == "kill" or not player.trap_exit:
        player.finale, player.is_ending = (script, frame), True
        will_end(player, has_finale=True)
        player.may_hear_no_more = True  # by chance what it has not read yet
        player.is_killed = reason == "kill"
        exit(pid, reason)
        reason_of_end = await wait_exit(pid)
        will_end(player)
        troupe.note(frame, "exit", player.label, troupe.text(reason_of_end))
    else:
        exit(pid, reason)
        player.unread += 1


def may_be_cut(frame: Frame, region: list[Frame]) -> bool:
    """Return whether nobody ends with one whose start is given up, as may happen or not."""
    starting = [one.player for one in frame.chain() if one.kind == "init" and one not in region]
    return all(player is None or involved(player) == {player} for player in starting)


async def end_above(
    troupe: Troupe, frame: Frame, player: Player, reason: str, tops: list[Frame]
) -> None:
    if (
        player.unread
        or any(one.kind in {"later", "terminate"} for one in tops)
        or any(made.shield for one in tops for made in one.scopes)
    ):
        return
    if not may_be_cut(frame, frame.region(tops[-1])):
        return
    troupe.note(frame, "exit", player.label)
    player.is_asked_to_end = player.is_dying = player.may_hear_no_more = True
    will_end(player)
    player.is_killed = reason == "kill"
    if frame.player is not player:
        troupe.cut(frame, tops[-1])
    assert player.address is not None
    exit(player.address, reason)
    if frame.player is player and frame.kind == "delegate":
        await anyio.sleep_forever()


async def delegate(troupe: Troupe, frame: Frame, script: Play) -> None:
    """Have a task of one's own do something."""
    below = Frame("delegate", frame.player, frame)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(troupe.perform, script, below)
    except Exception as error:
        troupe.note(frame, "delegated", troupe.text(error))
    else:
        troupe.note(frame, "delegated")


async def task(troupe: Troupe, frame: Frame, fails: int, script: Play) -> None:
    """Have a task with a process of its own do something, and wait for its end."""

    async def work() -> str:
        for step in script:
            if step[0] == "pause":
                await anyio.sleep(0)
        if fails:
            raise Boom
        return "done"

    if frame.player is None or frame.kind != "handler" or frame.player.is_asked_to_end:
        return
    frame.player.unread += 1
    pid = await frame.player.spawn_task(work)
    await wait_exit(pid)
    troupe.note(frame, "task over")


# Ends of one's own


async def end_self(troupe: Troupe, frame: Frame, reason: str) -> None:
    player = frame.player
    if player is None or frame.is_last or player.unread:
        return
    if reason != "kill" and player.trap_exit:
        return
    aside = frame.kind in {"later", "delegate"}
    shielded = any(made.shield for one in frame.region(frame.top()) for made in one.scopes)
    if shielded and (aside or involved(player) != {player}):
        return
    if not may_end(frame, player):
        return
    troupe.note(frame, "exit self")
    player.is_asked_to_end = player.is_dying = player.may_hear_no_more = True
    will_end(player)
    exit(player.pid, reason)
    if aside:  # as above, or it is idle and ends a little later
        await anyio.sleep_forever()


def may_leave(frame: Frame, *, abnormal: bool) -> bool:
    """Return whether a handler or `init` may end its process; if so, note that it will."""
    player = frame.player
    if player is None or frame.kind not in {"handler", "init"} or not may_end(frame, player):
        return False
    will_end(player, abnormal=abnormal)
    return True


async def stop(troupe: Troupe, frame: Frame, _: int) -> None:
    if may_leave(frame, abnormal=False):
        assert frame.player is not None
        frame.player.stop("enough")


async def finish(troupe: Troupe, frame: Frame, reason: str) -> None:
    if may_leave(frame, abnormal=False):
        assert frame.player is not None
        frame.player.is_dying = True  # who gets its answer may be quicker
        raise Stop(reason, reply="the last answer") if reason == "bye" else Stop(reason)


async def crash(troupe: Troupe, frame: Frame, which: int) -> None:
    if may_leave(frame, abnormal=True):
        raise Boom(which)


ACTIONS: dict[str, Action] = {
    **ALONE,
    "scope": scope,
    "cancel": cancel,
    "call": have_now,
    "later": have_later,
    "cast": cast,
    "send": send,
    "start": start,
    "exit": end,
    "delegate": delegate,
    "task": task,
    "exit self": end_self,
    "stop": stop,
    "finish": finish,
    "crash": crash,
}
