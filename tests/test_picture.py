"""Pictures of processes: who stands where, who is folded away, what is drawn of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from conftest import task_group
from crew import pid_of, supervisor, three
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxtp import ChildSpec, Supervisor
from fauxtp._commands.snapshots import Snapshots
from fauxtp.observe.picture import as_svg
from fauxtp.observe.picture_layout import FEW, MOST, OPENED, drawn

SVG = "{http://www.w3.org/2000/svg}"


def row(pid: int, supervisor: int | None = None, **more: Any) -> dict[str, Any]:
    known = {"names": [], "class": "Store", "mailbox": 0, "handling": None, "waiting_for": None}
    numbers = {"handling_for": 0.0, "children": 0, "watchers": 0, "phase": "running"}
    numbers |= {"restarts": 0, "restarts_below": 0}
    return {"pid": pid, "supervisor": supervisor, **known, **numbers, **more}


def test_children_are_right_of_their_supervisor_and_around_its_line() -> None:
    drawing = drawn([row(1), row(2, 1), row(3, 1), row(4, 3), row(5, 3), row(6, 99)])
    places = {node.id: (node.depth, node.place) for node in drawing.nodes}
    assert places == {
        "1": (0, 0.75),
        "2": (1, 0.0),
        "3": (1, 1.5),
        "4": (2, 1.0),
        "5": (2, 2.0),
        "6": (0, 3.0),
    }
    assert (drawing.depth, drawing.lines) == (2, 4)
    assert drawing.edges == [
        ("1", "2", "child"),
        ("1", "3", "child"),
        ("3", "4", "child"),
        ("3", "5", "child"),
    ]


def test_calls_are_arrows_and_those_in_a_circle_are_told_apart() -> None:
    rows = [row(1, waiting_for=2), row(2, waiting_for=3), row(3, waiting_for=2)]
    assert drawn([*rows, row(4, waiting_for=9)]).edges == [
        ("1", "2", "call"),
        ("2", "3", "circle"),
        ("3", "2", "circle"),
    ]


def crowd(many: int, **of_one: Any) -> list[dict[str, Any]]:
    """Return a supervisor of so many, and one of them that is not as the others."""
    rows = [row(1), *(row(pid, 1) for pid in range(2, many + 2))]
    rows[many // 2].update(of_one)
    return rows


@pytest.mark.parametrize(
    "special",
    [{"mailbox": 3}, {"handling": "Cast 'x'"}, {"waiting_for": 1}, {"waiting_for": 5001}],
)
def test_of_many_those_are_drawn_that_do_something(special: dict[str, Any]) -> None:
    drawing = drawn(crowd(10_000, **special))
    assert "5001" in {node.id for node in drawing.nodes}
    [fold] = [node for node in drawing.nodes if node.folded]
    assert (fold.folded, fold.label, fold.detail, fold.of) == (
        10_000 - FEW,
        f"{10_000 - FEW:,} more",
        "Store",
        1,
    )
    assert len(drawing.nodes) == FEW + 2


def test_who_is_opened_shows_more() -> None:
    assert len(drawn(crowd(10_000), {1}).nodes) == OPENED + 2
    orphans = [row(pid) for pid in range(1000)]
    assert len(drawn(orphans, {None}).nodes) == OPENED + 1
    assert len(drawn(orphans).nodes) == FEW + 1


def test_few_are_all_drawn() -> None:
    assert len(drawn(crowd(MOST - 1)).nodes) == MOST


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=400), st.integers(1, 50)
)
def test_each_is_drawn_or_counted_once_and_none_upon_another(
    bound: list[tuple[int, int]], most: int
) -> None:
    rows = [
        row(pid, above if above < pid else None, waiting_for=other)
        for pid, (above, other) in enumerate(bound)
    ]
    drawing = drawn(rows, (), most)
    nodes = [node for node in drawing.nodes if not node.folded]
    assert len(nodes) <= max(most, len(nodes) if len(rows) <= most else 0)
    below: dict[str, int] = {}
    for each in rows:
        below[str(each["supervisor"])] = below.get(str(each["supervisor"]), 0) + 1
    for node in nodes:
        counted = sum(child.folded or 1 for child in node.below)
        assert counted == below.get(node.id, 0)
    places = [(node.depth, node.place) for node in drawing.nodes]
    assert len(set(places)) == len(places)
    ids = {node.id for node in drawing.nodes}
    assert all(start in ids and end in ids for start, end, _ in drawing.edges)


def test_a_deep_tree_is_drawn_too() -> None:
    rows = [row(0), *(row(pid, pid - 1) for pid in range(1, 5000))]
    assert drawn(rows).nodes[-1].folded == 1
    assert drawn(rows, (), 5000).depth == 4999


def test_the_picture_shows_names_as_text() -> None:
    evil = "</text><script>alert(1)</script>\x1b[2J\x00"
    picture = as_svg([{**row(1, names=[evil], mailbox=7, handling="'<i>'"), "class": "<b>&"}])
    texts = [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]
    assert texts[0] == "<b>& '</text><script>alert(1)…"
    assert texts[1:] == ["'<i>'", "7"]
    assert "<script" not in picture


def test_the_picture_has_room_for_all_that_is_in_it() -> None:
    rows = [row(1, waiting_for=40), *(row(pid, 1) for pid in range(2, 41))]
    picture = ET.fromstring(as_svg(rows))
    width, height = (float(picture.attrib[name]) for name in ("width", "height"))
    for box in picture.iter(f"{SVG}rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    [call] = [path for path in picture.iter(f"{SVG}path") if path.attrib.get("class") == "call"]
    numbers = call.attrib["d"].replace("M", " ").replace("C", " ").split()
    assert max(float(number) for number in numbers[::2]) <= width


class Chief(Supervisor):
    """Tells who it is."""

    started: list[Supervisor]

    async def init(self) -> Any:
        self.started.append(self)

    def child_specs(self) -> list[ChildSpec]:
        return three([])


@pytest.mark.anyio
async def test_a_notebook_shows_a_supervisor_and_those_below_it() -> None:
    actors: list[Supervisor] = []
    Chief.started = actors
    assert Chief()._repr_html_() is None
    async with task_group() as group:
        above = supervisor(ChildSpec("chief", Chief, register_as="chief"))
        await above.start(task_group=group, register_as="above")
        picture = actors[0]._repr_html_()
        assert picture is not None
        texts = [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]
        assert texts[::2] == ["Chief 'chief'", "Puppet 'a'", "Puppet 'b'", "Puppet 'c'"]
        assert texts[1] == repr(pid_of("chief"))
    assert actors[0]._repr_html_() is None


# Snapshots


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
    assert frames[0]["past"] == [
        {
            "processes": 1001,
            "messages waiting": 9,
            "longest mailbox": 9,
            "in a handler": 0,
            "longest in a handler, s": 0.0,
            "handled a second": 0.0,
            "crashes a second": 0.0,
        }
    ]
    assert (frames[0]["found"], frames[0]["table"][0]["names"]) == (1001, ["the one"])
    assert len(json.dumps(frames[0])) < 100_000
    assert len(snapshots.rows()) == 1001
    assert viewer.times == 1


def test_rates_are_those_since_the_last_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fauxtp._commands.snapshots.SECONDS", 0.0)
    now, total = [100.0], [10]

    class Counts(Told):
        def answer(self, ask: str) -> dict[str, Any]:
            now[0] += 2
            total[0] += 50
            return {"counts": [["handled", "Store", total[0]], ["crashed", "Store", "E", 1]]}

    monkeypatch.setattr("fauxtp._commands.snapshots.time.monotonic", lambda: now[0])
    viewer: Any = Counts([])
    snapshots = Snapshots(lambda: viewer)
    past = [snapshots.frame("mailbox", "", ())["past"][-1] for _ in range(3)]
    assert [figures["handled a second"] for figures in past] == [0, 25, 25]
    assert [figures["crashes a second"] for figures in past] == [0, 0, 0]


@pytest.mark.parametrize(
    ("find", "found"), [("THE ONE", 1), ("<PID 17>", 1), ("store", 1001), ("x", 0)]
)
def test_what_is_looked_for_is_found(find: str, found: int) -> None:
    viewer: Any = Told(crowd(1000, names=["the one"]))
    assert Snapshots(lambda: viewer).frame("mailbox", find, ())["found"] == found


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"by to be one of mailbox, handler, .* got 'name'"):
        Snapshots(lambda: Told([])).frame("name", "", ())  # type: ignore[arg-type,return-value]
