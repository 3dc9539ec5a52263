"""What happens in a program is told to who watches it, and what is counted."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from agents import looking, until

from fauxtp import (
    CallCycle,
    ChildSpec,
    GenServer,
    ReceiveTimeout,
    Supervisor,
    call,
    cast_nowait,
    in_thread,
    send_nowait,
)
from fauxtp.observe import Agent, events, happenings, watch

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


SECRET = "hunter2"


class Happens(GenServer[Any, Any]):
    async def handle_cast(self, request: Any, state: Any) -> Any:
        raise ValueError(request)


class Watched(Supervisor):
    max_restarts = 100

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("it", Happens, register_as="it")]


def told_until(pieces: Iterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the events that are told until one of that kind is."""
    found: list[dict[str, Any]] = []
    while not any(event["kind"] == kind for event in found):
        found += next(pieces)["events"]
    return found


def test_what_happens_is_told_as_it_does_and_of_messages_the_label(served: Agent) -> None:
    with in_thread(Watched, register_as="app"), looking(served) as viewer:
        pieces = viewer.ask("watch", kinds=[*happenings.FAULTS, "started", "ended"])
        asks = threading.Thread(
            target=cast_when, args=(lambda: events._listeners, "it", ("log in", SECRET))
        )
        asks.start()
        told = told_until(pieces, "restarted")
        asks.join()
        pid = next(event for event in told if event["kind"] == "crashed")["pid"]
        while "started" not in {event["kind"] for event in told}:
            told += told_until(pieces, "started")
        kinds = [event["kind"] for event in told]
        assert {"crashed", "ended", "restarted", "started"} <= {*kinds}
        crash = told[kinds.index("crashed")]
        assert crash["labels"] == ["Happens", "ValueError"]
        assert crash["details"] == {"error": "ValueError"}
        assert abs(crash["at"] - time.time()) < 60
        chief = told[kinds.index("restarted")]["process"]
        assert (chief["class"], chief["names"], chief["supervisor"]) == ("Watched", ["app"], None)
        assert crash["process"] == {
            "pid": pid,
            "class": "Happens",
            "names": ["it"],
            "handling": "Cast ('log in', …)",
            "supervisor": chief["pid"],
        }
        assert told[kinds.index("ended")]["pid"] == pid
        assert told[kinds.index("restarted")]["labels"] == ["Watched", "it"]
        send_nowait("nobody", ("log in", SECRET))
        letter = told_until(pieces, "dead_letter")[-1]
        assert letter["details"] == {"to": "nobody", "message": "('log in', …)"}
        assert SECRET not in json.dumps([told, letter])
    until(lambda: not events._listeners)  # nobody listens when nobody looks


class Asks(GenServer[Any, Any]):
    """Calls whom it is told to, and does not wait for long."""

    async def handle_cast(self, request: Any, state: Any) -> Any:
        whom, timeout = request
        try:
            await call(whom, (whom, timeout), timeout=timeout)
        except (CallCycle, ReceiveTimeout):
            pass
        return state

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request[0] == "third":
            await anyio.sleep_forever()
        return await self.handle_cast(("first", None), state), state


class Circle(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec(name, Asks, register_as=name, shutdown=0)
            for name in ("first", "second", "third")
        ]


def test_who_called_in_a_circle_or_in_vain_is_told_with_names() -> None:
    with in_thread(Circle, register_as="app"):
        told: Any = happenings.happenings(["call_cycle", "call_timed_out"])
        asks = threading.Thread(
            target=cast_when, args=(lambda: events._listeners, "first", ("second", 60))
        )
        asks.start()
        [cycle] = told_until(told, "call_cycle")
        asks.join()
        assert [who["names"] for who in cycle["others"]] == [["second"], ["first"], ["second"]]
        cast_nowait("first", ("third", 0.001))
        [late] = told_until(told, "call_timed_out")
        assert late["process"]["names"] == ["third"]
        assert [who["names"] for who in late["others"]] == [["first"]]
        cast_nowait("first", ("third", Seconds(0.001)))
        [late] = told_until(told, "call_timed_out")
        assert type(late["details"]["timeout"]) is float, "it may be one of numpy"
        told.close()


class Seconds(float):
    """A number of a type of somebody's own."""


def cast_when(may: Callable[[], Any], whom: str, request: Any) -> None:
    until(may)
    cast_nowait(whom, request)


def test_only_what_is_asked_for_is_told_and_never_too_much(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happenings, "BEAT", 0.01)
    monkeypatch.setattr(happenings, "MOST", 10)
    told: Any = happenings.happenings(["dead_letter"])
    assert next(told) == {
        "events": [],
        "left_out": 0,
        "unwatched": [],
        "more": True,
    }  # a sign of life
    for number in range(25):
        send_nowait("nobody", number)
    piece = next(told)
    assert [event["details"]["message"] for event in piece["events"]] == ["int"] * 10
    assert piece["left_out"] == 15
    told.close()
    assert not events._listeners


def test_counts_are_told(served: Agent) -> None:
    with looking(served) as viewer:

        def letters() -> int:
            counts = viewer.answer("counts")["counts"]
            return sum(number for *key, number in counts if key == ["dead_letter", "noproc"])

        before = letters()
        send_nowait("nobody", 1)
        assert letters() == before + 1


def test_what_nobody_looks_for_is_said() -> None:
    told: Any = happenings.happenings(["restarted", "loop_blocked", "slow_handler"])
    assert next(told)["unwatched"] == ["slow_handler", "loop_blocked"]
    with watch(loop_blocked=60.0):
        assert next(told)["unwatched"] == []
    told.close()
