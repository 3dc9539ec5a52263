"""What a page is told: the last snapshot, figures of those before, and what went wrong lately."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pictured import crowd, row

from fauxtp._commands.charts import Charts
from fauxtp._commands.lately import KEPT, Lately
from fauxtp._commands.snapshots import CHILDREN, MARKED, OLD, Snapshots


class Told:
    """Stands in for a viewer, and counts what it is asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.times = rows, 0

    def program(self) -> dict[str, Any]:
        return {"pid": 1}

    def answer(self, ask: str) -> dict[str, Any]:
        assert ask == "counts"
        return {
            "counts": [["handled", "Store", 7], ["handled", "Other", 3], ["ended", "X", "y", 1]]
        }

    def processes(self) -> list[dict[str, Any]]:
        self.times += 1
        return self.rows


def test_a_program_is_asked_once_a_second_whoever_looks() -> None:
    viewer: Any = Told(crowd(1000, mailbox=9, names=["the one"]))
    snapshots = Snapshots(lambda: viewer)
    frames = [snapshots.frame("mailbox", "", ()) for _ in range(20)]
    assert viewer.times == 1
    past = frames[0]["past"]
    assert (len(past["ages"]), past["begins"]) == (1, [0])
    assert {one["name"]: one["values"] for one in past["charts"]} == {
        "processes": [1001],
        "messages waiting": [9],
        "longest mailbox": [9],
        "in a handler": [0],
        "longest in a handler": [0.0],
        "handled": [None],
        "crashes": [None],
    }
    assert (frames[0]["found"], frames[0]["table"][0]["names"]) == (1001, ["the one"])
    assert len(json.dumps(frames[0])) < 100_000
    assert len(snapshots.rows()) == 1001
    assert viewer.times == 1
    snapshots._last.at -= 5
    assert snapshots.frame("mailbox", "", (), at_once=True)["age"] >= 5
    assert viewer.times == 1
    snapshots._last.at -= OLD
    assert snapshots.frame("mailbox", "", (), at_once=True)["age"] < 5
    assert viewer.times == 2


def test_rates_are_those_since_the_last_snapshot_and_none_over_a_gap() -> None:
    charts = Charts()
    for now, handled in ((0, 10), (2, 60), (4, 110), (400, 9000), (401, 9010)):
        charts.note(now, 0.1, [], [["handled", "Store", handled], ["crashed", "Store", "E", 1]])
        if now == 4:
            told = charts.told(5)
            assert (told["ages"], told["begins"]) == ([5, 3, 1], [0])
            assert values(told) == {"handled": [None, 25, 25], "crashes": [None, 0, 0]}
    told = charts.told(401)
    assert (told["ages"], told["begins"]) == ([1, 0], [0])  # what is older is forgotten
    assert values(told) == {"handled": [None, 10], "crashes": [None, 0]}
    charts.note(411, 5, [], [])  # which is as soon as one can be that takes so long
    charts.note(420, 0.1, [], [])
    assert charts.told(420)["begins"] == [0, 3]


def values(told: dict[str, Any]) -> dict[str, list[float | None]]:
    return {one["name"]: one["values"] for one in told["charts"] if one["unit"] == "/s"}


@pytest.mark.parametrize(
    ("find", "found"),
    [("THE ONE", 1), ("<PID 17>", 1), ("store", 1001), ("x", 0), ("handled", 0)],
)
def test_what_is_looked_for_is_found(find: str, found: int) -> None:
    viewer: Any = Told(crowd(1000, names=["the one"], handling="'handled'"))
    frame = Snapshots(lambda: viewer).frame("mailbox", find, ())
    assert (frame["find"], frame["found"]) == (find, found)
    marked = [node for node in frame["tree"]["nodes"] if node["is_found"]]
    assert len(marked) == min(found, MARKED)


def test_of_whom_somebody_waits_for_it_is_told_who_that_is_though_it_is_not_found() -> None:
    viewer: Any = Told([row(1), row(2, 1, names=["one"], waiting_for=3), row(3, 1, names=["two"])])
    [told] = Snapshots(lambda: viewer).frame("mailbox", "one", ())["table"]
    assert (told["waits_for"]["class"], told["waits_for"]["names"]) == ("Store", ["two"])


def test_restarts_are_those_of_a_process_and_not_of_its_children() -> None:
    rows = [row(1, restarts_below=90), row(2, 1, restarts=40), row(3, 1, restarts=50)]
    snapshots = Snapshots(lambda: Told(rows))  # type: ignore[arg-type,return-value]
    table = snapshots.frame("restarts", "", ())["table"]
    assert [one["pid"] for one in table] == [3, 2, 1]


# Who has ended, and what went wrong


def crash(pid: int, name: str | None = "w", at: float = 0.0, **more: Any) -> dict[str, Any]:
    who = {"pid": pid, "class": "Weather", "names": [name] if name else [], "supervisor": 1}
    return {
        "at": at or time.time(),
        "kind": "crashed",
        "pid": pid,
        "labels": ["Weather", "TimeoutError"],
        "details": {"error": "TimeoutError"},
        "process": {**who, "handling": "'poll'"},
        "others": [],
        **more,
    }


def test_what_happens_again_is_one_with_a_count() -> None:
    lately = Lately(lambda: Told([]))  # type: ignore[arg-type,return-value]
    lately.hear(crash(pid, at=float(pid)) for pid in range(1, 40))
    lately.hear([crash(50, "v", 50.0), crash(51, None, 51.0)])
    [told] = lately.told()
    assert (told["at"], told["count"], told["names"]) == (51.0, 41, ["v", "w"])
    assert (told["kind"], told["error"], told["message"]) == ("crashed", "TimeoutError", "'poll'")
    other = crash(60, "v")
    other["labels"] = ["Weather", "KeyError"]
    lately.hear([other])
    assert [one["error"] for one in lately.told()] == ["KeyError", "TimeoutError"]
    of_v = lately.of(row(99, 1, names=["v"], **{"class": "Weather"}))
    assert [(one["error"], one["count"]) for one in of_v] == [("KeyError", 1), ("TimeoutError", 1)]
    nameless = lately.of(row(99, 1, **{"class": "Weather"}))
    assert [one["at"] for one in nameless] == [51.0]


def test_there_is_never_too_much_of_it() -> None:
    lately = Lately(lambda: Told([]))  # type: ignore[arg-type,return-value]
    lately.hear(crash(pid, f"w{pid}") for pid in range(2000))
    assert len(lately.all()) == KEPT
    [told] = lately.told()
    assert (told["names"], told["more_names"]) == (["w1999", "w1998", "w1997"], KEPT - 3)
    for number in range(40):
        lately.hear([crash(number, labels=["Weather", f"E{number}"])])
    assert len(lately.told()) == 20


def test_each_kind_is_told_with_what_belongs_to_it() -> None:
    lately = Lately(lambda: Told([]))  # type: ignore[arg-type,return-value]
    store = {"pid": 7, "class": "Store", "names": ["s"], "handling": None, "supervisor": 1}
    chief = {"pid": 1, "class": "Shop", "names": ["shop"], "handling": "Down", "supervisor": None}
    common = {"at": 1.0, "pid": 7, "process": store, "others": []}
    timeout = {"request": "'get'", "timeout": 5.0, "taken_up": True}
    events: list[dict[str, Any]] = [
        {"kind": "restarted", "pid": 1, "labels": ["Shop", "s"], "process": chief},
        {"kind": "call_timed_out", "labels": ["Store"], "details": timeout, "others": [chief]},
        {"kind": "call_cycle", "labels": ["Store"], "others": [store, None, chief]},
        {"kind": "init_failed", "labels": ["Store"], "process": None},
        {
            "kind": "loop_blocked",
            "pid": None,
            "labels": [],
            "process": None,
            "details": {"seconds": 2.5, "where": "shop.py:3 in f", "handler": None},
        },
    ]
    for event in events:
        lately.hear([{**common, "details": {"reason": "error: E", "count": 2}, **event}])
    told = {one["kind"]: one for one in lately.told()}
    assert (told["restarted"]["names"], told["restarted"]["others"]) == (["s"], [chief])
    assert told["restarted"]["message"] is None
    late = told["call_timed_out"]
    assert (late["error"], late["message"]) == ("no answer within 5 s", "'get'")
    assert told["call_cycle"]["others"] == [store, chief]
    assert told["init_failed"]["who"] == {"pid": 7, "class": "Store", "names": []}
    assert told["loop_blocked"]["error"] == "for 2.5 s, in shop.py:3 in f"
    assert [one["kind"] for one in lately.of(row(9, 1, names=["s"]))] == [
        "call_cycle",
        "call_timed_out",
        "restarted",
    ]


def test_who_has_crashed_and_is_not_there_yet_is_shown_all_the_same() -> None:
    viewer: Any = Told([row(1), *(row(pid, 1) for pid in range(20, 1000))])
    snapshots = Snapshots(lambda: viewer)
    snapshots.lately.hear([crash(5), crash(6), crash(7, "old", time.time() - 100)])
    frame = snapshots.frame("restarts", "", ())
    first = frame["table"][0]
    assert (first["pid"], first["names"], first["phase"], first["restarts"]) == (
        6,
        ["w"],
        "ended",
        2,
    )
    [node] = [node for node in frame["tree"]["nodes"] if node["has_crashed"]]
    assert (node["id"], node["state"], node["restarts"]) == ("6", "ended", 2)
    viewer.rows.append(row(8, 1, names=["w"], **{"class": "Weather"}))
    snapshots._last.at = float("-inf")
    nodes = snapshots.frame("restarts", "", ())["tree"]["nodes"]
    assert [node["id"] for node in nodes if node["has_crashed"]] == ["8"]


def test_of_who_has_ended_what_was_known_and_who_came_after_it_is_told() -> None:
    rows = [row(1), row(2, 1, names=["w"]), row(3, 1), row(4, 1), row(5, 1, **{"class": "Other"})]
    viewer: Any = Told(rows)
    snapshots = Snapshots(lambda: viewer)
    snapshots.rows()
    viewer.rows = [row(1), row(8, 1, names=["w"]), row(9, 1, **{"class": "Other"}), row(10, 1)]
    snapshots._last.at = float("-inf")
    snapshots.rows()
    now = {name: one for one in viewer.rows for name in one["names"]}
    told = snapshots.ended(2, now.get)
    assert told is not None
    assert (told["last"], told["successor"]["pid"]) == (rows[1], 8)
    assert snapshots.ended(77, now.get) is None
    other = snapshots.ended(5, now.get)
    assert other is not None
    assert other["successor"]["pid"] == 9  # the only one of its class there
    one = snapshots.ended(3, now.get)
    assert one is not None
    assert one["successor"] is None  # two of its class are there
    snapshots.lately.hear([crash(66, "w"), crash(67, "w")])
    seldom = snapshots.ended(66, now.get)  # which no snapshot has seen
    assert seldom is not None
    assert (seldom["last"]["class"], seldom["successor"]["pid"]) == ("Weather", 8)
    assert [it["error"] for it in seldom["lately"]] == ["TimeoutError"]


def test_of_a_mailbox_that_no_snapshot_has_seen_is_told_what_is_known() -> None:
    snapshots = Snapshots(lambda: Told([row(1)]))  # type: ignore[arg-type,return-value]
    details = {"request": "'get'", "timeout": 5.0, "taken_up": False}
    late: dict[str, Any] = {
        "kind": "call_timed_out",
        "labels": ["Mailbox"],
        "process": None,
        "details": details,
    }
    snapshots.lately.hear([crash(8, None), crash(9, None, **late), crash(7, "w")])
    told = snapshots.ended(9, lambda _: None)
    assert told is not None
    assert told["last"] == {"pid": 9, "class": "Mailbox", "names": []}
    assert [one["error"] for one in told["lately"]] == ["no answer within 5 s"]


def test_children_are_told_with_names_and_counted_by_class() -> None:
    viewer: Any = Told(
        [*crowd(1000, names=["the one"], handling_for=3.0), row(5000, 1, **{"class": "B"})]
    )
    snapshots = Snapshots(lambda: viewer)
    snapshots.rows()
    told = snapshots.one(row(1, links=[9], monitors=[]))
    assert told["kinds"] == [("Store", 1000), ("B", 1)]
    assert len(told["children"]) == CHILDREN
    assert told["children"][0]["names"] == ["the one"]
    assert [one["pid"] for one in told["known"]] == [9]


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"by to be one of mailbox, handler, .* got 'name'"):
        Snapshots(lambda: Told([])).frame("name", "", ())  # type: ignore[arg-type,return-value]
