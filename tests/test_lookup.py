"""Look-ups of who is here or elsewhere, on both twins: when somebody is asked; what is refused."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from test_registry import Name, Shout


def test_what_is_known_is_found_and_of_all_else_somebody_is_asked(twin: Any) -> None:
    there, asked, names = twin.PID(), twin.PID(), []

    def ask(name: str) -> Any:
        names.append(name)
        return asked if name == "asked" else None

    lookup = twin.Lookup({"known": there, Name.STORE.value: there}, ask)
    assert (lookup.whereis("known"), lookup.whereis(Name.STORE), names) == (there, there, [])
    assert (lookup.whereis("asked"), lookup.whereis("nobody")) == (asked, None)
    assert lookup.whereis(Shout("nobody else")) is None
    assert names == ["asked", "nobody", "nobody else"]


def test_who_has_exited_is_not_found_though_known(twin: Any) -> None:
    pid, successor = twin.PID(), twin.PID()
    lookup = twin.Lookup({"known": pid}, lambda _: successor)
    assert lookup.whereis("known") is pid
    twin.retire(pid)
    assert lookup.whereis("known") is successor


@pytest.mark.parametrize(("name", "error"), [(3, TypeError), (None, TypeError), ("", ValueError)])
def test_what_is_no_name_is_refused(twin: Any, name: object, error: type[Exception]) -> None:
    lookup = twin.Lookup({}, pytest.fail)
    with pytest.raises(error, match="expected name to "):
        lookup.whereis(name)


def test_a_subclass_has_a_method_of_its_own(twin: Any) -> None:
    class Names(twin.Lookup):  # type: ignore[misc]
        pass

    there = twin.PID()
    assert twin.quick(Names) is Names
    assert Names({"known": there}, print).whereis("known") is there
    for other in (int, twin.Registry, 3, None):
        with pytest.raises(TypeError, match="expected cls to be a subclass of Lookup"):
            twin.quick(other)


def test_one_that_was_never_made_whole_raises(twin: Any) -> None:
    class Names(twin.Lookup):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    for lookup in (Names(), twin.Lookup.__new__(twin.Lookup)):
        with pytest.raises((TypeError, AttributeError)):
            lookup.whereis("nobody")


@pytest.mark.parametrize("known", [None, []])
def test_what_is_no_table_is_refused(form: str, twin: Any, known: object) -> None:
    if form == "python":
        pytest.skip("there, type checkers refuse it")
    with pytest.raises(TypeError):
        twin.Lookup(known, print)


def test_one_in_a_cycle_is_collected(twin: Any) -> None:
    class Names(twin.Lookup):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__({"me": twin.PID()}, self.ask)

        def ask(self, name: str) -> None: ...

        def __del__(self) -> None:
            found.append(self.whereis("me"))

    found: list[Any] = []
    Names()
    gc.collect()
    assert len(found) == 1
