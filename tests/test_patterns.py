"""What a message must look like, and what of it is handed on."""

from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import pytest

from fauxtp import ANY, IGNORE
from fauxtp._core.patterns import match_pattern


class Point(NamedTuple):
    x: int
    y: int


class EqualToNothing:
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [None, 0, "", (), [], object(), int])
def test_any_matches_and_extracts_whatever_it_is(value: Any) -> None:
    assert match_pattern(value, ANY) == (value,)


@pytest.mark.parametrize("value", [None, 0, "", (), [], object(), int])
def test_ignore_matches_and_extracts_nothing(value: Any) -> None:
    assert match_pattern(value, IGNORE) == ()


def test_a_type_matches_its_instances_and_those_of_its_subclasses() -> None:
    assert match_pattern(1, int) == (1,)
    assert match_pattern(True, int) == (True,)
    assert match_pattern("1", int) is None


def test_a_type_does_not_match_itself() -> None:
    assert match_pattern(int, int) is None


def test_a_value_matches_what_equals_it_and_extracts_nothing() -> None:
    assert match_pattern("stop", "stop") == ()
    assert match_pattern(None, None) == ()
    assert match_pattern("go", "stop") is None


def test_a_predicate_extracts_the_value_if_it_answers_true() -> None:
    assert match_pattern(4, lambda number: number % 2 == 0) == (4,)
    assert match_pattern(3, lambda number: number % 2 == 0) is None


def test_a_predicate_that_answers_true_for_a_false_value_matches() -> None:
    assert match_pattern(0, lambda number: number == 0) == (0,)


def test_a_predicate_may_answer_anything_that_is_true_or_false() -> None:
    assert match_pattern("x", lambda text: [text]) == ("x",)
    assert match_pattern("x", lambda text: []) is None


def test_a_tuple_is_matched_element_by_element() -> None:
    assert match_pattern(("set", "x", 1), ("set", ANY, IGNORE)) == ("x",)
    assert match_pattern(("set", "x", 1), ("set", str, int)) == ("x", 1)
    assert match_pattern(("get", "x", 1), ("set", ANY, IGNORE)) is None


def test_tuples_within_tuples_are_matched_and_extracted_in_order() -> None:
    message = ("move", (1, 2), ("by", "me"))
    assert match_pattern(message, ("move", (ANY, int), ("by", str))) == (1, 2, "me")
    assert match_pattern(message, ("move", (ANY, str), ("by", str))) is None


@pytest.mark.parametrize("value", [("a",), ("a", 1, 2), (), ["a", 1], "a1", None])
def test_a_tuple_matches_no_other_length_and_no_other_sequence(value: Any) -> None:
    assert match_pattern(value, ("a", ANY)) is None


def test_an_empty_tuple_matches_an_empty_tuple() -> None:
    assert match_pattern((), ()) == ()


def test_a_named_tuple_matches_as_a_tuple() -> None:
    assert match_pattern(Point(1, 2), (ANY, 2)) == (1,)


def test_elements_after_the_first_that_differs_are_not_looked_at() -> None:
    looked_at: list[Any] = []
    assert match_pattern(("a", 1), ("b", looked_at.append)) is None
    assert looked_at == []


def test_what_a_predicate_raises_goes_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        match_pattern(0, lambda number: 1 / number)


def test_what_a_comparison_raises_goes_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        match_pattern("x", EqualToNothing())


def test_any_extracts_what_cannot_be_compared() -> None:
    value = EqualToNothing()
    found = match_pattern(value, ANY)
    assert found is not None
    assert found[0] is value


@pytest.mark.parametrize("wildcard", [ANY, IGNORE])
def test_a_wildcard_stays_itself_when_copied_or_pickled(wildcard: Any) -> None:
    assert copy.deepcopy(wildcard) is wildcard
    assert pickle.loads(pickle.dumps(wildcard)) is wildcard


def test_wildcards_have_a_readable_text() -> None:
    assert repr((ANY, IGNORE)) == "(ANY, IGNORE)"
