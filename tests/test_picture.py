"""Pictures of processes: who stands where, who is folded away, what is drawn of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from conftest import task_group
from crew import pid_of, supervisor, three
from hypothesis import given, settings
from hypothesis import strategies as st
from pictured import crowd, row

from fauxtp import ChildSpec, Supervisor
from fauxtp.observe.picture import as_svg
from fauxtp.observe.picture_choice import ALIKE, GRAVE, MOST, OPENED
from fauxtp.observe.picture_layout import drawn
from fauxtp.observe.picture_routes import HIGH, WIDE, planned

SVG = "{http://www.w3.org/2000/svg}"


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


@pytest.mark.parametrize(
    "special",
    [
        {"mailbox": 3},
        {"handling": "Cast 'x'", "handling_for": 0.5},
        {"waiting_for": 1},
        {"waiting_for": 5001},
        {"restarts": 7},
        {"phase": "stopping"},
    ],
)
def test_of_many_those_are_drawn_that_do_something(special: dict[str, Any]) -> None:
    drawing = drawn(crowd(10_000, **special))
    assert {node.id for node in drawing.nodes if not node.folded} == {"1", "5001"}
    [fold] = [node for node in drawing.nodes if node.folded]
    assert (fold.folded, fold.label, fold.detail, fold.of) == (9_999, "Store × 9,999", "idle", 1)


def test_who_is_waited_for_is_drawn_and_so_are_those_above_it() -> None:
    below = [row(pid, pid - 10_000) for pid in range(10_002, 20_002)]
    below[7_000]["restarts"] = 1
    drawing = drawn([*crowd(10_000, waiting_for=9_000), *below])
    nodes = {node.id for node in drawing.nodes if not node.folded}
    only_children = {"15001", "19000"}
    assert nodes - only_children == {"1", "5001", "9000", "7002", "17002"}


def test_of_many_that_wait_some_are_drawn_and_the_others_are_counted() -> None:
    rows = [row(1), *(row(pid, 1, waiting_for=1) for pid in range(2, 1002))]
    [fold] = [node for node in drawn(rows).nodes if node.folded]
    assert (fold.folded, fold.detail) == (1000 - GRAVE, f"{1000 - GRAVE:,} wait")


def test_who_is_wanted_is_drawn() -> None:
    nodes = {node.id for node in drawn(crowd(10_000), marked={77, 99_999}).nodes}
    assert nodes == {"1", "77", "more-1-0"}


def test_classes_are_folded_apart() -> None:
    rows = [row(1), *(row(pid, 1, **{"class": f"C{pid % 5}"}) for pid in range(2, 1002))]
    folds = [node for node in drawn(rows).nodes if node.folded]
    labels = [fold.label for fold in folds]
    assert labels == ["C2 × 200", "C3 × 200", "C4 × 200", "400 others"]
    assert folds[-1].detail == "C0, C1"


def test_who_is_opened_shows_more() -> None:
    assert len(drawn(crowd(10_000), {1}).nodes) == OPENED + 2
    orphans = [row(pid) for pid in range(1000)]
    assert len(drawn(orphans, {None}).nodes) == OPENED + 1
    assert len(drawn(orphans).nodes) == 1


def test_few_are_all_drawn() -> None:
    assert len(drawn(crowd(ALIKE)).nodes) == ALIKE + 1
    assert len(drawn(crowd(ALIKE + 1)).nodes) == 2
    kinds = [row(1), *(row(pid, 1, **{"class": f"C{pid}"}) for pid in range(2, MOST + 1))]
    assert len(drawn(kinds).nodes) == MOST


@pytest.mark.parametrize(
    ("seconds", "state", "time"),
    [
        (0.9, "busy", ""),
        (1.0, "slow", "1.00 s"),
        (10.0, "stuck", "10 s"),
        (317, "stuck", "5 min 17 s"),
    ],
)
def test_who_is_long_in_a_handler_is_told_apart(seconds: float, state: str, time: str) -> None:
    [node] = drawn([row(1, handling="'x'", handling_for=seconds)]).nodes
    assert (node.state, node.time) == (state, time)
    assert (f'class="{state}"' in as_svg([row(1, handling="'x'", handling_for=seconds)])) is True


def test_each_call_ends_at_a_point_of_its_own_at_the_border_of_a_box() -> None:
    rows = [
        row(1, waiting_for=2),
        *(row(pid, 1, waiting_for=2) for pid in range(3, 9)),
        row(2, 1),
        row(10, 2, waiting_for=2),
        row(11, 2, waiting_for=10),
    ]
    plan = planned(drawn(rows))
    ends, lanes = [], []
    for line in plan.lines:
        if line.kind != "child":
            begin, end = points(line.path)[0], points(line.path)[-1]
            for (x, y), name in ((begin, line.start), (end, line.end)):
                left, top = plan.places[name]
                assert x in {left, left + WIDE}
                assert top < y < top + HIGH
            ends += [begin, end]
            lanes.append(points(line.path)[2][0])  # the first corner
    assert len(ends) == 18
    assert len({*ends}) == len(ends)
    assert len({*lanes}) == len(lanes)


def points(path: str) -> list[tuple[float, float]]:
    """Return the points of a path through which it goes."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return [*zip(numbers[::2], numbers[1::2], strict=True)]


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
    assert texts[0] == "<b>& '</text><script>alert(1…"
    assert texts[1:] == ["'<i>'", "7"]
    assert "<script" not in picture


def test_the_picture_has_room_for_all_that_is_in_it() -> None:
    rows = [row(1, waiting_for=40), *(row(pid, 1) for pid in range(2, 41))]
    picture = ET.fromstring(as_svg(rows))
    width, height = (float(picture.attrib[name]) for name in ("width", "height"))
    for box in picture.iter(f"{SVG}rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    calls = [path for path in picture.iter(f"{SVG}path") if path.attrib.get("class") == "call"]
    assert len(calls) == 1
    assert max(x for x, _ in points(calls[0].attrib["d"])) <= width


def test_calls_are_drawn_on_top_of_boxes() -> None:
    picture = ET.fromstring(as_svg([row(1), row(2, 1, waiting_for=1)]))
    order = [one.attrib.get("class", one.tag) for one in picture if one.tag != f"{SVG}defs"]
    assert order.index("call") > max(i for i, one in enumerate(order) if one == "")


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
