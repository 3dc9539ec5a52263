"""The table: every operation, its answers, and its refusals, on both twins."""

from __future__ import annotations

import copy
import enum
import gc
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from conftest import Call, calls

from fauxtp.errors import FauxtpError, NoProcess


class Name(enum.StrEnum):
    STORE = "kvstore"


class Shout(str):
    """A str that pretends to be another."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __str__(self) -> str:
        return self.upper()


def test_a_registered_name_means_its_pid(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    assert registry.register("kvstore", pid) is True
    assert registry.whereis("kvstore") is pid


def test_an_unknown_name_means_nothing(twin: Any) -> None:
    registry = twin.Registry()
    assert registry.whereis("nobody") is None


def test_a_taken_name_stays_with_its_holder(twin: Any) -> None:
    registry, holder, other = twin.Registry(), twin.PID(), twin.PID()
    registry.register("kvstore", holder)
    assert registry.register("kvstore", other) is False
    assert registry.register("kvstore", holder) is False
    assert registry.whereis("kvstore") is holder
    assert registry.names(holder) == ["kvstore"]
    assert registry.names(other) == []


def test_a_released_name_can_be_taken_at_once(twin: Any) -> None:
    registry, first, second = twin.Registry(), twin.PID(), twin.PID()
    registry.register("kvstore", first)
    assert registry.unregister("kvstore") is True
    assert registry.whereis("kvstore") is None
    assert registry.register("kvstore", second) is True
    assert registry.whereis("kvstore") is second


def test_unregistering_an_unknown_name_is_no_error(twin: Any) -> None:
    registry = twin.Registry()
    assert registry.unregister("nobody") is False


def test_with_a_pid_only_that_ones_name_is_dropped(twin: Any) -> None:
    registry, holder, other = twin.Registry(), twin.PID(), twin.PID()
    registry.register("kvstore", holder)
    assert registry.unregister("kvstore", other) is False
    assert registry.unregister("kvstore", pid=other) is False
    assert registry.whereis("kvstore") is holder
    assert registry.unregister("kvstore", holder) is True
    assert registry.unregister("kvstore", holder) is False


def test_names_come_in_order_of_registration(twin: Any) -> None:
    registry = twin.Registry()
    names = ["b", "a", "d", "c"]
    for name in names:
        registry.register(name, twin.PID())
    registry.unregister("a")
    registry.register("a", twin.PID())
    assert registry.registered() == ["b", "d", "c", "a"]
    assert list(registry) == registry.registered()


def test_names_can_be_asked_for_by_prefix(twin: Any) -> None:
    registry = twin.Registry()
    for name in ("pipeline:producer", "pipeline:processor:1", "kvstore", "pipeline:processor:2"):
        registry.register(name, twin.PID())
    shards = ["pipeline:processor:1", "pipeline:processor:2"]
    assert registry.registered("pipeline:processor:") == shards
    assert registry.registered(prefix="pipeline:processor:") == shards
    assert registry.registered("nothing") == registry.registered("producer") == []
    assert len(registry.registered("")) == 4


def test_a_list_of_names_is_the_callers_own(twin: Any) -> None:
    registry = twin.Registry()
    registry.register("kvstore", twin.PID())
    registry.registered().clear()
    registry.names(registry.whereis("kvstore")).clear()
    assert registry.registered() == ["kvstore"]


def test_a_pid_knows_its_names_in_their_order(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    assert registry.names(pid) == []
    for name in ("c", "a", "b"):
        registry.register(name, pid)
    assert registry.names(pid) == ["c", "a", "b"]
    registry.unregister("c")
    assert registry.names(pid) == ["a", "b"]
    registry.unregister("a")
    registry.unregister("b")
    assert registry.names(pid) == []
    registry.register("d", pid)
    assert registry.names(pid) == ["d"]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_release_drops_all_names_of_a_pid_and_no_other(twin: Any, count: int) -> None:
    registry, pid, other = twin.Registry(), twin.PID(), twin.PID()
    mine = [f"mine:{number}" for number in range(count)]
    for number, name in enumerate(mine):
        registry.register(name, pid)
        registry.register(f"other:{number}", other)
    assert registry.release(pid) == mine
    assert registry.release(pid) == []
    assert registry.names(pid) == []
    assert registry.registered() == [f"other:{number}" for number in range(count)]
    assert registry.register("mine:0", pid) is True


def test_transfer_compares_and_swaps(twin: Any) -> None:
    registry, old, new = twin.Registry(), twin.PID(), twin.PID()
    registry.register("first", old)
    registry.register("kvstore", old)
    registry.register("last", new)
    assert registry.transfer("kvstore", old, new) is True
    assert registry.whereis("kvstore") is new
    assert registry.names(old) == ["first"]
    assert registry.names(new) == ["last", "kvstore"]
    assert registry.registered() == ["first", "kvstore", "last"], "its place stays"
    assert registry.transfer("kvstore", old, new) is False
    assert registry.transfer("nobody", old, new) is False
    assert registry.transfer("kvstore", holder=new, successor=new) is True
    assert registry.transfer("kvstore", old, old) is False
    assert registry.names(new) == ["last", "kvstore"]


def test_len_in_and_repr(twin: Any) -> None:
    registry = twin.Registry()
    assert (len(registry), "kvstore" in registry, repr(registry)) == (
        0,
        False,
        "<Registry of 0 names>",
    )
    registry.register("kvstore", twin.PID())
    assert (len(registry), "kvstore" in registry, repr(registry)) == (
        1,
        True,
        "<Registry of 1 name>",
    )


def test_iteration_is_over_a_snapshot(twin: Any) -> None:
    registry = twin.Registry()
    for name in ("a", "b", "c"):
        registry.register(name, twin.PID())
    seen = []
    for name in registry:
        seen.append(name)
        registry.unregister(name)
        registry.register(f"new:{name}", twin.PID())
    assert seen == ["a", "b", "c"]
    for name in registry:
        registry.register(f"another:{name}", twin.PID())
    assert len(registry) == 6


def test_registries_are_independent(twin: Any) -> None:
    one, two = twin.Registry(), twin.Registry()
    pid, other = twin.PID(), twin.PID()
    assert one.register("kvstore", pid)
    assert two.register("kvstore", other)
    assert two.register("also", pid)
    assert (one.whereis("kvstore"), two.whereis("kvstore")) == (pid, other)
    assert (one.names(pid), two.names(pid)) == (["kvstore"], ["also"])
    assert one.release(pid) == ["kvstore"]
    assert two.names(pid) == ["also"]


def test_a_pid_can_have_many_names_in_many_registries(twin: Any) -> None:
    registries = [twin.Registry() for _ in range(3)]
    pid = twin.PID()
    expected: list[list[str]] = [[] for _ in registries]
    for round_ in range(4):
        for number, registry in enumerate(registries):
            name = f"{number}:{round_}"
            assert registry.register(name, pid)
            expected[number].append(name)
    assert [registry.names(pid) for registry in registries] == expected
    # The first registry is emptied and used again: the others must not notice.
    assert registries[0].release(pid) == expected[0]
    assert registries[2].register("again", pid)
    assert registries[0].register("again", pid)
    assert registries[0].names(pid) == ["again"]
    assert registries[1].names(pid) == expected[1]
    assert registries[2].names(pid) == [*expected[2], "again"]
    for registry in registries:
        for name in registry.names(pid):
            assert registry.unregister(name, pid)
        assert (len(registry), registry.names(pid)) == (0, [])


def test_transfer_works_between_pids_at_home_elsewhere(twin: Any) -> None:
    home, other = twin.Registry(), twin.Registry()
    old, new = twin.PID(), twin.PID()
    for pid in (old, new):
        assert home.register(f"home of {pid}", pid)
    assert other.register("kvstore", old)
    assert other.transfer("kvstore", old, new)
    assert (other.names(old), other.names(new)) == ([], ["kvstore"])
    assert other.release(new) == ["kvstore"]
    assert len(home) == 2


def test_the_functions_work_on_the_default_registry(twin: Any) -> None:
    pid = twin.PID()
    name = f"test:{pid}:default"  # this test may run in several threads
    assert twin.register(name, pid) is True
    try:
        assert twin.whereis(name) is pid
        assert twin.registered(f"test:{pid}") == [name]
        assert twin.default.names(pid) == [name]
        assert name not in twin.Registry()
    finally:
        assert twin.unregister(name, pid) is True


def test_a_subclass_of_str_is_as_good_as_its_value(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    for name in (Name.STORE, Shout("kvstore")):
        assert registry.register(name, pid) is True
        assert registry.whereis("kvstore") is pid
        assert registry.whereis(name) is pid
        assert name in registry
        assert [type(known) for known in registry.registered(name)] == [str]
        assert [type(known) for known in registry.names(pid)] == [str]
        assert registry.transfer(name, pid, pid) is True
        assert registry.unregister(name, pid) is True


@pytest.mark.parametrize("name", ["a" * 100_000, "\ud800", "nul\0inside", "ключ", " ", "\n"])
def test_any_text_is_a_name(twin: Any, name: str) -> None:
    registry, pid = twin.Registry(), twin.PID()
    assert registry.register(name, pid)
    assert registry.whereis(name) is pid
    assert registry.registered() == [name]


class Pretender:
    """Says that it is a str, as a mock of one does, and is none."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


BAD_NAMES = [
    (Pretender(), TypeError, "expected name to be a str, got Pretender"),
    (None, TypeError, "expected name to be a str, got NoneType"),
    (b"kvstore", TypeError, "expected name to be a str, got bytes"),
    (7, TypeError, "expected name to be a str, got int"),
    ("", ValueError, "expected name to have at least one character, got ''"),
]


@pytest.mark.parametrize(
    ("name", "error", "text"), BAD_NAMES, ids=["pretender", "None", "bytes", "int", "empty"]
)
def test_a_bad_name_is_refused(twin: Any, name: Any, error: type[Exception], text: str) -> None:
    registry, pid = twin.Registry(), twin.PID()
    registry.register("kvstore", pid)
    attempts: list[Call] = [
        lambda: registry.register(name, pid),
        lambda: registry.unregister(name),
        lambda: registry.unregister(name, pid),
        lambda: registry.whereis(name),
        lambda: registry.transfer(name, pid, pid),
        lambda: name in registry,
    ]
    for attempt in attempts:
        with pytest.raises(error) as caught:
            attempt()
        assert str(caught.value) == text
    assert registry.registered() == registry.names(pid) == ["kvstore"]


def test_a_bad_pid_is_refused(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    registry.register("kvstore", pid)

    class Mock:
        __class__ = twin.PID

    for bad, came in (
        (7, "int"),
        (twin.Ref(), "Ref"),
        (twin.PID, "the class PID"),
        (Mock(), "Mock"),
    ):
        attempts: list[tuple[str, Call]] = [
            ("pid", partial(registry.register, "new", bad)),
            ("pid", partial(registry.unregister, "kvstore", bad)),
            ("pid", partial(registry.names, bad)),
            ("pid", partial(registry.release, bad)),
            ("pid", partial(twin.retire, bad)),
            ("holder", partial(registry.transfer, "kvstore", bad, pid)),
            ("successor", partial(registry.transfer, "kvstore", pid, bad)),
        ]
        for parameter, attempt in attempts:
            with pytest.raises(TypeError) as caught:
                attempt()
            assert str(caught.value) == f"expected {parameter} to be a PID, got {came}"
    with pytest.raises(TypeError, match="expected pid to be a PID, got NoneType"):
        registry.register("new", None)
    assert registry.registered() == registry.names(pid) == ["kvstore"]


def test_a_bad_prefix_is_refused(twin: Any) -> None:
    registry = twin.Registry()
    with pytest.raises(TypeError, match=r"^expected prefix to be a str, got int$"):
        registry.registered(7)


def test_a_name_that_is_refused_is_named_before_a_bad_pid(twin: Any) -> None:
    registry = twin.Registry()
    with pytest.raises(TypeError, match="name"):
        registry.register(7, 7)


def test_a_retired_pid_loses_its_names_in_all_registries(twin: Any) -> None:
    one, two = twin.Registry(), twin.Registry()
    pid, other = twin.PID(), twin.PID()
    retired, kept = f"test:{pid}:retired", f"test:{pid}:kept"
    for registry in (one, two, twin.default):
        assert registry.register(retired, pid)
        assert registry.register(kept, other)
    assert twin.retire(pid) is None
    for registry in (one, two, twin.default):
        assert registry.registered(f"test:{pid}:") == [kept]
        assert registry.names(pid) == []
        assert registry.unregister(kept, other)


def test_a_pid_keeps_nothing_of_a_registry_that_is_gone(twin: Any) -> None:
    pid = twin.PID()
    gone = weakref.WeakSet[Any]()
    for _ in range(3):
        registry = twin.Registry()
        registry.register("kvstore", pid)
        gone.add(registry)
    del registry
    gc.collect()
    assert not list(gone)
    assert not gc.get_referents(pid) or all(
        not isinstance(one, dict) for one in gc.get_referents(pid)
    )


def test_a_retired_pid_gets_no_name(twin: Any) -> None:
    registry, gone, pid = twin.Registry(), twin.PID(), twin.PID()
    registry.register("kvstore", pid)
    twin.retire(gone)
    twin.retire(gone)
    for attempt in calls(
        lambda: registry.register("new", gone),
        lambda: registry.register("kvstore", gone),
        lambda: registry.transfer("kvstore", pid, gone),
        lambda: registry.transfer("nobody", pid, gone),
    ):
        with pytest.raises(NoProcess) as caught:
            attempt()
        assert caught.value.to is gone
        assert isinstance(caught.value, FauxtpError)
        assert str(caught.value) == f"no living process behind {gone!r}"
    assert registry.registered() == ["kvstore"]
    assert registry.unregister("kvstore", gone) is False
    assert registry.transfer("kvstore", gone, pid) is False
    assert (registry.names(gone), registry.release(gone)) == ([], [])


def test_where_the_registries_cannot_be_listed_nobody_is_retired(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> Any:
            raise MemoryError

    registry, pid = twin.Registry(), twin.PID()
    registry.register("kvstore", pid)
    with monkeypatch.context() as patch:
        patch.setattr(twin, "_registries", Full())
        with pytest.raises(MemoryError):
            twin.retire(pid)
    assert registry.register("new", pid), "it is marked, but has kept its name"
    assert registry.names(pid) == ["kvstore", "new"]


def test_a_registry_that_is_made_meanwhile_keeps_no_retired_pid(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, another = twin.PID(), twin.Registry()  # of one alone, no list is made
    late: list[Any] = []

    class Registries(weakref.WeakValueDictionary[int, Any]):
        def valuerefs(self) -> list[Any]:
            listed = super().valuerefs()
            if not late:
                late.append(twin.Registry())
                assert late[0].register("kvstore", pid)
            return listed

    with monkeypatch.context() as patch:
        patch.setattr(twin, "_registries", Registries(twin._registries))
        twin.retire(pid)
    assert (late[0].registered(), late[0].names(pid)) == ([], [])
    assert another.registered() == []


def test_who_is_being_retired_gets_no_name_and_is_passed_none(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the registries are listed, it may be known to have exited, and still have names."""
    registry, pid = twin.Registry(), twin.PID()
    registry.register("kvstore", pid)
    refused: list[list[bool]] = []

    def is_refused(attempt: Call) -> bool:
        try:
            attempt()
        except NoProcess:
            return True
        return False

    class Registries(weakref.WeakValueDictionary[int, Any]):
        def valuerefs(self) -> list[Any]:
            attempts = calls(
                lambda: registry.register("new", pid),
                lambda: registry.transfer("kvstore", pid, pid),
            )
            refused.append([is_refused(attempt) for attempt in attempts])
            return super().valuerefs()

    with monkeypatch.context() as patch:
        patch.setattr(twin, "_registries", Registries(twin._registries))
        twin.retire(pid)
    assert refused
    assert all(same in ([True] * 2, [False] * 2) for same in refused), refused
    assert registry.registered() == []


def test_who_was_seen_with_a_name_was_given_it(twin: Any) -> None:
    """Also if it is retired at that very moment, by whoever saw it."""
    registry, pid = twin.Registry(), twin.PID()

    def see(*_: object) -> Any:
        if registry.whereis("kvstore") is pid:
            sys.settrace(None)
            twin.retire(pid)
        return see

    tracing = sys.gettrace()
    sys.settrace(see)
    try:
        given = registry.register("kvstore", pid)
    finally:
        sys.settrace(tracing)
    assert given is True


@pytest.mark.parametrize("operation", ["register", "transfer", "watch"])
def test_who_loses_all_and_gets_another_meanwhile_has_both(twin: Any, operation: str) -> None:
    """On each line, what was looked up before is empty, is dropped, and another has its place."""
    heard: list[Any] = []
    for moment in range(1, 30):
        registry, old, new = twin.Registry(), twin.PID(), twin.PID()
        passed = itertools.count(1)
        if operation == "transfer":
            registry.register("kvstore", old)

        def see(*_: object) -> Any:
            if next(passed) == moment:  # noqa: B023
                for name in ("first", "second"):
                    registry.unregister("first")  # noqa: B023
                    registry.register(name, new)  # noqa: B023
                    registry.unwatch("kvstore", repr)  # noqa: B023
                    registry.watch("kvstore", repr)  # noqa: B023
            return see

        attempt = {
            "register": partial(registry.register, "kvstore", new),
            "transfer": partial(registry.transfer, "kvstore", old, new),
            "watch": partial(registry.watch, "kvstore", heard.append),
        }[operation]
        tracing = sys.gettrace()
        sys.settrace(see)
        try:
            attempt()
        finally:
            sys.settrace(tracing)
        if operation == "watch":
            registry.register("kvstore", new)
            assert heard == [new]
            heard.clear()
        assert set(registry.names(new)) == set(registry)
        assert "kvstore" in registry


MEANWHILE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "register": lambda registry, old, new: registry.register("new", old),
    "unregister": lambda registry, old, new: registry.unregister("kvstore"),
    "transfer": lambda registry, old, new: registry.transfer("kvstore", old, new),
    "release": lambda registry, old, new: registry.release(old),
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("other", MEANWHILE)
def test_release_tells_of_what_it_frees_whatever_comes_in(
    twin: Any, other: str, count: int
) -> None:
    """A collection, which on CPython 3.11 may come at any allocation, brings it in."""
    answers: list[Any] = []

    def come_in(phase: str, info: object) -> None:
        if phase == "start" and not answers:
            answers.append(MEANWHILE[other](registry, old, new))

    threshold = gc.get_threshold()
    for allocations in range(1, 20):
        registry, old, new = twin.Registry(), twin.PID(), twin.PID()
        names = ["kvstore", "also"][:count]
        for name in names:
            registry.register(name, old)
        answers.clear()
        gc.collect()
        gc.callbacks.append(come_in)
        gc.set_threshold(allocations)
        try:
            released = registry.release(old)
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(come_in)
        if other == "register" and answers:
            names.append("new")
        elif other == "unregister" and True in answers:
            released.append("kvstore")
        elif other == "release" and answers:
            released += answers[0]
        assert sorted([*released, *registry]) == sorted(names)


def test_a_registry_is_neither_copied_nor_pickled(twin: Any) -> None:
    registry = twin.Registry()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot copy or pickle a Registry"):
            attempt(registry)


def test_a_registry_takes_no_arguments(twin: Any) -> None:
    for attempt in calls(lambda: twin.Registry(1), lambda: twin.Registry(name="x")):
        with pytest.raises(TypeError):
            attempt()


def test_a_registry_has_no_room_for_more(twin: Any) -> None:
    registry = twin.Registry()
    with pytest.raises(AttributeError):
        registry.title = "services"
    assert not hasattr(registry, "__dict__")


def test_a_registry_can_be_subclassed(twin: Any) -> None:
    class Directory(twin.Registry):  # type: ignore[misc]
        def __init__(self, title: str) -> None:
            self.title = title  # and does not call the base

    directory, pid = Directory("services"), twin.PID()
    assert directory.register("kvstore", pid)
    assert (directory.whereis("kvstore"), repr(directory)) == (pid, "<Directory of 1 name>")
    twin.retire(pid)
    assert len(directory) == 0


def test_a_registry_that_is_dropped_is_gone_and_so_is_what_it_held(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    registry.register("kvstore", pid)
    watched = weakref.ref(registry), weakref.ref(pid)
    kept = twin.PID()
    registry.register("kept", kept)
    del registry, pid
    gc.collect()
    assert [reference() for reference in watched] == [None, None]
    later = twin.Registry()
    assert later.names(kept) == []
    assert later.register("kept", kept)
    assert later.release(kept) == ["kept"]


def test_a_finaliser_in_a_cycle_with_the_registry_can_use_it(twin: Any) -> None:
    answers: list[Any] = []

    class Watcher:
        def __init__(self) -> None:
            self.registry = twin.Registry()
            self.registry.watch("kvstore", self.notice)
            self.registry.register("another", twin.PID())

        def notice(self, pid: Any) -> None:
            answers.append("noticed")

        def __del__(self) -> None:
            answers.append(self.registry.register("kvstore", twin.PID()))
            answers.append(self.registry.whereis("kvstore") is not None)

    Watcher()
    gc.collect()
    assert answers == ["noticed", True, True]


def test_whoever_watches_a_name_hears_of_it(twin: Any) -> None:
    registry = twin.Registry()
    heard: list[Any] = []
    also = heard.append
    first, second = twin.PID(), twin.PID()
    registry.watch("kvstore", heard.append)
    registry.watch(Name.STORE, also)
    registry.register("other", first)
    registry.register("kvstore", first)
    registry.register("kvstore", second)
    assert heard == [first, first]
    assert registry.unwatch("kvstore", also) is True
    registry.unregister("kvstore")
    registry.register("kvstore", second)
    assert heard == [first, first, second]
    assert registry.unwatch("kvstore", also) is True
    assert registry.unwatch("kvstore", also) is False
    assert registry.unwatch("nobody", also) is False
    registry.release(second)
    registry.register("kvstore", first)
    assert heard == [first, first, second]


def test_a_callback_may_end_its_watch_and_begin_another(twin: Any) -> None:
    """Whoever watched when the name was registered is called, and nobody else."""
    registry = twin.Registry()
    heard: list[str] = []

    def once(pid: object) -> None:
        heard.append("once")
        registry.unwatch("kvstore", once)
        registry.watch("kvstore", later)

    def later(pid: object) -> None:
        heard.append("later")

    def always(pid: object) -> None:
        heard.append("always")

    registry.watch("kvstore", once)
    registry.watch("kvstore", always)
    registry.register("kvstore", twin.PID())
    assert heard == ["once", "always"]
    registry.unregister("kvstore")
    registry.register("kvstore", twin.PID())
    assert heard == ["once", "always", "always", "later"]


def test_a_name_was_given_also_if_a_callback_ends_its_pid(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    registry.watch("kvstore", twin.retire)
    assert registry.register("kvstore", pid) is True
    assert registry.whereis("kvstore") is None


class Meddler:
    """A callback that does something else when it is compared."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def __call__(self, pid: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        self.meddle()
        return self is other

    __hash__ = None  # type: ignore[assignment]


class Same:
    """A callback that is equal to every other of its kind."""

    def __call__(self, pid: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return type(other) is Same

    __hash__ = None  # type: ignore[assignment]


def test_a_watch_is_not_lost_to_a_comparison(twin: Any) -> None:
    registry = twin.Registry()
    heard: list[Any] = []
    meddler, other = Meddler(lambda: registry.watch("kvstore", heard.append)), Same()
    registry.watch("kvstore", meddler)
    registry.watch("kvstore", other)
    assert registry.unwatch("kvstore", Same()) is True
    registry.register("kvstore", twin.PID())
    assert len(heard) == 1


def test_a_comparison_may_end_the_watch(twin: Any) -> None:
    registry = twin.Registry()
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            ended.append(False)
            ended.append(registry.unwatch("kvstore", meddler))

    meddler = Meddler(end)
    registry.watch("kvstore", meddler)
    assert registry.unwatch("kvstore", print) is False
    assert ended == [False, True]
    assert registry.unwatch("kvstore", meddler) is False


def test_a_watch_that_a_comparison_has_ended_is_not_ended_twice(twin: Any) -> None:
    registry = twin.Registry()
    ended: list[bool] = []

    class Alike:
        def __call__(self, pid: object) -> None:
            pass

        def __eq__(self, other: object) -> bool:
            if not ended:
                ended.append(registry.unwatch("kvstore", self))
            return True

        __hash__ = None  # type: ignore[assignment]

    registry.watch("kvstore", Alike())
    assert registry.unwatch("kvstore", print) is False
    assert ended == [True]
    ended.clear()
    registry.watch("kvstore", Alike())
    registry.watch("kvstore", Same())
    assert registry.unwatch("kvstore", Same()) is True
    assert ended == [True]
    assert registry.unwatch("kvstore", Same()) is False


@pytest.mark.parametrize("operation", ["watch", "unwatch"])
def test_a_watch_that_comes_in_while_another_begins_or_ends_is_kept(
    twin: Any, operation: str
) -> None:
    """A collection, which on CPython 3.11 may come at any allocation, brings it in."""
    heard: list[str] = []
    late: list[Any] = []

    def one(pid: object) -> None:
        heard.append("one")

    def come_in(phase: str, info: object) -> None:
        if phase == "start" and not late:
            late.append(lambda pid: heard.append("late"))
            registry.watch("kvstore", late[0])

    threshold = gc.get_threshold()
    for allocations in range(1, 20):
        registry = twin.Registry()
        many = [repr] * 30  # a tuple of so many is allocated each time
        for callback in [*many, one, *many] if operation == "unwatch" else many:
            registry.watch("kvstore", callback)
        heard.clear()
        late.clear()
        gc.collect()
        gc.callbacks.append(come_in)
        gc.set_threshold(allocations)
        try:
            getattr(registry, operation)("kvstore", one)
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(come_in)
        registry.register("kvstore", twin.PID())
        assert sorted(heard) == ["late"] * len(late) + ["one"] * (operation == "watch")


def test_a_callback_that_is_equal_to_nothing_is_known_again(twin: Any) -> None:
    class Lonely:
        def __call__(self, pid: object) -> None:
            pass

        def __eq__(self, other: object) -> bool:
            return False

        __hash__ = None  # type: ignore[assignment]

    registry, lonely = twin.Registry(), Lonely()
    registry.watch("kvstore", lonely)
    assert registry.unwatch("kvstore", Lonely()) is False
    assert registry.unwatch("kvstore", lonely) is True


def test_watching_a_bad_name_is_refused(twin: Any) -> None:
    registry = twin.Registry()
    for name, error in ((7, TypeError), ("", ValueError)):
        for attempt in calls(
            partial(registry.watch, name, print), partial(registry.unwatch, name, print)
        ):
            with pytest.raises(error):
                attempt()


def test_what_cannot_be_called_is_refused_as_a_callback(twin: Any) -> None:
    registry = twin.Registry()
    with pytest.raises(TypeError, match=r"^expected callback to be a function, got int$"):
        registry.watch("kvstore", 5)
    assert registry.register("kvstore", twin.PID())  # who registers is not troubled


def test_a_name_keeps_its_pid_alive_and_no_longer(twin: Any) -> None:
    registry, pid = twin.Registry(), twin.PID()
    watched = weakref.ref(pid)
    registry.register("a", pid)
    registry.register("b", pid)
    del pid
    gc.collect()
    assert watched() is registry.whereis("a")
    registry.unregister("a")
    assert watched() is not None
    registry.unregister("b")
    gc.collect()
    assert watched() is None


def test_a_pid_that_has_passed_on_its_names_is_let_go(twin: Any) -> None:
    home, registry, heir = twin.Registry(), twin.Registry(), twin.PID()
    for at_home_elsewhere in (False, True):
        pid = twin.PID()
        watched = weakref.ref(pid)
        if at_home_elsewhere:
            home.register("home", pid)
        registry.register("kvstore", pid)
        assert registry.transfer("kvstore", pid, heir)
        home.release(pid)
        registry.release(heir)
        del pid
        gc.collect()
        assert watched() is None


def test_a_snapshot_of_a_large_table_is_whole(twin: Any) -> None:
    registry = twin.Registry()
    names = [f"pipeline:processor:{number}" for number in range(100_000)]
    for name in names:
        registry.register(name, twin.PID())
    assert registry.registered() == names
    assert list(registry) == names
    assert registry.registered("pipeline:processor:99") == [
        name for name in names if name.startswith("pipeline:processor:99")
    ]
    for name in names[::2]:
        registry.unregister(name)
    assert registry.registered() == names[1::2]
