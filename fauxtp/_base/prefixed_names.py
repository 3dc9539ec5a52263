"""Names that begin alike, each of which is made when it is asked for, by what is behind that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fauxtp._base.arguments import expect_some_text
from fauxtp._base.implementation import implementation

__all__ = ["PrefixedNames"]


_MOST: Final = 1024  # that are kept, as in `_native.pyx`


class PrefixedNames:
    """Names of one kind, a subclass of str: `names[key]` is `kind(prefix + key)`.

    Whoever has asked for one will do so again, soon: so some are kept, until they are too many.

    >>> PrefixedNames(str, "session:")["anna"]
    'session:anna'
    """

    __slots__ = ("_kept", "_kind_of_name", "_prefix")

    def __init__(self, kind: Callable[[str], str], prefix: str, /) -> None:
        self._kind_of_name = kind
        self._prefix = prefix
        self._kept: dict[str, str] = {}

    def __getitem__(self, key: str, /) -> str:
        """Return the address for `key`.

        Raises `TypeError` if `key` is no str, and `ValueError` if it is empty.
        """
        name = self._kept.get(key) if type(key) is str else None
        if name is None:
            key = expect_some_text("key", key)
            if len(self._kept) >= _MOST:
                self._kept.clear()
            name = self._kept[key] = self._kind_of_name(self._prefix + key)
        return name


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import PrefixedNames
