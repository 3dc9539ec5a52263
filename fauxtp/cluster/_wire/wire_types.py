"""Types of users that travel to other nodes: they are named, so that both sides mean the same."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, overload

from fauxtp._base.arguments import expect_callable, expect_text, unexpected

__all__ = ["TYPES", "ClusterType", "cluster_type"]

T = TypeVar("T")

_Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]

LONGEST_NAME: Final = 200


class ClusterType(NamedTuple):
    """How values of a type are taken apart, and put together again."""

    name: str
    kind: type
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


class _Types:
    """All of them, by type and by name."""

    def __init__(self) -> None:
        self.by_kind: dict[type, ClusterType] = {}
        self.by_name: dict[str, ClusterType] = {}


TYPES: Final = _Types()


@overload
def cluster_type(
    kind: type[T],
    /,
    *,
    name: str | None = None,
    pack: Callable[[T], object] | None = None,
    unpack: Callable[[Any], T] | None = None,
) -> type[T]: ...


@overload
def cluster_type(*, name: str) -> Callable[[type[T]], type[T]]: ...


def cluster_type(
    kind: type[Any] | None = None,
    /,
    *,
    name: str | None = None,
    pack: Callable[[Any], object] | None = None,
    unpack: Callable[[Any], Any] | None = None,
) -> Any:
    """Let values of the class `kind` be sent to other nodes, and return it: a decorator.

    It is a dataclass, an enum, a NamedTuple, an exception, a `msgspec.Struct` or a model of
    pydantic: it travels by the names of its fields, and is made anew by its constructor, so that
    what it checks is checked. Any other class needs `pack`, which returns what to send in place
    of a value, and `unpack`, which makes a value of that.

    `name` says which type it is on the other nodes, where it must be registered as well: its
    qualified name, if none is given. A subclass is another type.

    Raises `TypeError` if `kind` is no class, or one that needs `pack` and `unpack`, and
    `ValueError` if another class has that name, or the name is empty or longer than 200.

    >>> from dataclasses import dataclass
    >>> @cluster_type(name="shop.Charge")
    ... @dataclass
    ... class Charge:
    ...     cents: int
    >>> from uuid import UUID
    >>> cluster_type(UUID, name="uuid", pack=str, unpack=UUID) is UUID
    True
    """
    if kind is None:
        return lambda kind: cluster_type(kind, name=name)
    if not isinstance(kind, type):
        raise unexpected("kind", "a class", kind)
    pack, unpack = _pair(kind, pack, unpack)
    name = f"{kind.__module__}.{kind.__qualname__}" if name is None else expect_text("name", name)
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(f"expected name to have 1 to {LONGEST_NAME} characters, got {len(name)}")
    other = TYPES.by_name.get(name)
    if other is not None and not _is_again(other.kind, kind):
        raise ValueError(f"{name!r} is the name of {other.kind!r} already")
    before = TYPES.by_kind.pop(kind, None)
    if before is not None:
        del TYPES.by_name[before.name]
    TYPES.by_name[name] = TYPES.by_kind[kind] = ClusterType(name, kind, pack, unpack)
    return kind


def _pair(kind: type, pack: Any, unpack: Any) -> _Pair:
    """Return the functions that are given, or those of a class that needs none."""
    if (pack is None) != (unpack is None):
        raise TypeError("expected pack and unpack, or neither of them")
    if pack is None:
        found = _usual(kind)
        if found is None:
            raise TypeError(
                f"expected {kind.__qualname__} to be a dataclass, an enum, a NamedTuple, an"
                " exception, a msgspec.Struct or a model of pydantic, or pack and unpack to be"
                " given"
            )
        return found
    expect_callable("pack", pack)
    expect_callable("unpack", unpack)
    return pack, unpack


def _is_again(other: type, kind: type) -> bool:
    """Return whether it is the same class, or what its module defines when it is loaded anew."""
    return other is kind or (other.__module__, other.__qualname__) == (
        kind.__module__,
        kind.__qualname__,
    )


def _usual(kind: type) -> _Pair | None:
    """Return how values of a class travel that tells its fields itself, or None."""
    names = getattr(kind, "_fields", None)
    found: _Pair | None = None
    if issubclass(kind, enum.Enum):
        found = (lambda value: value.name), (lambda member: kind[member])
    elif issubclass(kind, Exception):
        found = _as_it_is, _as_it_is  # see wire_errors.py
    elif dataclasses.is_dataclass(kind):
        found = _of_a_dataclass(kind)
    elif issubclass(kind, tuple) and names is not None:
        found = list, lambda values: kind(*_listed(values))
    elif _is_of("msgspec", "Struct", kind):
        found = _by_names(kind, kind.__struct_fields__)  # type: ignore[attr-defined]
    elif _is_of("pydantic", "BaseModel", kind):
        found = _by_names(kind, tuple(kind.model_fields))  # type: ignore[attr-defined]
    return found


def _is_of(module: str, name: str, kind: type) -> bool:
    """Return whether a class is one of a library, which then has been imported."""
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and issubclass(kind, base)


def _as_it_is(value: Any) -> Any:
    return value


def _by_names(kind: type, names: tuple[str, ...]) -> _Pair:
    def pack(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    return pack, lambda fields: kind(**_named(fields))


def _of_a_dataclass(kind: type) -> _Pair:
    fields = dataclasses.fields(kind)
    names = tuple(field.name for field in fields)
    late = {field.name for field in fields if not field.init}

    def pack(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def unpack(came: Any) -> Any:
        given = _named(came)
        made = kind(**{name: part for name, part in given.items() if name not in late})
        for name in late & given.keys():
            object.__setattr__(made, name, given[name])
        return made

    return pack, unpack


def _named(came: Any) -> dict[str, Any]:
    if type(came) is not dict or not all(type(name) is str for name in came):
        raise ValueError("expected fields by name")
    return came


def _listed(came: Any) -> list[Any]:
    if type(came) is not list:
        raise ValueError("expected a list of values")
    return came
