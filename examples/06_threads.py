"""Threads, as those of a Flask or WSGI server, call actors that live in an event loop.

The web application is synchronous and knows nothing of event loops. It calls a server by its
name; `call_blocking` waits for the answer as any function does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal

from fauxtp import Call, ChildSpec, GenServer, Supervisor, call_blocking, exit, whereis

THREADS = 8
REQUESTS = 400


class Visits(GenServer[Any, Any]):
    """Counts. All threads share this one, and it needs no lock."""

    async def init(self) -> Counter[str]:
        return Counter()

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:
            case ("visit", path):
                state[path] += 1
                return state[path], state
            case "stats":
                return dict(sorted(state.items())), state


class Actors(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("visits", Visits, register_as="visits")]


async def run_actors(*, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
    async with anyio.create_task_group() as task_group:
        await Actors.start(task_group=task_group, register_as="actors")
        task_status.started()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer one request: a WSGI application, which runs in any of the server's threads."""
    number = call_blocking("visits", ("visit", environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"you are visitor {number}".encode()]


def serve(path: str) -> bytes:
    """Do what a WSGI server does with one request."""
    return b"".join(application({"PATH_INFO": path}, lambda status, headers: None))


def main() -> None:
    # The portal is a thread where an event loop runs; `start_task` returns at `started()`.
    with start_blocking_portal() as portal:
        actors, _ = portal.start_task(run_actors)

        paths = [f"/page/{number % 4}" for number in range(REQUESTS)]
        with ThreadPoolExecutor(THREADS) as pool:
            bodies = list(pool.map(serve, paths))

        print("requests:", len(bodies), "in", THREADS, "threads")
        print("different answers for each page:", len(set(bodies)))
        print("visits:", call_blocking("visits", "stats"))
        exit("actors")  # like `send_nowait` and `whereis`, from any thread
        actors.result()
    print("after the end:", whereis("visits"))


if __name__ == "__main__":
    main()
