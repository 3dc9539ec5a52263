"""Pykka: every actor is a thread, and a call blocks the thread that makes it.

Its names are the URNs it gives its actors; giving way for once is `time.sleep(0)` there.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

import protocol
import pykka


class Server(pykka.ThreadingActor):
    def __init__(self, behind: pykka.ActorRef | None = None) -> None:
        super().__init__()
        self.behind = behind

    def on_receive(self, message: Any) -> Any:
        if message == "suspend":
            time.sleep(0)
        elif message == "pass on" and self.behind is not None:
            return self.behind.ask(None)
        return 0


def look_up(urns: dict[str, str], count: int) -> float:
    chosen = [urns[name] for name in protocol.some_names(count)]
    started = time.perf_counter()
    for urn in chosen:
        pykka.ActorRegistry.get_by_urn(urn)
    return (time.perf_counter() - started) / count


def asks(server: pykka.ActorRef, message: Any, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        server.ask(message)
    return (time.perf_counter() - started) / count


def asks_by_many(server: pykka.ActorRef, count: int) -> float:
    each = count // protocol.CLIENTS

    def client() -> None:
        for _ in range(each):
            server.ask(None)

    with ThreadPoolExecutor(protocol.CLIENTS) as clients:
        started = time.perf_counter()
        for done in [clients.submit(client) for _ in range(protocol.CLIENTS)]:
            done.result()
        return (time.perf_counter() - started) / (each * protocol.CLIENTS)


def tells(server: pykka.ActorRef, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        server.tell(None)
    server.ask(None)
    return (time.perf_counter() - started) / count


def starts_and_stops(count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        Server.start().stop()
    return (time.perf_counter() - started) / count


def memory(count: int) -> float:
    before = protocol.resident()
    for _ in range(count):
        Server.start()
    return (protocol.resident() - before) / count


def main() -> None:
    protocol.say("version", version("pykka"))
    last = Server.start()
    server = Server.start(last)
    urns = {name: Server.start().actor_urn for name in protocol.NAMES}
    protocol.answer_blocking(
        {
            "look-up": partial(look_up, urns),
            "call": partial(asks, server, None),
            "100 clients": partial(asks_by_many, server),
            "chain": partial(asks, server, "pass on"),
            "suspends": partial(asks, server, "suspend"),
            "cast": partial(tells, server),
            "start + stop": starts_and_stops,
            "memory": memory,
        }
    )


if __name__ == "__main__":
    main()
