"""The web services in examples: under load, and told to end with requests in flight."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from conftest import PATIENCE

SERVICES = Path(__file__).parent.parent / "examples" / "services"
IN_FLIGHT = 8

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be heard")

GUNICORN = ("-m", "gunicorn", "--threads", "16", "--log-level", "warning", "--bind")

# What runs each service on a port
COMMANDS = {
    "starlette_service": ("-m", "uvicorn", "--log-level", "warning", "--port", "{port}"),
    "flask_service": (*GUNICORN, "127.0.0.1:{port}", "--preload"),
    "django_service": (*GUNICORN, "127.0.0.1:{port}"),
}


def test_every_service_is_tested_here() -> None:
    assert {path.stem for path in SERVICES.glob("*_service.py")} == set(COMMANDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a service, which answers by then."""
    port = free_port()
    command = [part.format(port=port) for part in COMMANDS[name]]
    with subprocess.Popen(
        [sys.executable, *command, f"{name}:app"],
        cwd=SERVICES,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            until = time.monotonic() + PATIENCE
            while not answer(port, "/begun/it"):
                assert server.poll() is None, server.communicate()
                assert time.monotonic() < until, "it does not answer"
                time.sleep(0.02)  # nobody tells when a server listens
            yield server, port
        finally:
            server.kill()


def answer(port: int, path: str) -> str | None:
    """Return the answer to a request, or None if the service does not take it any more, or yet.

    Each has a connection of its own.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    assert response.status == 200, body
    return body


@pytest.mark.parametrize("name", COMMANDS)
def test_none_is_lost_when_it_is_told_to_end(name: str) -> None:
    pytest.importorskip(name.partition("_")[0])
    over = threading.Event()
    done: list[int] = []

    def keep_asking() -> None:
        while not over.is_set():
            text = answer(port, "/visit/quick")
            if text is None:
                return  # it takes no more
            done.append(json.loads(text)["visitor"])

    def ask_slowly(_: int) -> int:
        text = answer(port, "/visit/slow?takes=0.5")
        assert text is not None, "a request that was taken has no answer"
        return int(json.loads(text)["visitor"])

    with service(name) as (server, port), ThreadPoolExecutor(IN_FLIGHT + 4) as pool:
        try:
            quick = [pool.submit(keep_asking) for _ in range(4)]
            slow = [pool.submit(ask_slowly, number) for number in range(IN_FLIGHT)]
            while answer(port, "/begun/slow") != str(IN_FLIGHT):
                time.sleep(0)
            server.send_signal(signal.SIGTERM)
            out, _ = server.communicate(timeout=PATIENCE)
        finally:
            over.set()
        for future in quick:
            future.result()
        assert sorted(future.result() for future in slow) == list(range(1, IN_FLIGHT + 1))
    assert sorted(done) == list(range(1, len(done) + 1))  # each of them once
    [total] = re.findall(r"visits in all: (\d+)", out)
    assert int(total) == len(done) + IN_FLIGHT  # what it has done has been answered
    assert "Traceback" not in out, out
    assert server.returncode in (0, -signal.SIGTERM)  # as uvicorn has it
