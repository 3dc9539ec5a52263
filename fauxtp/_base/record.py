"""Records: named values that nobody changes, of classes that are quickly made.

A frozen `dataclass` compiles its methods anew for each class, which takes about half a millisecond
of `import fauxtp` each. Here they are written once, for the few classes that every program loads.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from reprlib import recursive_repr
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["fill", "record"]

C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def record(cls: type[C]) -> type[C]:
    """Return `cls` with the fields that it declares, as of `dataclass(frozen=True, slots=True)`.

    It defines `__init__`, which gives the values to `fill`. `fields`, `replace` and `asdict` of
    `dataclasses` work.
    """
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in _METHODS.items():
        setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def fill(self: Any, *values: object) -> None:
    """Give a record that is being made its values, in the order of its fields."""
    for name, value in zip(self.__match_args__, values, strict=True):
        object.__setattr__(self, name, value)


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__match_args__])


class _Methods:
    @recursive_repr()
    def __repr__(self: Any) -> str:
        pairs = zip(self.__match_args__, _values(self), strict=True)
        shown = ", ".join(f"{name}={value!r}" for name, value in pairs)
        return f"{type(self).__qualname__}({shown})"

    def __eq__(self: Any, other: object) -> Any:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(_values(self))

    def __setattr__(self: Any, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self: Any, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce__(self: Any) -> tuple[Any, ...]:
        return type(self), _values(self)


_METHODS = {name: method for name, method in vars(_Methods).items() if callable(method)}
