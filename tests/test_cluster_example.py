"""The programs of examples/cluster meet at a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE
from engines import new_cluster
from nats_server import free_port

EXAMPLES = Path(__file__).parent.parent / "examples" / "cluster"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="these are not the sources")


def test_the_shop_charges_at_the_till(nats_server: Any) -> None:
    cluster = new_cluster()
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name), nats_server.url, cluster],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("till.py", "shop.py")
    ]
    try:
        till, shop = [one.communicate(timeout=PATIENCE)[0].splitlines() for one in both]
    finally:
        for one in both:
            one.kill()
            one.communicate()
    assert till == ["the till is open", "the till is closed"]
    assert shop == ["the sum is 42", "the sum is 50", "nodes: ['shop', 'till']"]


MOST = 40  # requests in a minute


@contextmanager
def workers(url: str) -> Iterator[int]:
    """Let two workers run, and yield the port at which they answer."""
    port = free_port()
    command = ("-m", "uvicorn", "--log-level", "warning", "--workers", "2", "--port", str(port))
    with subprocess.Popen(
        [sys.executable, *command, "web:app"],
        cwd=EXAMPLES,
        env={**os.environ, "NATS_URL": url, "CLUSTER": new_cluster(), "MOST": str(MOST)},
    ) as parent:
        try:
            yield port
            parent.terminate()
            assert parent.wait(PATIENCE) == 0
        finally:
            parent.terminate()  # which ends the workers
            with suppress(subprocess.TimeoutExpired):
                parent.wait(PATIENCE)
            parent.kill()


def visited(port: int, user: str) -> dict[str, Any] | None:
    """Return the answer of whichever worker takes a new connection, or None if it refuses."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/visit/{user}", headers={"Connection": "close"})
        response = connection.getresponse()
        told: dict[str, Any] = json.loads(response.read())
        return told if response.status == 200 else None
    finally:
        connection.close()


def until_visited(port: int, user: str) -> dict[str, Any]:
    """Do as `visited`, as soon as somebody listens."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            told = visited(port, user)
        except (OSError, HTTPException):
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.02)  # nobody tells when a server listens
        else:
            assert told is not None
            return told


def until_both_answer(port: int) -> None:
    workers, end = {until_visited(port, "first")["worker"]}, time.monotonic() + PATIENCE
    with ThreadPoolExecutor(8) as pool:
        while len(workers) < 2:
            assert time.monotonic() < end, "one worker has all connections"
            users = [f"{number}-at-{time.monotonic()}" for number in range(8)]
            told = pool.map(partial(until_visited, port), users)
            workers |= {one["worker"] for one in told}


def until_ended(pid: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)  # nobody tells, as it is another's child
    raise AssertionError(f"{pid} does not end")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be heard")
def test_workers_share_a_limit_and_sessions_that_go_on_when_one_ends(nats_server: Any) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    with workers(nats_server.url) as port:
        until_both_answer(port)
        first = until_visited(port, "anna")
        assert first["visits"] == 1
        with ThreadPoolExecutor(8) as pool:
            bert = [*pool.map(partial(visited, port), ["bert"] * (MOST + 20))]
        answers = [told for told in bert if told is not None]
        assert len(answers) == MOST
        assert sorted(told["visits"] for told in answers) == [*range(1, MOST + 1)]
        os.kill(first["session"], signal.SIGTERM)
        until_ended(first["session"])
        again = until_visited(port, "anna")
        assert again["visits"] == 2, "it was handed over"
        assert again["session"] != first["session"]
