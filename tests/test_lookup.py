"""Look-ups in several tables, on both twins: what is asked in which order, and what is refused."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from test_registry import Name, Shout


def test_what_is_known_is_found_first_then_who_is_here_then_somebody_is_asked(twin: Any) -> None:
    there, here, asked = twin.PID(), twin.PID(), twin.PID()
    registry, names = twin.Registry(), []

    def ask(name: str) -> Any:
        names.append(name)
        return asked if name == "asked" else None

    for name in ("known", "here", Name.STORE.value):
        registry.register(name, here)
    lookup = twin.Lookup({"known": there}, registry, ask)
    assert (lookup.whereis("known"), lookup.whereis("here")) == (there, here)
    assert (lookup.whereis(Name.STORE), names) == (here, [])
    assert (lookup.whereis("asked"), lookup.whereis("nobody")) == (asked, None)
    assert lookup.whereis(Shout("nobody else")) is None
    assert names == ["asked", "nobody", "nobody else"]


@pytest.mark.parametrize(("name", "error"), [(3, TypeError), (None, TypeError), ("", ValueError)])
def test_what_is_no_name_is_refused(twin: Any, name: object, error: type[Exception]) -> None:
    lookup = twin.Lookup({}, twin.Registry(), pytest.fail)
    with pytest.raises(error, match="expected name to "):
        lookup.whereis(name)


def test_a_subclass_has_a_method_of_its_own(twin: Any) -> None:
    class Names(twin.Lookup):  # type: ignore[misc]
        pass

    there = twin.PID()
    assert twin.quick(Names) is Names
    assert Names({"known": there}, twin.Registry(), print).whereis("known") is there
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


@pytest.mark.parametrize("bad", [(None, 0), (0, None), ([], 0), (0, {})])
def test_what_is_no_table_is_refused(form: str, twin: Any, bad: tuple[Any, Any]) -> None:
    if form == "python":
        pytest.skip("there, type checkers refuse it")
    known, here = bad
    with pytest.raises(TypeError):
        twin.Lookup({} if known == 0 else known, twin.Registry() if here == 0 else here, print)


def test_one_in_a_cycle_is_collected(twin: Any) -> None:
    class Names(twin.Lookup):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__({"me": twin.PID()}, twin.Registry(), self.ask)

        def ask(self, name: str) -> None: ...

        def __del__(self) -> None:
            found.append(self.whereis("me"))

    found: list[Any] = []
    Names()
    gc.collect()
    assert len(found) == 1
