"""Five nodes and three servers, as OS processes, are killed and stopped at random, for minutes.

What the nodes note is judged as in `test_cluster`: `make torture ONLY=cluster`.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from typing import IO, Any

import nats_server as nats
import pytest
from conftest import PATIENCE

pytest.importorskip("nats")

from hostile import effort, programs
from hostile.cluster_judge import judge
from hostile.cluster_load import Journal, Note
from hostile.cluster_node import NODES, TTL

SHARE = 0.3  # of the minutes of torture
SEASON = 45.0  # seconds
WINDOW = 1.0  # seconds that a node that was stopped may go on to act, on a machine that is busy

pytestmark = [
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
    pytest.mark.skipif(not effort.MINUTES, reason="in torture only"),
]


class Beside:
    """A node beside the test, and what it notes."""

    def __init__(self, node: str, number: int, urls: list[str], notes: list[Note]) -> None:
        self.node = node
        self.prefix = f"{node}{number}"
        self.is_back = threading.Event()
        self._notes = notes
        arguments = self.prefix, node, str(number), *urls
        self._process = programs.start("cluster_node", *arguments, stdin=subprocess.PIPE)
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout,)),
            threading.Thread(target=self._hear, args=(self._process.stderr,)),
        ]
        self.errors: list[str] = []
        for reader in self._readers:
            reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            if line.endswith("\n"):  # else it was killed as it wrote
                note = Note(*json.loads(line))
                self._notes.append(note)
                if note.what == "back":
                    self.is_back.set()

    def _hear(self, lines: IO[str]) -> None:
        self.errors += [line for line in lines if "Traceback" in line or "Error" in line]

    def say(self) -> None:
        """Give it a line: it stops to work; or, the second time, leaves."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def signal(self, which: int) -> None:
        self._process.send_signal(which)

    def end(self) -> None:
        """End it by its own handle, and wait until all that it noted is here."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


class Storm:
    """Faults, one after the other, until the season is over."""

    def __init__(self, servers: list[nats.NatsServer], seed: int) -> None:
        self.notes: list[Note] = []
        self.counts: Counter[str] = Counter()
        self._servers = servers
        self._chance = random.Random(seed)
        self._journal = Journal(time.monotonic, self.notes.append)
        self._number = 0
        self.nodes = {node: self._new(node) for node in NODES}

    def _new(self, node: str) -> Beside:
        self._number += 1
        return Beside(node, self._number, [server.url for server in self._servers], self.notes)

    def blow(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(self._chance.uniform(0.5, 3.0))
            kind = self._chance.choice(["kill", "stop", "stop", "server"])
            self.counts[kind] += 1
            node = self._chance.choice(NODES)
            self._journal.note("fault", node, kind)
            getattr(self, f"_{kind}")(node)
            self._journal.note("healed", node, kind)

    def _kill(self, node: str) -> None:
        beside = self.nodes[node]
        beside.end()
        self._journal.note("killed", node, f"{beside.prefix}-")
        self.nodes[node] = self._new(node)

    def _stop(self, node: str) -> None:
        self.nodes[node].signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.1, 2) * TTL)
        self.nodes[node].signal(signal.SIGCONT)

    def _server(self, _: str) -> None:
        server = self._chance.choice(self._servers)
        server.kill()
        time.sleep(self._chance.uniform(0.5, 2 * TTL))
        server.start()

    def see_all_back(self) -> list[str]:
        """Let all stop to work; return who is not back in time, and what they complain of."""
        for beside in self.nodes.values():
            beside.say()
        until = time.monotonic() + 2 * PATIENCE
        return [
            f"{node} is not back: {beside.errors[-5:]}"
            for node, beside in self.nodes.items()
            if not beside.is_back.wait(max(0.0, until - time.monotonic()))
        ]

    def end(self) -> None:
        for beside in self.nodes.values():
            beside.end()


def test_processes_and_servers_are_killed_and_stopped() -> None:
    end = time.monotonic() + effort.seconds(SEASON, SHARE)
    counts: Counter[str] = Counter()
    seasons, window = 0, 0.0
    while not seasons or time.monotonic() < end:
        with nats.three() as servers:
            storm: Any = Storm(servers, effort.SEED + seasons)
            try:
                storm.blow(SEASON)
                away = storm.see_all_back()
            finally:
                storm.end()
        assert away == []
        found = judge(sorted(storm.notes), window=WINDOW, late=None)
        assert not found.faults, found.faults
        counts.update(found.counts)
        counts.update(storm.counts)
        seasons, window = seasons + 1, max(window, found.window)
    for what in ("got", "refused", "handled", "answered"):
        assert counts[what] > 0, what
    told = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    effort.report(
        f"cluster, five nodes and three servers as processes: {seasons} seasons of {SEASON:g} s,"
        f" two holders for at most {window:.2f} s: {told}"
    )
