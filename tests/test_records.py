"""A record is what a frozen dataclass with slots is, whatever is done with it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest
from anyio import CancelScope

from fauxtp import PID, ActorHandle, DeadLetter, Down, Exit, ExitReason, Ref
from fauxtp._actors.task import TaskEnd

PID_ = PID()
REASON = ExitReason("normal")
RECORDS = {
    ActorHandle: (PID_, CancelScope),
    DeadLetter: ("nobody", "hello", "noproc"),
    Down: (Ref(), PID_, REASON, "name"),
    Exit: (PID_, REASON),
    TaskEnd: (PID_, "success", 42),
}
CASES = pytest.mark.parametrize(
    ("cls", "values"), RECORDS.items(), ids=[cls.__name__ for cls in RECORDS]
)


def frozen(cls: type) -> Any:
    """Return the dataclass that `cls` is to be like."""
    fields = [(field.name, field.type) for field in dataclasses.fields(cls)]
    return dataclasses.make_dataclass(cls.__name__, fields, frozen=True, slots=True)


def outcome(function: Any, *args: Any) -> object:
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error)


def test_the_dataclasses_that_every_program_loads_are_records() -> None:
    program = """if True:
        import dataclasses, gc, fauxtp
        for it in gc.get_objects():
            if isinstance(it, type) and str(it.__module__).startswith("fauxtp"):
                if dataclasses.is_dataclass(it):
                    print(it.__name__)
        """
    child = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    assert {*child.stdout.split(), Down.__name__} == {cls.__name__ for cls in RECORDS}


@CASES
def test_it_is_a_dataclass(cls: Any, values: tuple[Any, ...]) -> None:
    one = cls(*values)
    assert [field.name for field in dataclasses.fields(one)] == list(cls.__match_args__)
    assert tuple(getattr(one, name) for name in cls.__match_args__) == values
    assert dataclasses.replace(one) == one
    assert not hasattr(one, "__dict__")
    assert list(inspect.signature(cls).parameters) == list(cls.__match_args__)


@CASES
def test_it_does_what_a_frozen_one_does(cls: Any, values: tuple[Any, ...]) -> None:
    one, like = cls(*values), frozen(cls)(*values)
    for ask in (repr, hash):
        assert outcome(ask, one) == outcome(ask, like)
    first = cls.__match_args__[0]
    for change in (lambda it: setattr(it, first, 1), lambda it: delattr(it, first)):
        assert outcome(change, one) == outcome(change, like) == outcome(change, like)
    assert tuple(getattr(one, name) for name in cls.__match_args__) == values
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.other = 1


def test_one_that_holds_itself_is_shown() -> None:
    held: list[object] = []
    letter = DeadLetter("nobody", held, "noproc")
    held.append(letter)
    assert repr(letter) == "DeadLetter(to='nobody', message=[...], reason='noproc')"


@CASES
def test_nobody_derives_from_it(cls: Any, values: tuple[Any, ...]) -> None:
    assert vars(cls)["__final__"]  # as a frozen dataclass could not


@CASES
def test_it_equals_its_like_alone(cls: Any, values: tuple[Any, ...]) -> None:
    one = cls(*values)
    assert one == cls(*values)
    assert hash(one) == hash(cls(*values))
    assert one != frozen(cls)(*values)
    assert one != values
    for place in range(len(values)):
        other = [*values]
        other[place] = object()
        assert one != cls(*other)


@CASES
def test_it_takes_its_fields_and_no_others(cls: Any, values: tuple[Any, ...]) -> None:
    names = cls.__match_args__
    assert cls(**dict(zip(names, values, strict=True))) == cls(*values)
    for wrong in ((), values[:1], (*values, 1)):
        with pytest.raises(TypeError):
            cls(*wrong)
    with pytest.raises(TypeError):
        cls(*values[1:], **{names[0]: values[0], "other": 1})


def test_it_is_copied_and_travels() -> None:
    letter = DeadLetter("nobody", ["hello"], "noproc")
    assert copy.copy(letter) == letter
    assert copy.deepcopy(letter) == letter
    assert copy.deepcopy(letter).message is not letter.message
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(letter, protocol)) == letter


def test_it_is_matched_by_its_fields() -> None:
    match Exit(PID_, REASON):
        case Exit(pid, reason):
            assert (pid, reason) == (PID_, REASON)


def test_a_name_is_left_out() -> None:
    ref = Ref()
    assert Down(ref, PID_, REASON) == Down(ref, PID_, REASON, None)
