"""Threads, as those of a Flask or WSGI server, call actors that live in an event loop.

The web application is synchronous and knows nothing of event loops. What it calls by its name
starts with the first call, in a thread of its own; `app.call` waits for the answer as any
function does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fauxtp import Call, ChildSpec, GenServer, Supervisor, in_thread, whereis

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


app = in_thread(Actors)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer one request: a WSGI application, which runs in any of the server's threads."""
    number = app.call("visits", ("visit", environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"you are visitor {number}".encode()]


def serve(path: str) -> bytes:
    """Do what a WSGI server does with one request."""
    return b"".join(application({"PATH_INFO": path}, lambda status, headers: None))


def main() -> None:
    paths = [f"/page/{number % 4}" for number in range(REQUESTS)]
    with ThreadPoolExecutor(THREADS) as pool:
        bodies = list(pool.map(serve, paths))

    print("requests:", len(bodies), "in", THREADS, "threads")
    print("different answers for each page:", len(set(bodies)))
    print("visits:", app.call("visits", "stats"))
    app.stop()  # or it ends in order when the program does
    print("after the end:", whereis("visits"))


if __name__ == "__main__":
    main()
