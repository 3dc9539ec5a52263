"""Names with a prefix, in both forms: made as they are asked for, and kept for a while."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from twins_of import FORMS, form_of


class Name(str):
    __slots__ = ()


class Key(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("nobody asks it")

    __eq__ = __hash__ = __str__  # type: ignore[assignment]


@pytest.fixture(params=FORMS)
def names(request: pytest.FixtureRequest) -> Any:
    return form_of("_base.prefixed_names", request.param).PrefixedNames(Name, "user:")


def test_a_name_begins_with_the_prefix_and_is_of_the_kind(names: Any) -> None:
    assert names["anna"] == "user:anna"
    assert type(names["anna"]) is Name
    assert names["ünï"] == "user:ünï"


def test_one_that_is_asked_for_again_is_the_same(names: Any) -> None:
    assert names["anna"] is names["".join(["an", "na"])]


def test_any_number_of_them_is_right_and_few_are_kept(names: Any) -> None:
    for turn in range(2):
        tracemalloc.start()
        assert all(names[str(number)] == f"user:{number}" for number in range(20_000)), turn
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken < 400_000


def test_of_a_subclass_of_str_the_text_counts(names: Any) -> None:
    assert names[Key("anna")] == "user:anna"
    assert names[Key("anna")] is names["anna"]


@pytest.mark.parametrize(("key", "error"), [(5, TypeError), ([], TypeError), ("", ValueError)])
def test_what_is_no_key_is_refused(names: Any, key: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected key to"):
        names[key]
