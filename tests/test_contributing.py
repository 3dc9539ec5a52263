"""What the guide for contributors tells is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fauxtp
from fauxtp._core.server_state import NEXT

GUIDE = Path(__file__).parents[1] / "docs" / "contributing.md"
PACKAGE = Path(fauxtp.__file__).parent

SOURCES = (GUIDE.parents[1] / "setup.py").exists()
pytestmark = pytest.mark.skipif(not SOURCES, reason="these are not the sources")


def test_the_states_of_a_server_are_those_of_the_table() -> None:
    rows = re.findall(
        r"^\| ([A-Z_]+) \| ([^|]+) \| ([A-Z_, ]+) \|$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    told = {name: (what, set(after.split(", "))) for name, what, after in rows}
    assert told == {
        state.name: (state.value, {each.name for each in after}) for state, after in NEXT.items()
    }


def test_the_files_that_it_names_are_there() -> None:
    named = re.findall(r"`(_?[a-z]+(?:/_?[a-z_]+)*\.pyx?)`", GUIDE.read_text("utf-8"))
    places = (PACKAGE, GUIDE.parents[1])
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
