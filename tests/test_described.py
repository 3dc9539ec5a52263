"""Values as logs and viewers tell them: bounded, without secrets, and without their own code."""

from __future__ import annotations

import enum
import sys
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import date
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
from hostile.junk import JUNK, Curious, Hostile
from hypothesis import example, given
from hypothesis import strategies as st

from fauxtp import NO_REPLY, PID, Call, Cast, ExitReason
from fauxtp._base.redaction import HIDDEN, ITEMS, LONGEST, SECRETS, described
from fauxtp._base.texts import label

SECRET = "hunter2"
LIMIT = 8 * 1024

Named = namedtuple("Named", ["user", "secret"])  # noqa: PYI024


@dataclass(slots=True)
class Slotted:
    user: str
    password: str


class Open:
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    def __repr__(self) -> str:
        raise AssertionError("nobody asks it")


class Acts(dict[Any, Any]):
    """Does something else than a dict where it is asked for what is in it."""

    def items(self) -> Any:
        raise AssertionError("nobody asks it")

    __iter__ = __len__ = __getitem__ = items  # type: ignore[assignment]


class Word(str):
    """A key that says it is another."""

    __slots__ = ()

    def casefold(self) -> str:
        return "harmless"

    __str__ = __repr__ = casefold


class Colour(enum.Enum):
    RED = 1


class Key(enum.Enum):
    PASSWORD = 1


class IntKey(enum.IntEnum):
    PASSWORD = 1


class StrKey(enum.StrEnum):
    HEADER = "authorization"


Header = namedtuple("Header", ["name", "value"])  # noqa: PYI024


@dataclass
class Pair:
    name: str
    value: str


HIDES = [
    (Header("Authorization", SECRET), "Header(name='Authorization', value=<hidden>)"),
    (Pair("password", SECRET), "Pair(name='password', value=<hidden>)"),
    (ValueError("password", SECRET), "ValueError('password', <hidden>)"),
    ({Key.PASSWORD: SECRET}, "{Key.PASSWORD: <hidden>}"),
    ({IntKey.PASSWORD: SECRET}, "{IntKey.PASSWORD: <hidden>}"),
    ({StrKey.HEADER: SECRET}, "{StrKey.HEADER: <hidden>}"),
    ({frozenset({"password"}): SECRET}, "{frozenset({'password'}): <hidden>}"),
    ({Header("password", 1): SECRET}, None),
    (deque(["password", SECRET]), "deque(['password', <hidden>])"),
    ({"password": SECRET}, "{'password': <hidden>}"),
    ({"user": "anna", "DB_PASSWORD": SECRET}, "{'user': 'anna', 'DB_PASSWORD': <hidden>}"),
    ({"apiKey": SECRET, "api-key": SECRET}, "{'apiKey': <hidden>, 'api-key': <hidden>}"),
    ({"Set-Cookie": SECRET}, "{'Set-Cookie': <hidden>}"),
    ({"AWS_CREDENTIALS": [SECRET]}, "{'AWS_CREDENTIALS': <hidden>}"),
    ({"passwd": SECRET, "client secret": SECRET}, None),
    ([(b"authorization", SECRET)], "[(b'authorization', <hidden>)]"),
    ({b"x-auth-token": SECRET}, "{b'x-auth-token': <hidden>}"),
    ({Word("password"): SECRET}, "{'password': <hidden>}"),
    ({("anna", "token"): SECRET}, "{('anna', 'token'): <hidden>}"),
    (("set_password", "anna", SECRET), "('set_password', <hidden>, <hidden>)"),
    (Slotted("anna", SECRET), "Slotted(user='anna', password=<hidden>)"),
    (Named("anna", SECRET), "Named(user='anna', secret=<hidden>)"),
    (Open(a=1, _Open__token=SECRET), "Open(a=1, _Open__token=<hidden>)"),
    (SimpleNamespace(cookie=SECRET), "SimpleNamespace(cookie=<hidden>)"),
    (Cast({"password": SECRET}), "Cast({'password': <hidden>})"),
    (Call(("token", SECRET), PID(), None), "Call(('token', <hidden>))"),
    (Acts(password=SECRET), "{'password': <hidden>}"),
    (OrderedDict(a=[{"b": {"password": SECRET}}]), "{'a': [{'b': {…}}]}"),
    (ValueError({"password": SECRET}), "ValueError({'password': <hidden>})"),
]


@pytest.mark.parametrize(("value", "text"), HIDES, ids=[str(i) for i in range(len(HIDES))])
def test_what_stands_at_such_a_key_is_hidden(value: Any, text: str | None) -> None:
    told = described(value, LIMIT)
    assert SECRET not in told
    assert text is None or told == text


@pytest.mark.parametrize("word", SECRETS)
def test_each_of_the_words_hides(word: str) -> None:
    assert (
        described({f"the {word.upper()} of": SECRET}) == f"{{'the {word.upper()} of': {HIDDEN}}}"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (-5, "-5"),
        (True, "True"),
        (Colour.RED, "Colour.RED"),
        ("it's", '"it\'s"'),
        (ExitReason("normal"), "'normal'"),
        (bytearray(b"ab"), "b'ab'"),
        (10**5000, "<int of 16,610 bits>"),
        (date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        ([], "[]"),
        ((), "()"),
        ((1,), "(1,)"),
        (set(), "set()"),
        ({1}, "{1}"),
        (frozenset([1]), "frozenset({1})"),
        (deque([1]), "deque([1])"),
        ([[[[5]]]], "[[[[…]]]]"),
        (int, "<class int>"),
        (len, "<builtin_function_or_method len>"),
        (enum, "<module enum>"),
        (NO_REPLY, "NO_REPLY"),
        (object(), "object()"),
        ([*range(60)], f"[{', '.join(map(str, range(ITEMS)))}, … 10 more]"),
        (["x" * 201], f"['{'x' * LONGEST}'…]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_else_is_told_as_people_would_write_it(value: Any, text: str) -> None:
    assert described(value, LIMIT) == text


def test_a_pid_is_told_as_it_is() -> None:
    pid = PID()
    assert described([pid]) == f"[{pid!r}]"


@pytest.mark.parametrize(
    "value",
    [*JUNK, Curious(), type("Meta", (type,), {})("X", (), {})],
    ids=lambda value: type(value).__name__,
)
def test_hostile_values_are_told_of_too(value: Any) -> None:
    for within in (value, [value], {"key": value}, Open(field=value)):
        told = described(within, LIMIT)
        assert 0 < len(told) <= LIMIT + 100
    assert described(Hostile(), LIMIT).startswith("Hostile(")


def test_the_label_of_a_request_within_many_is_short() -> None:
    message = Cast("deep")
    for _ in range(2_000):
        message = Cast(message)
    assert label(message) == "Cast Cast Cast Cast"
    assert label(Cast(Cast(("put", SECRET)))) == "Cast Cast ('put', …)"


def ends(*_: Any) -> Any:
    raise SystemExit("somebody's code has run")


class Sly(type):
    """Ends the program that asks one of its classes anything."""

    __name__ = __module__ = __mro__ = _fields = property(ends)
    __hash__ = __eq__ = ends


class SlyObject(metaclass=Sly):
    __slots__ = ("field",)


class SlyTuple(tuple[Any, ...], metaclass=Sly):
    __slots__ = ()
    _fields = ("a",)
    __len__ = __getitem__ = __iter__ = ends


class SlyDict(dict[Any, Any]):
    __len__ = __bool__ = __iter__ = ends


class SlyError(Exception):
    args = property(ends)


class SlyText(str):
    __slots__ = ()
    __str__ = __repr__ = __format__ = __len__ = __bool__ = ends


class SlyCallable:
    __call__ = __getattr__ = ends


def sly_function() -> None:
    """Have another name."""


sly_function.__qualname__ = SlyText("sly")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SlyObject(), "SlyObject()"),
        (SlyObject, "<class SlyObject>"),
        (SlyTuple((1,)), "SlyTuple(a=1)"),
        ([[[SlyDict(a=1)]]], "[[[{…}]]]"),
        (SlyError(1), "SlyError(1)"),
        (Open(_name_={"password": SECRET}), "Open(_name_={'password': <hidden>})"),
        (Open(_name_=SlyText("a")), "Open(_name_='a')"),
        (sly_function, "<function sly>"),
        (MethodType(SlyCallable(), 1), "<method ''>"),
        ([].append, "<builtin_function_or_method list.append>"),
        (SimpleNamespace(**{"a\n\x1b[31m": 1}), "SimpleNamespace('a\\n\\x1b[31m'=1)"),
        (Open(**{SlyText("a b"): 1}), "Open('a b'=1)"),
        (type("A\nB", (), {})(), "'A\\nB'()"),
        (type("A\nB", (), {}), "<class 'A\\nB'>"),
    ],
    ids=[str(i) for i in range(14)],
)
def test_no_code_of_a_value_runs_and_no_name_breaks_a_line(value: Any, text: str) -> None:
    assert described(value, LIMIT) == text


def test_what_refers_to_itself_ends() -> None:
    row: list[Any] = []
    row += [row, row]
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    assert described(row, LIMIT).count("[") == 15
    assert described(ring, LIMIT) == "{'ring': {'ring': {'ring': {…}}}}"


def test_what_is_long_is_cut_without_a_look_at_the_rest() -> None:
    row: Any = "x" * 1000
    for _ in range(3):
        row = [row] * 1_000_000  # each of which would be told fifty times over
    assert len(described(row, 100)) == 101
    assert len(described("x" * 100_000_000, 2000)) == 2003


def test_what_cannot_be_read_is_told_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(*_: Any) -> Any:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(sys.modules["fauxtp._base.redaction"], "_of_dict", changes)
    assert described({"key": SECRET}) == "… dict"


def test_no_value_is_asked_of_what_class_it_says_it_is() -> None:
    class Pretends:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise AssertionError("nobody asks it")

    assert described({Pretends(): Pretends()}) == "{Pretends(): Pretends()}"


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
        max_leaves=50,
    ),
    st.integers(1, 500),
)
@example("\U00018d090", 1)
def test_it_is_never_longer_than_it_may_be(value: Any, limit: int) -> None:
    escaped = 9 * limit if type(value) is str else 0  # a character may be told by ten
    assert len(described(value, limit)) <= limit + 5 + escaped


@given(
    st.recursive(
        st.just(SECRET),
        lambda inner: (
            st.dictionaries(st.text(), inner, min_size=1)
            | st.lists(inner).map(lambda rest: ["the token", *rest])
        ),
    )
)
def test_a_planted_secret_is_never_told(value: Any) -> None:
    assert SECRET not in described({"my_Secret": value, "x": ["cookie", value]}, LIMIT)
