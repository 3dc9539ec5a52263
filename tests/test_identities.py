"""PID and Ref: what they are equal to, and everything that they refuse."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from conftest import calls


@pytest.fixture(params=["PID", "Ref"])
def kind(request: pytest.FixtureRequest, twin: Any) -> Any:
    return getattr(twin, request.param)


def test_each_is_equal_to_itself_only(kind: Any) -> None:
    one, two = kind(), kind()
    assert one == one
    assert not one != one
    assert one != two
    assert not one == two
    assert len({one, two, one}) == 2
    assert hash(one) == hash(one)


def test_a_pid_is_no_ref_and_no_number(twin: Any) -> None:
    pid = twin.PID()
    for other in (twin.Ref(), 1, None, "1", object()):
        assert pid != other
        assert not pid == other
        with pytest.raises(TypeError):
            assert pid < other
        with pytest.raises(TypeError):
            assert other >= pid


def test_something_that_is_equal_to_all_is_equal_to_a_pid(kind: Any) -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    assert kind() == Anything()
    assert Anything() == kind()


def test_the_order_is_by_age(kind: Any) -> None:
    made = [kind() for _ in range(5)]
    assert sorted(reversed(made)) == made
    older, younger = made[:2]
    assert (older < younger, older <= younger, older > younger, older >= younger) == (
        True,
        True,
        False,
        False,
    )
    assert (younger < older, younger <= older, younger > older, younger >= older) == (
        False,
        False,
        True,
        True,
    )
    assert (older < older, older <= older, older > older, older >= older) == (
        False,
        True,
        False,
        True,
    )


def test_hashes_are_spread(kind: Any) -> None:
    made = [kind() for _ in range(1000)]
    assert len({hash(one) for one in made}) == 1000


def test_the_repr_is_short_and_stable(kind: Any) -> None:
    one, two = kind(), kind()
    assert repr(one) == repr(one) != repr(two)
    word, number = repr(one).strip("<>").split()
    assert (word, number.isdigit()) == (kind.__name__, True)
    assert str(one) == repr(one)


def test_copies_are_the_same_object(kind: Any) -> None:
    one = kind()
    assert copy.copy(one) is one
    assert copy.deepcopy(one) is one
    assert copy.deepcopy({one: [one]}) == {one: [one]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_fails_and_says_why(kind: Any, protocol: int) -> None:
    with pytest.raises(TypeError, match=f"^cannot pickle a {kind.__name__}: .* this process"):
        pickle.dumps(kind(), protocol)


def test_they_are_immutable(kind: Any) -> None:
    one = kind()
    before = repr(one)
    for attribute in ("_serial", "name", "__class__"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(one, attribute, 7)
        with pytest.raises((AttributeError, TypeError)):
            delattr(one, attribute)
    one.__init__()
    assert repr(one) == before
    assert not hasattr(one, "__dict__")


def test_they_take_no_arguments(kind: Any) -> None:
    for attempt in calls(lambda: kind(1), lambda: kind(number=1)):
        with pytest.raises(TypeError):
            attempt()


def test_they_cannot_be_subclassed(kind: Any) -> None:
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Mine", (kind,), {})


@pytest.mark.parametrize("name", ["PID", "Ref"])
def test_the_collector_has_no_work_with_compiled_ones(compiled: Any, name: str) -> None:
    one = getattr(compiled, name)()
    assert not gc.is_tracked(one)
    if name == "PID":
        registry = compiled.Registry()
        assert registry.register("kvstore", one)
        assert registry.register("also", one)
        assert not gc.is_tracked(one)


def test_a_ref_holds_nothing_but_its_number(compiled: Any) -> None:
    assert compiled.Ref.__basicsize__ == compiled.Ref.__base__.__basicsize__
    assert compiled.Ref.__basicsize__ < compiled.PID.__basicsize__


def test_they_can_be_weakly_referenced(kind: Any) -> None:
    one = kind()
    gone: list[Any] = []
    reference = weakref.ref(one, gone.append)
    assert reference() is one
    del one
    gc.collect()
    assert (reference(), gone) == (None, [reference])
