"""fauxtp beside its peers: the same measures of all, in one run, in turns.

    python -m bench.compare [ROUNDS]

It makes an environment under build/peers for each peer that Python's package index has for this
interpreter, runs the scripts of bench/peers in them, and writes docs/comparison.md and
docs/comparison.svg. `make bench-peers` does it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import chart, report
from bench.comparison import MEASURES, Row
from bench.figures import aligned

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
ENVIRONMENTS = HERE.parent / "build" / "peers" / sys.implementation.cache_tag
ROUNDS = 7
TOO_LONG = 120  # seconds, for one script in one round
COUNTS = {measure.name: measure.count for measure in MEASURES}
IDLE = COUNTS["memory"]


@dataclass(frozen=True)
class Peer:
    """Somebody to measure: which script, run by what."""

    label: str
    script: str
    requirement: str = ""  # what pip installs; nothing: it runs in the environment of this run
    program: str = ""  # what runs the script, if that is not a Python
    options: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # where others would take too long
    note: str = ""


PEERS = [
    Peer("fauxtp", "ours.py"),
    Peer("fauxtp on uvloop", "ours.py", options=("uvloop",)),
    Peer(
        "bare asyncio",
        "bare.py",
        note=(
            "tasks fed by deques that answer through futures, and `dict.get` for a look-up: no"
            " errors, no timeouts, no deaths"
        ),
    ),
    Peer("bare asyncio on uvloop", "bare.py", options=("uvloop",)),
    Peer(
        "fauxtp 0.3.1",
        "fauxtp_old.py",
        "fauxtp[rpds]==0.3.1",
        counts={"look-up": 4_000, "memory": 20_000},
        note=(
            "a server keeps the names, so that a look-up is a call; installed with `rpds`, for"
            " without that each new name copies all others"
        ),
    ),
    Peer("fauxtp 0.2.0", "fauxtp_old.py", "fauxtp==0.2.0", counts={"memory": 20_000}),
    Peer(
        "Pykka",
        "pykka_.py",
        "pykka",
        counts={"look-up": 4_000, "memory": 5_000},
        note=(
            "each actor is a thread, and so is each of the 100 clients; a name is the URN that"
            " it gives an actor; to suspend is `time.sleep(0)`"
        ),
    ),
    Peer(
        "xoscar",
        "xoscar_.py",
        "xoscar",
        counts={"look-up": 20_000},
        note=(
            "within one process, through local references: a call takes a lock and calls the"
            " method, without a mailbox"
        ),
    ),
    Peer(
        "casty",
        "casty_.py",
        "casty",
        note=(
            "within one process; a reference is made and not looked up, an actor starts by its"
            " first call, which is part of start + stop"
        ),
    ),
    Peer(
        "lapinbeam",
        "lapinbeam_.py",
        "lapinbeam",
        counts={"memory": 20_000},
        note="within one node; each actor that is stopped has a supervisor of its own",
    ),
    Peer(
        "Erlang",
        "erlang.escript",
        program="escript",
        note="`whereis` and `gen_server`, on all cores",
    ),
    Peer(
        "Elixir",
        "elixir.exs",
        program="elixir",
        note="`Registry.lookup` and `GenServer`, on all cores",
    ),
]


def interpreter(peer: Peer) -> tuple[str, str]:
    """Return what runs the peer's script; or nothing, and why."""
    if peer.program:
        found = shutil.which(peer.program)
        return (found, "") if found else ("", "not on this machine")
    if not peer.requirement:
        return sys.executable, ""
    place = ENVIRONMENTS / peer.requirement
    python, finished = place / "bin" / "python", place / "finished"
    if not finished.exists():
        print(f"installing {peer.requirement}")
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        if subprocess.run([*pip, peer.requirement], check=False).returncode:
            return "", "not to be had for this Python"
        finished.touch()
    return str(python), ""


def run(peer: Peer, interpreter: str, names: Sequence[str], row: Row) -> None:
    """Take measures of a peer once, and note them."""
    asked = [f"{name}={peer.counts.get(name, COUNTS[name])}" for name in names]
    command = [interpreter, str(HERE / "peers" / peer.script), *peer.options, *asked]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=TOO_LONG,
        )
    except subprocess.CalledProcessError as failure:
        print(failure.stderr, file=sys.stderr)
        row.state = "failed"
    except subprocess.TimeoutExpired:
        row.state = f"took more than {TOO_LONG} s"
    else:
        for line in filter(None, done.stdout.splitlines()):
            row.note(**json.loads(line))


def measure(rounds: int) -> list[Row]:
    """Take all measures of all peers, in turns; memory, which hardly varies, in one turn."""
    rows = [Row(peer.label, notes=[peer.note] if peer.note else []) for peer in PEERS]
    present = []
    for peer, row in zip(PEERS, rows, strict=True):
        runner, row.state = interpreter(peer)
        if runner:
            present.append((peer, runner, row))
        if peer.counts.get("memory", IDLE) != IDLE:
            row.notes.append(f"memory of {peer.counts['memory']:,} processes only")
    times = [name for name in COUNTS if name != "memory"]
    for turn, names in enumerate([*[times] * rounds, ["memory"]], 1):
        print(f"round {turn} of {rounds + 1}", flush=True)
        for peer, runner, row in present:
            if not row.state:
                run(peer, runner, names, row)
    return rows


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    rows = measure(rounds)
    print("", *aligned(report.table(rows)), "", sep="\n")
    (DOCS / "comparison.svg").write_text(chart.draw(rows), "utf-8")
    page = DOCS / "comparison.md"
    clusters = report.of_clusters(page.read_text("utf-8"))  # which bench.compare_clusters writes
    page.write_text(report.document(rows, rounds) + clusters, "utf-8")


if __name__ == "__main__":
    main()
