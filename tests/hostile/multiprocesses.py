"""Start children by multiprocessing: `multiprocesses fork|spawn|forkserver`.

Beside a thread that runs actors. In each child the registry and actors must work; no PID may
get there. What is wrong ends this program by an error.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import anyio

import fauxtp

PATIENCE = 30.0


class Counter(fauxtp.GenServer[Any, Any]):
    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, state: int) -> Any:
        return state + request, state + request


async def count(to: int) -> int:
    """Let a server count, and end it."""
    async with anyio.create_task_group() as group:
        await Counter.start(task_group=group, register_as="counter")
        for _ in range(to):
            answer: int = await fauxtp.call("counter", 1)
        fauxtp.exit("counter")
    return answer


def work(backend: str) -> tuple[str, list[str], list[str], int]:
    """Do in a child what it should be able to; say which registry it has, and who is there."""
    before, names = [repr(pid) for pid in fauxtp.processes()], fauxtp.registered()
    assert fauxtp.register("child", fauxtp.PID())
    total = anyio.run(count, 5, backend=backend)
    assert fauxtp.registered() == [*names, "child"]
    return fauxtp.registry.implementation, before, names, total


def tell(outcome: Connection, backend: str) -> None:
    """Work, and send what came of it; a PID cannot be sent."""
    outcome.send(work(backend))
    for secret in (fauxtp.PID(), fauxtp.Ref(), fauxtp.Registry()):
        try:
            outcome.send(secret)
        except TypeError as error:
            outcome.send(str(error))
    outcome.close()


def check(method: str, backend: str) -> None:
    """Start one child by hand, and two jobs in a pool."""
    context: Any = multiprocessing.get_context(method)
    mine, theirs = context.Pipe(duplex=False)
    child = context.Process(target=tell, args=(theirs, backend))
    child.start()
    theirs.close()
    expected: tuple[Any, ...] = (fauxtp.registry.implementation, [], [], 5)
    assert mine.poll(PATIENCE), "the child hangs"
    came = mine.recv()
    assert came == expected, came
    for kind, problem in (("PID", "pickle"), ("Ref", "pickle"), ("Registry", "copy or pickle")):
        told = mine.recv()
        assert told.startswith(f"cannot {problem} a {kind}: "), told
    child.join(PATIENCE)
    assert child.exitcode == 0, child.exitcode
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(work, backend).result(PATIENCE)[3] == 5
        error = pool.submit(repr, fauxtp.PID()).exception(PATIENCE)
        assert isinstance(error, TypeError), error
        assert str(error).startswith("cannot pickle a PID: "), error


async def serve(started: threading.Event) -> None:
    async with anyio.create_task_group() as group:
        await Counter.start(task_group=group, register_as="counter")
        started.set()


def main(method: str, backend: str) -> None:
    started = threading.Event()
    beside = threading.Thread(
        target=anyio.run, args=(serve, started), kwargs={"backend": backend}, daemon=True
    )
    beside.start()
    started.wait()
    check(method, backend)
    assert fauxtp.call_blocking("counter", 1) == 1
    fauxtp.exit("counter")
    beside.join(PATIENCE)
    assert not beside.is_alive(), "the actors do not end"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
