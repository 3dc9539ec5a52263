"""How errors and exit reasons travel: by a copy, or by pickle to another OS process.

What cannot travel goes as its text: a PID, which means nothing elsewhere; what pickle refuses, or
does not bring back. An error that does not arrive is worse: who waits in a
`multiprocessing.Pool` for a worker that raised it waits for ever.
"""

from __future__ import annotations

import copy
import pickle
from io import BytesIO
from typing import Any, final

from fauxtp._base.own_errors import own_errors
from fauxtp._base.texts import local_types

__all__ = ["copied", "deep_copied", "pack", "reduced"]

_PLAIN = (str, int, float, bool, type(None))

Reduced = tuple[Any, ...]


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        return (str, (repr(obj),)) if type(obj) in local_types else NotImplemented


@final
class _Parcel:
    """A value as it is pickled within something else: it arrives as the value itself."""

    __slots__ = ("_content", "_is_error", "_text")

    def __init__(self, value: object) -> None:
        self._content: bytes | None
        try:
            pickled = BytesIO()
            _Pickler(pickled).dump(value)
            self._content = pickled.getvalue()
            pickle.loads(self._content)  # some can be pickled, and then cannot be loaded
        except Exception:
            self._content = None
        self._text = _text(value)
        self._is_error = isinstance(value, BaseException)

    def __reduce__(self) -> Reduced:
        return _arrived, (self._content, self._text, self._is_error)


def _text(value: object) -> str:
    try:
        return repr(value)
    except own_errors():
        return f"<{type(value).__name__}>"


def _arrived(content: bytes | None, text: str, is_error: bool) -> object:
    if content is not None:
        try:
            return pickle.loads(content)
        except Exception:
            pass  # what it rests on is not here
    return Exception(text) if is_error else text


def pack(value: object) -> object:
    """Return what to pickle in place of `value`."""
    return value if type(value) in _PLAIN else _Parcel(value)


def reduced(error: BaseException) -> Reduced:
    """Return what `error.__reduce__` does: all that it carries, but for its traceback."""
    facts = {name: pack(value) for name, value in vars(error).items()}
    return _rebuilt, (
        type(error),
        tuple(map(pack, error.args)),
        facts,
        pack(error.__cause__),
        error.__suppress_context__,
    )


def _rebuilt(
    kind: type[BaseException],
    args: tuple[Any, ...],
    facts: dict[str, Any],
    cause: BaseException | None,
    suppress: bool,
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(facts)
    error.__cause__ = cause
    error.__suppress_context__ = suppress
    return error


def copied(error: BaseException) -> Any:
    """Return a copy of `error`, with the same facts."""
    return _rebuilt(
        type(error), error.args, vars(error), error.__cause__, error.__suppress_context__
    )


def deep_copied(error: BaseException, memo: dict[int, Any]) -> Any:
    """Return a copy of `error` with copies of its facts, but for those that there are once."""
    memo[id(error)] = copy_ = copied(error)
    copy_.args = _deep(error.args, memo)
    vars(copy_).update(_deep(vars(error), memo))
    copy_.__cause__ = _deep(error.__cause__, memo)
    copy_.__suppress_context__ = error.__suppress_context__
    return copy_


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    if type(value) is dict:
        return {name: _deep(part, memo) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_deep(part, memo) for part in value)
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value
