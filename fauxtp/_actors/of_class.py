"""What is called on a class of actors, and by mistake on one that was made."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["of_class"]

if TYPE_CHECKING:
    of_class = classmethod
else:

    class of_class(classmethod):  # noqa: N801  (as it stands where classmethod does)
        """A class method that cannot be called on an instance, which it would not look at."""

        __slots__ = ("_func",)

        def __init__(self, func: Any) -> None:
            super().__init__(func)
            self._func = func

        def __get__(self, instance: Any, owner: type, bound: Any = MethodType) -> Any:
            if instance is None:
                return bound(self._func, owner)
            return partial(_refuse, owner.__name__, self._func.__name__)


def _refuse(kind: str, name: str, *_: Any, **__: Any) -> NoReturn:
    what = f"expected {name} to be called on the class, which makes the actor"
    raise TypeError(f"{what}: {kind}.{name}(…), got one of {kind}")
