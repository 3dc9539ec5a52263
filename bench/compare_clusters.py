"""fauxtp's clusters beside those of its peers: a call to another node, and a node that is killed.

    python -m bench.compare_clusters [ROUNDS]

It installs the peers as bench.compare does, runs the scripts of bench/peers whose names begin with
`cluster`, in turns, and writes the section of docs/comparison.md about them.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from bench import report
from bench.compare import DOCS, HERE, Peer, interpreter
from bench.comparison import Measure, Row
from bench.figures import aligned
from bench.figures import interpreter as this_interpreter

ROUNDS = 5
TOO_LONG = 120  # seconds, for one script in one round

MEASURES = [
    Measure("remote call", "a call to a process on another node, and its answer", 2_000),
    Measure("64 at a time", "the same with 64 calls in flight, for each call", 2_000),
    Measure(
        "killed: a new call",
        "the other node was killed a tenth of a second ago: how long a call to a process that it"
        " had takes to fail, or to be answered by another node",
        1,
    ),
    Measure(
        "killed: a call in flight",
        "how long after that a call fails that was being handled there",
        1,
    ),
]
PEERS = [
    Peer(
        "fauxtp",
        "cluster_ours.py",
        note=(
            "over a NATS server, with the usual lease of 15 s, in which what was in flight may"
            " yet be answered; `ttl` sets it"
        ),
    ),
    Peer(
        "casty",
        "cluster_casty.py",
        "casty",
        note="it starts the actor elsewhere by itself, which answers the new call",
    ),
    Peer(
        "lapinbeam",
        "cluster_lapinbeam.py",
        "lapinbeam",
        note=(
            "a call that waits without a timeout hears nothing of the end of its node: not in"
            " 40 s; a process is told by a monitor"
        ),
    ),
    Peer(
        "Ray",
        "cluster_ray.py",
        "ray",
        note="two nodes of `ray.cluster_utils`; its actors are not started elsewhere",
    ),
]
SECTION = """
{heading}

Two nodes on one machine, in a process each. Medians of {rounds} rounds in which all took turns.

{table}

{measures}

{notes}

Measured on {date}: {interpreter}, {machine}.
`make bench-cluster-peers` measures on your machine, and writes this section.
"""


def run(peer: Peer, interpreter: str, row: Row) -> None:
    """Take all measures of a peer once, and note them."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [interpreter, str(HERE / "peers" / peer.script)]
    try:
        done = subprocess.run(
            command,
            env={**environment, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            timeout=TOO_LONG,
        )
    except subprocess.CalledProcessError:
        row.state = "failed"
    except subprocess.TimeoutExpired:
        row.state = f"took more than {TOO_LONG} s"
    else:
        for line in done.stdout.splitlines():
            if line.startswith("{"):  # else it is something that a peer says
                row.note(**json.loads(line))


def measure(rounds: int) -> list[Row]:
    rows = [Row(peer.label, notes=[peer.note] if peer.note else []) for peer in PEERS]
    present = []
    for peer, row in zip(PEERS, rows, strict=True):
        runner, row.state = interpreter(peer)
        if runner:
            present.append((peer, runner, row))
    for turn in range(1, rounds + 1):
        print(f"round {turn} of {rounds}", flush=True)
        for peer, runner, row in present:
            if not row.state:
                run(peer, runner, row)
    return rows


def section(rows: Sequence[Row], rounds: int) -> str:
    return SECTION.format(
        heading=report.CLUSTERS,
        rounds=rounds,
        table=report.markdown(report.table(rows, MEASURES)),
        measures="\n".join(f"- **{each.name}**: {each.meaning}." for each in MEASURES),
        notes="\n".join(f"- {row.label}: {'; '.join(row.notes)}." for row in rows if row.notes),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        interpreter=this_interpreter(),
        machine=report.machine(),
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    rows = measure(rounds)
    print("", *aligned(report.table(rows, MEASURES)), "", sep="\n")
    page = DOCS / "comparison.md"
    text = page.read_text("utf-8")
    page.write_text(text.removesuffix(report.of_clusters(text)) + section(rows, rounds), "utf-8")


if __name__ == "__main__":
    main()
