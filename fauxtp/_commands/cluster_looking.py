"""What people are shown of a cluster by `python -m fauxtp cluster`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any, Final

from fauxtp._commands.command_line import say, say_json
from fauxtp.cluster._engines.engine import SHARDS, Change, NoConnection, Refused, Snapshot
from fauxtp.cluster._looking.nats_observer import NatsObserver, SeenNode
from fauxtp.cluster._looking.overview import Happening, Overview, ShardsMoved
from fauxtp.observe.plain_text import in_seconds, plain, quoted

__all__ = ["say_names", "say_nodes", "say_shards", "watch"]

TOGETHER: Final = 1.0  # seconds in which shards are counted that move, as they do by hundreds
AGAIN: Final = 0.5  # seconds after which a server that is away is tried again


async def say_nodes(connection: dict[str, Any], as_json: bool) -> None:
    """Say who is there; `connection` is what `NatsObserver.connected` is given."""
    async with NatsObserver.connected(**connection) as observer:
        nodes = await observer.nodes()
    if as_json:
        say_json([_node_as_json(seen) for seen in nodes])
    elif not nodes:
        say("no node is there")
    else:
        width = max(4, *(len(seen.node) for seen in nodes))
        say(f"{'node':<{width}}  {'incarnation':>19}  heard")
        say(*(f"{plain(seen.node):<{width}}  {_node_as_text(seen)}" for seen in nodes))


def _node_as_json(seen: SeenNode) -> dict[str, Any]:
    return {
        "node": seen.node,
        "incarnation": seen.member.incarnation,
        "leaves": seen.member.leaves,
        "heard": round(seen.heard, 3),
        "ttl": seen.ttl,
    }


def _node_as_text(seen: SeenNode) -> str:
    ttl = "" if seen.ttl is None else f", of {seen.ttl} s"
    leaves = ", and leaves" if seen.member.leaves else ""
    return f"{seen.member.incarnation:>19}  {in_seconds(seen.heard)} ago{ttl}{leaves}"


async def say_names(connection: dict[str, Any], as_json: bool) -> None:
    """Say who has which name; `connection` is what `NatsObserver.connected` is given."""
    async with NatsObserver.connected(**connection) as observer:
        names = await observer.names()
        there = {(seen.node, seen.member.incarnation) for seen in await observer.nodes()}
    rows = [
        {"name": name, **held._asdict(), "is_there": held[:2] in there} for name, held in names
    ]
    if as_json:
        say_json(rows)
        return
    if not rows:
        say("no name is taken")
        return
    width = max(4, *(len(quoted(row["name"])) for row in rows))
    node = max(4, *(len(str(row["node"])) for row in rows))
    say(f"{'name':<{width}}  {'node':<{node}}  {'incarnation':>19}  number")
    for row in rows:
        gone = "" if row["is_there"] else "  (that node is gone)"
        say(
            f"{quoted(row['name']):<{width}}  {plain(row['node']):<{node}}"
            f"  {row['incarnation']:>19}  {row['number']}{gone}"
        )


async def say_shards(connection: dict[str, Any], as_json: bool) -> None:
    """Say who has how many shards; `connection` is what `NatsObserver.connected` is given."""
    async with NatsObserver.connected(**connection) as observer:
        taken = await observer.shards()
        there = {(seen.node, seen.member.incarnation) for seen in await observer.nodes()}
    counts = Counter((prefix, held) for prefix, _, held in taken if held in there)
    prefixes = sorted({prefix for prefix, *_ in taken})
    rows: list[dict[str, Any]] = [{"prefix": it, "of": SHARDS} for it in prefixes]
    for row in rows:
        nodes = {held.node: counts[it, held] for it, held in sorted(counts) if it == row["prefix"]}
        row |= {"nodes": nodes, "nobody": row["of"] - sum(nodes.values())}
    if as_json:
        say_json(rows)
    elif not rows:
        say("no shard is taken")
    else:
        _say_counts([(quoted(row["prefix"]), *it) for row in rows for it in _who_has(row)])


def _who_has(row: dict[str, Any]) -> list[tuple[str, int]]:
    nobody = [("(nobody)", row["nobody"])] if row["nobody"] else []
    return [(plain(node), count) for node, count in row["nodes"].items()] + nobody


def _say_counts(rows: list[tuple[str, str, int]]) -> None:
    first = max(6, *(len(prefix) for prefix, _, _ in rows))
    second = max(4, *(len(node) for _, node, _ in rows))
    say(f"{'prefix':<{first}}  {'node':<{second}}  shards")
    say(*(f"{prefix:<{first}}  {node:<{second}}  {count:>6,}" for prefix, node, count in rows))


async def watch(connection: dict[str, Any], as_json: bool) -> None:
    """Say what happens, until it is cancelled; a server that is away is tried again."""
    lines: asyncio.Queue[list[str]] = asyncio.Queue()
    following = asyncio.ensure_future(_follow(connection, as_json, lines))
    try:
        while not following.done() or not lines.empty():
            next_ones = asyncio.ensure_future(lines.get())
            await asyncio.wait({following, next_ones}, return_when=asyncio.FIRST_COMPLETED)
            if next_ones.done():
                say(*next_ones.result())
            next_ones.cancel()
        await following
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _follow(
    connection: dict[str, Any], as_json: bool, lines: asyncio.Queue[list[str]]
) -> None:
    """Put what happens into `lines`."""
    overview, begun, counts = Overview(), False, False

    def tell_moved() -> None:
        nonlocal counts
        counts = False
        told = _moved_as_json if as_json else _moved_as_text
        lines.put_nowait([told(it) for it in overview.moved()])

    def followed(told: Snapshot | Change) -> None:
        nonlocal begun, counts
        happened = overview.followed(told)
        if begun:
            lines.put_nowait([_as_json(it) if as_json else _as_text(it) for it in happened])
        else:
            begun = True
            overview.moved()
            lines.put_nowait([_what_is_there(overview, as_json)])
        if overview.moves and not counts:
            counts = True
            asyncio.get_running_loop().call_later(TOGETHER, tell_moved)

    while True:
        try:
            async with NatsObserver.connected(**connection) as observer:
                await observer.follow(followed)
        except (NoConnection, Refused, TimeoutError) as error:
            if not begun:
                raise  # later, a server that has just started may say that it has no JetStream
            sys.stderr.write(f"{_now()}  {plain(error)}\n")
        await asyncio.sleep(AGAIN)


def _what_is_there(overview: Overview, as_json: bool) -> str:
    nodes, names = sorted(overview.nodes), len(overview.names)
    if as_json:
        return json.dumps({"kind": "begun", "at": time.time(), "nodes": nodes, "names": names})
    here = plain(", ".join(nodes)) if nodes else "no node"
    return f"{_now()}  {here}; {names:,} name{'' if names == 1 else 's'}"


def _as_json(it: Happening) -> str:
    told = {key: value for key, value in it._asdict().items() if value is not None}
    return json.dumps({**told, "at": time.time()})


def _as_text(it: Happening) -> str:
    who = f"{plain(it.node)} {it.incarnation}"
    match it.kind:
        case "down":
            return f"{_now()}  down      {who}: {it.reason}"
        case "up":
            return f"{_now()}  up        {who}"
        case kind:
            return f"{_now()}  {kind:<8}  {quoted(it.name)} of {who}, number {it.number}"


def _moved_as_json(it: ShardsMoved) -> str:
    told = {key: value for key, value in it._asdict().items() if value is not None}
    return json.dumps({"kind": "shards", **told, "at": time.time()})


def _moved_as_text(it: ShardsMoved) -> str:
    shards = f"{it.shards:,} shard{'' if it.shards == 1 else 's'} of {quoted(it.prefix)}"
    if it.giver is None:
        return f"{_now()}  taken     {shards} by {plain(it.taker or '')}"
    if it.taker is None:
        return f"{_now()}  released  {shards} by {plain(it.giver)}"
    return f"{_now()}  moved     {shards} from {plain(it.giver)} to {plain(it.taker)}"


def _now() -> str:
    return time.strftime("%H:%M:%S")
