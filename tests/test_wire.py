"""The wire: what travels arrives as it was, and what does not is refused where it is sent."""

from __future__ import annotations

import dataclasses
import enum
import math
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ormsgpack")

import ormsgpack

from fauxtp import PID, ExitReason, NoProcess, ProcessExited, Ref
from fauxtp.cluster._wire.wire import VERSION, BadMessage, Wire
from fauxtp.cluster._wire.wire_depth import DEEPEST, _depth, insist_on_depth
from fauxtp.cluster._wire.wire_errors import RemoteError
from fauxtp.cluster._wire.wire_types import TYPES, cluster_type

ANYTHING: Any = 7
wire = Wire()

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
KEYS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
MESSAGES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.sets(KEYS, max_size=5)
        | st.frozensets(KEYS, max_size=5)
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Return whether they are equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return all(map(same, one, other)) and all(map(same, one.values(), other.values()))
    return bool(one == other) and (not isinstance(one, float) or repr(one) == repr(other))


@given(MESSAGES)
def test_what_is_sent_arrives_as_it_was(message: Any) -> None:
    assert same(wire.decode(wire.encode(message)), message)


@given(MESSAGES)
def test_the_careful_way_makes_what_the_quick_one_makes(message: Any) -> None:
    body = wire._carefully(message)
    assert same(wire.decode(bytes([VERSION]) + body), message)


def test_what_is_no_number_arrives_too() -> None:
    assert math.isnan(wire.decode(wire.encode(float("nan"))))
    assert wire.decode(wire.encode(-math.inf)) == -math.inf


def test_big_ints_arrive() -> None:
    for bits in range(0, 2000, 7):
        for number in (2**bits, -(2**bits), 2**bits - 1, -(2**bits) - 1):
            assert wire.decode(wire.encode([number])) == [number]
    assert wire.decode(wire.encode(1 << 80_000)) == 1 << 80_000


def test_buffers_arrive_as_bytes() -> None:
    assert wire.decode(wire.encode([bytearray(b"1"), memoryview(b"2")])) == [b"1", b"2"]


# PIDs and refs


def test_pids_and_refs_travel_as_a_cluster_says() -> None:
    pids, refs = [PID(), PID()], [Ref()]
    ours = Wire(
        pack_pid=lambda pid: ("a", pids.index(pid)),
        unpack_pid=lambda came: pids[came[1]],
        pack_ref=refs.index,
        unpack_ref=lambda came: refs[came],
    )
    message = {"to": pids[1], pids[0]: (refs[0], [pids[0]])}
    assert ours.decode(ours.encode(message)) == message
    with pytest.raises(TypeError, match=r"PID at message\['to'\]"):
        wire.encode(message)
    with pytest.raises(BadMessage):
        wire.decode(ours.encode(message))


def test_a_pid_that_is_none_is_a_bad_message() -> None:
    def refuses(came: Any) -> PID:
        raise ValueError("no node of that name")

    theirs = Wire(pack_pid=lambda pid: "junk", unpack_pid=refuses)
    with pytest.raises(BadMessage) as bad:
        theirs.decode(theirs.encode([PID()]))
    assert bad.value.__cause__ is not None
    assert "no node" in str(bad.value.__cause__)


# Exit reasons and errors


class OurError(Exception):
    """Registered by nobody, unless a test does so."""


class Twice(Exception):
    """Is made of other things than it says."""

    def __init__(self, number: int) -> None:
        super().__init__(f"twice {number}")
        self.number = 2 * number


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test registers is forgotten."""
    by_kind, by_name = dict(TYPES.by_kind), dict(TYPES.by_name)
    yield
    TYPES.by_kind, TYPES.by_name = by_kind, by_name


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 7),
        KeyError(("a", 1)),
        OSError(2, "nothing there", "x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        TimeoutError(),
        NoProcess("billing"),
    ],
    ids=repr,
)
def test_errors_that_all_know_arrive_as_they_were(error: Exception) -> None:
    error.__cause__ = RuntimeError("first")
    came = wire.decode(wire.encode(("failed", error)))[1]
    assert (type(came), came.args, vars(came)) == (type(error), error.args, vars(error))
    assert str(came) == str(error)
    assert repr(came.__cause__) == "RuntimeError('first')"


def test_an_error_of_an_unknown_class_arrives_by_name_and_text() -> None:
    came = wire.decode(wire.encode(OurError("out of apples")))
    assert type(came) is RemoteError
    assert (came.name, came.text) == (f"{__name__}.OurError", "out of apples")
    again = wire.decode(wire.encode(came))
    assert (type(again), again.name, again.text) == (RemoteError, came.name, came.text)


@pytest.mark.usefixtures("types")
def test_an_error_whose_class_is_registered_is_made_of_what_it_was() -> None:
    cluster_type(Twice)
    came = wire.decode(wire.encode(Twice(3)))
    assert (type(came), came.number, str(came)) == (Twice, 6, "twice 3")


def test_what_of_an_error_does_not_travel_goes_as_its_text() -> None:
    lock = threading.Lock()
    error = ValueError("bad", lock)
    vars(error)["lock"] = lock
    came = wire.decode(wire.encode(error))
    assert type(came) is ValueError
    assert came.args == ("bad", repr(lock))
    assert vars(came) == {"lock": repr(lock)}


def test_errors_that_cause_each_other_have_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert repr(wire.decode(wire.encode(one))) == "ValueError('one')"


def test_what_is_more_than_an_error_does_not_travel() -> None:
    with pytest.raises(TypeError, match="KeyboardInterrupt at the top"):
        wire.encode(KeyboardInterrupt())
    name: list[Any] = ["SystemExit", "", [1], {}, None]
    came = wire.decode(bytes([VERSION]) + ormsgpack.packb(ormsgpack.Ext(8, ormsgpack.packb(name))))
    assert type(came) is RemoteError


@pytest.mark.parametrize(
    "reason",
    [
        ExitReason("normal"),
        ExitReason("killed", abnormal=True),
        ExitReason.error(ValueError("x")),
        ExitReason.error(OurError("x")),
    ],
)
def test_exit_reasons_arrive(reason: ExitReason) -> None:
    came = wire.decode(wire.encode((reason,)))[0]
    assert type(came) is ExitReason
    assert (came, came.abnormal) == (reason, reason.abnormal)
    assert str(came.exception).endswith(str(reason.exception))
    with pytest.raises(TypeError):
        wire.encode(ProcessExited)  # the class itself


# Registered types


@dataclasses.dataclass
class Charge:
    cents: int
    to: tuple[str, ...] = ()
    total: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.cents < 0:
            raise ValueError("less than nothing")


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


class Point3(Point):
    pass


@pytest.mark.usefixtures("types")
def test_registered_types_arrive() -> None:
    for kind in (Charge, Colour, Level, Point):
        assert cluster_type(kind) is kind
    cluster_type(UUID, name="uuid", pack=lambda value: value.bytes, unpack=lambda b: UUID(bytes=b))
    charge = Charge(42, ("a", "b"))
    charge.total = 7
    message = [charge, Colour.RED, {Level.LOW: Point(1, 2)}, {"id": uuid4()}]
    assert same(wire.decode(wire.encode(message)), message)


@pytest.mark.usefixtures("types")
def test_structs_of_msgspec_and_models_of_pydantic_arrive() -> None:
    msgspec: Any = pytest.importorskip("msgspec")
    pydantic: Any = pytest.importorskip("pydantic")
    struct = cluster_type(msgspec.defstruct("Struct", [("x", int), ("y", tuple)]))
    model: Any = cluster_type(pydantic.create_model("Model", x=(int, ...), inner=(Any, None)))
    message = [struct(1, (2,)), model(x=1, inner=struct(3, ()))]
    came = wire.decode(wire.encode(message))
    assert came == message
    bad = bytes([VERSION]) + wire.encode(model(x=1))[1:].replace(b"\xa1x\x01", b"\xa1x\xc0")
    with pytest.raises(BadMessage) as error:
        wire.decode(bad)
    assert isinstance(error.value.__cause__, pydantic.ValidationError)


@pytest.mark.usefixtures("types")
def test_what_the_constructor_refuses_is_a_bad_message() -> None:
    cluster_type(Charge)
    charge = Charge(1)
    charge.cents = -1
    with pytest.raises(BadMessage) as bad:
        wire.decode(wire.encode(charge))
    assert "less than nothing" in str(bad.value.__cause__)


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize("content", [b"\x01", b"\x92\xa6Charge\x01", b"\x92\xa1x\x81\xa1x\x01"])
def test_a_type_that_is_unknown_or_made_otherwise_is_a_bad_message(content: bytes) -> None:
    cluster_type(Charge, name="Charge")
    with pytest.raises(BadMessage):
        wire.decode(bytes([VERSION]) + ormsgpack.packb(ormsgpack.Ext(9, content)))


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: cluster_type(7), TypeError, "kind to be a class, got int"),  # type: ignore[call-overload]
        (lambda: cluster_type(UUID), TypeError, "UUID to be a dataclass, an enum"),
        (lambda: cluster_type(UUID, pack=str), TypeError, "pack and unpack"),
        (
            lambda: cluster_type(UUID, pack=str, unpack=ANYTHING),
            TypeError,
            "unpack to be callable",
        ),
        (lambda: cluster_type(Charge, name=""), ValueError, "1 to 200 characters, got 0"),
        (lambda: cluster_type(Charge, name=ANYTHING), TypeError, "name to be a str, got int"),
        (lambda: cluster_type(Colour, name="point"), ValueError, "'point' is the name of"),
        (lambda: cluster_type(KeyboardInterrupt), TypeError, "expected KeyboardInterrupt"),
    ],
)
def test_what_cannot_be_registered_is_refused(call: Any, error: type, match: str) -> None:
    cluster_type(Point, name="point")
    before = dict(TYPES.by_name)
    with pytest.raises(error, match=match):
        call()
    assert TYPES.by_name == before


# What does not travel


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (object(), "got builtins.object at the top"),
        ([1, {"user": threading.Lock()}], r"lock at message\[1\]\['user'\]"),
        (("a", [{1}, (2, deque())]), r"deque at message\[1\]\[1\]\[1\]"),
        ({("a", object): 1}, r"type at message, a key\[1\]"),
        (OrderedDict(a=1), "OrderedDict at the top"),
        (Level.LOW, "Level at the top"),
        (Point3(1, 2), "Point3 at the top"),
        ([Charge(1)], r"Charge at message\[0\]"),
        (["\ud800"], r"Unicode, and at message\[0\]"),
        ({"\ud800": 1}, "Unicode, and at message, a key"),
        ({"x" * 1000: print}, "builtin_function_or_method at message"),
        (print, "builtin_function_or_method"),
    ],
)
def test_the_error_says_where_it_is(message: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match) as error:
        wire.encode(message)
    assert len(str(error.value)) < 300


def nested(depth: int, kinds: str = "list") -> Any:
    made: Any = "end"
    for level in range(depth):
        kind = kinds.split()[level % len(kinds.split())]
        made = {"x": made} if kind == "dict" else [made] if kind == "list" else (made,)
    return made


SHAPES = ["list", "tuple", "dict", "list tuple", "dict dict tuple list"]


@pytest.mark.parametrize("kinds", SHAPES)
def test_so_deep_it_may_be_and_no_deeper(kinds: str) -> None:
    deep = nested(DEEPEST // 3, kinds)
    assert wire.decode(wire.encode(deep)) == deep
    for depth in (1_100, 5_000):
        with pytest.raises(TypeError):
            wire.encode(nested(depth, kinds))
    assert wire.encode(1)


def test_what_contains_itself_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(TypeError, match="deep"):
        wire.encode(itself)
    table: dict[str, Any] = {}
    table["x"] = (table,)
    with pytest.raises(TypeError, match="deep"):
        wire.encode(table)


def test_wide_messages_arrive() -> None:
    wide = [{"id": n, "parts": [(n, k) for k in range(30)]} for n in range(2_000)]
    assert wire.decode(wire.encode(wide)) == wide
    wide_in_wide = [tuple({"x": k} for k in range(600)), *[()] * 1_100]
    assert wire.decode(wire.encode(wide_in_wide)) == wide_in_wide


# What comes from elsewhere


def extension(code: int, content: bytes) -> bytes:
    return b"\xc9" + len(content).to_bytes(4, "big") + bytes([code]) + content


def in_extensions(levels: int, lists: int, code: int = 1) -> bytes:
    body = b"\x90"
    for _ in range(levels):
        body = extension(code, b"\x91" * lists + body)
    return body


@pytest.mark.parametrize("lists", [1, 2, 5, 100, 1_000])
@pytest.mark.parametrize("levels", [1, 10, 50, 400])
def test_deep_nesting_from_elsewhere_has_an_end(levels: int, lists: int) -> None:
    """Also on a thread whose stack is small: there it would be a crash."""
    data = bytes([VERSION]) + in_extensions(levels, lists)
    ends: list[object] = []

    def decode() -> None:
        try:
            wire.decode(data)
            ends.append("decoded")
        except BadMessage:
            ends.append("bad")

    threads = threading.stack_size(1_048_576)
    try:
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(threads)
    assert len(ends) == 1
    if levels * (lists + 1) > 3_000:
        assert ends == ["bad"]


def test_the_depth_of_a_message_is_known_exactly() -> None:
    assert _depth(b"\x91" * DEEPEST + b"\xc0") == 0
    assert _depth(b"\x91" * (DEEPEST + 1) + b"\xc0") > DEEPEST
    assert _depth(in_extensions(DEEPEST // 2 - 1, 1)) == 0
    assert _depth(in_extensions(DEEPEST // 2 + 1, 1)) > DEEPEST
    # Behind the end of what is in an extension all goes on as if that were not there.
    hidden = extension(1, b"\xc0" + b"\xdd\xff\xff\xff\xff") + b"\x91" * 600 + b"\xc0"
    assert _depth(b"\x92" + hidden) > DEEPEST


@given(MESSAGES)
def test_the_depth_of_no_usual_message_is_too_much(message: Any) -> None:
    body = wire.encode(message)[1:]
    assert _depth(body) == 0
    insist_on_depth(body)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_garbage_is_a_bad_message_or_some_message(data: bytes) -> None:
    for came in (data, bytes([VERSION]) + data):
        try:
            wire.encode(wire.decode(came))
        except BadMessage:
            pass


@given(MESSAGES, st.data())
def test_what_is_cut_off_or_changed_is_a_bad_message_or_some_message(
    message: Any, data: st.DataObject
) -> None:
    encoded = bytearray(wire.encode(message))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(BadMessage):
        wire.decode(bytes(encoded[:cut]))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        wire.decode(bytes(encoded))
    except BadMessage:
        pass


def test_much_garbage_of_extensions_is_bad_messages() -> None:
    chance = random.Random(1)
    heads = [0x81, 0x91, 0xC7, 0xC8, 0xC9, 0xD4, 0xD8, 0xDC, 0xDD, 0xDE, 0xDF, 0xC4, 0xA1]
    bad = 0
    for _ in range(20_000):
        data = bytes(
            chance.choice(heads) if chance.random() < 0.5 else chance.randrange(16)
            for _ in range(chance.randrange(1, 40))
        )
        try:
            wire.decode(bytes([VERSION]) + data)
        except BadMessage:
            bad += 1
    assert bad > 5_000


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_a_bad_message(version: int) -> None:
    with pytest.raises(BadMessage, match=f"version {version}, and this is {VERSION}"):
        wire.decode(bytes([version]) + wire.encode(1)[1:])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\x80\x01",
        ormsgpack.packb(ormsgpack.Ext(99, b"\xc0")),
        ormsgpack.packb(ormsgpack.Ext(1, b"\x01")),
        ormsgpack.packb(ormsgpack.Ext(2, b"\x91\x90")),
        ormsgpack.packb(ormsgpack.Ext(4, b"\x90")),
        ormsgpack.packb(ormsgpack.Ext(5, b"\x90")),
        ormsgpack.packb(ormsgpack.Ext(7, b"\x93\x01\xc2\xc0")),
        ormsgpack.packb(ormsgpack.Ext(7, b"\x93\xa1x\xc2\x01")),
        ormsgpack.packb(ormsgpack.Ext(7, b"\x90")),
        ormsgpack.packb(ormsgpack.Ext(8, b"\x90")),
        ormsgpack.packb(ormsgpack.Ext(8, b"\x95\x01\xa0\xc0\xc0\xc0")),
        ormsgpack.packb(ormsgpack.Ext(8, b"\x95\xa9Exception\xa0\x90\x81\xa3__x\x01\xc0")),
        ormsgpack.packb(ormsgpack.Ext(8, b"\x95\xaaValueError\xa0\x90\x80\x01")),
        ormsgpack.packb(ormsgpack.Ext(10, b"\x91\x01")),
        ormsgpack.packb(ormsgpack.Ext(10, b"\x91\x92\x80\x01")),
    ],
)
def test_what_is_malformed_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        wire.decode(bytes([VERSION]) + body)


def test_an_error_from_elsewhere_sets_nothing_but_its_facts() -> None:
    body = b"\x95\xaaValueError\xa0\x91\xa1x\x81\xa6hidden\x01\xc0"
    came = wire.decode(bytes([VERSION]) + ormsgpack.packb(ormsgpack.Ext(8, body)))
    assert (type(came), came.args, came.hidden) == (ValueError, ("x",), 1)
