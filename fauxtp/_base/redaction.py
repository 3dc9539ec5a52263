"""Values of others in few words: bounded, without what is secret, and without their own code.

A `repr` may say anything, take for ever, or fail. So what a value consists of is read where it
lies: the items of containers, the fields of objects. What stands at a key, or in a field, that is
called as secrets are is hidden.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final

from fauxtp._base.carried import bare
from fauxtp._base.own_errors import own_errors
from fauxtp._base.texts import full_name, local_types, module_of, type_name

__all__ = ["HIDDEN", "SECRETS", "described", "plain_word"]

DEPTH: Final = 3  # containers within containers
ITEMS: Final = 50  # of each container
LIMIT: Final = 400  # characters in all, as long as `shown` is
LONGEST: Final = 200  # characters of a text
BITS: Final = 2_000  # of an int that is told whole

HIDDEN: Final = "<hidden>"
SECRETS: Final = (
    "password",
    "passwd",
    "secret",
    "token",
    "cookie",
    "authorization",
    "apikey",
    "credential",
)
"""What a key contains whose value is hidden, as `plain_word` says it."""

_NAMED = FunctionType, BuiltinFunctionType, MethodType, type

# A class, or a metaclass, may say anything of these, or fail.
_MRO: Final = type.__dict__["__mro__"]
_DICT: Final = type.__dict__["__dict__"]
_ARGUMENTS: Final = BaseException.__dict__["args"]

_BRACKETS: Final[dict[Any, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    deque: ("deque([", "])"),
}
_TOLD = frozenset({"datetime", "decimal", "fractions", "pathlib", "uuid"})
"""The modules of the standard library whose values tell of themselves, and of nothing else."""

_MORE = "…"
_START = slice(LONGEST)

Fields = list[tuple[Any, Any]]  # by name, which is "" of what has none


def described(value: Any, limit: int = LIMIT, secrets: Iterable[str] = SECRETS) -> str:
    """Return what `value` is, in at most `limit` characters and a sign that there is more.

    >>> described({"user": "anna", "api_key": 5, "tags": ["x"]}, 100)
    "{'user': 'anna', 'api_key': <hidden>, 'tags': ['x']}"
    >>> described(("set password", "anna", "hunter2"), 100)
    "('set password', <hidden>, <hidden>)"
    >>> described("x" * 1000, 10)
    "'xxxxxxxxxx'…"
    """
    pieces, left = [], limit
    if issubclass(type(value), str):
        return _cut(str.__getitem__(value, slice(limit)), str.__len__(value), limit)
    try:
        for piece in _pieces(value, DEPTH, tuple(secrets)):
            pieces.append(piece[:left])
            left -= len(piece)
            if left < 0:
                pieces.append(_MORE)
                break
    except own_errors():  # another thread changes it meanwhile
        pieces.append(f"{_MORE} {type_name(type(value))}")
    return "".join(pieces)


def plain_word(key: str) -> str:
    """Return a key without what people write it with: `api_key`, `Api-Key` and `apiKey` are one.

    >>> plain_word("X-Api-Key")
    'xapikey'
    """
    return "".join(char for char in key.casefold() if char.isalnum())


def _hides(key: Any, secrets: tuple[str, ...]) -> bool:
    """Return whether what stands at `key` is nobody's business."""
    kind = type(key)
    if issubclass(kind, tuple | frozenset):
        base: Any = tuple if issubclass(kind, tuple) else frozenset
        return any(_hides(part, secrets) for part in islice(base.__iter__(key), ITEMS))
    if issubclass(kind, Enum) and _hides(_enum_name(key), secrets):
        return True
    if issubclass(kind, bytes):
        key = bytes.decode(key, "latin-1")
    if not issubclass(type(key), str):
        return False
    word = plain_word(str.__getitem__(key, _START))
    return any(secret in word for secret in secrets)


def _pieces(value: Any, depth: int, secrets: tuple[str, ...]) -> Iterator[str]:
    value = bare(value)
    kind = type(value)
    plain = _plain(value, kind)
    if plain is not None:
        yield plain
    elif issubclass(kind, dict):
        yield from _of_dict(value, depth, secrets)
    elif (fields := _fields(value, kind)) is not None:
        if not fields and _is_ours(kind):
            yield repr(value)
        else:
            yield from _of_fields(kind, fields, depth, secrets)
    else:
        yield from _of_items(value, kind, depth, secrets)


def _plain(value: Any, kind: type) -> str | None:
    """Return what is told of a value that has no others in it; else None."""
    if any(kind is known for known in (type(None), bool, float, complex, *local_types)):
        return repr(value)
    if issubclass(kind, Enum) and (name := _enum_name(value)):
        return f"{type_name(kind)}.{name}"
    if issubclass(kind, int):
        bits = int.bit_length(value)
        return int.__repr__(value) if bits <= BITS else f"<int of {bits:,} bits>"
    return _plain_text(value, kind) or _plain_name(value, kind)


def _plain_text(value: Any, kind: type) -> str | None:
    if issubclass(kind, str):
        return _cut(str.__getitem__(value, _START), str.__len__(value))
    if issubclass(kind, bytes | bytearray):
        return _cut(bytes(memoryview(value)[:LONGEST]), len(memoryview(value)))
    return repr(value)[:LONGEST] if module_of(kind) in _TOLD else None


def _plain_name(value: Any, kind: type) -> str | None:
    if issubclass(kind, ModuleType):
        return f"<module {_name_text(_own(value).get('__name__', ''))}>"
    if issubclass(kind, type):
        return f"<class {_name_text(full_name(value)[len(module_of(value)) + 1 :])}>"
    if not issubclass(kind, _NAMED):
        return None
    named = value.__func__ if kind is MethodType else value
    known = type(named) in {FunctionType, BuiltinFunctionType}
    return f"<{type_name(kind)} {_name_text(named.__qualname__ if known else '')}>"


def _enum_name(value: Any) -> str:
    """Return the name of a member of an Enum; "" if it is of several, or of none."""
    name = _own(value).get("_name_")
    return name if type(name) is str else ""


def _name_text(name: Any) -> str:
    """Return a name as it is written, if it is one that can be; else what it consists of."""
    if not issubclass(type(name), str):
        return "".join(_pieces(name, 1, SECRETS))
    plain = str.__getitem__(name, _START)
    is_plain = all(part.isidentifier() or part == "<locals>" for part in plain.split("."))
    return plain if is_plain else repr(plain)


def _is_ours(kind: type) -> bool:
    return module_of(kind).partition(".")[0] == "fauxtp"


def _own(value: Any) -> dict[str, Any]:
    """Return what an object keeps in a dict of its own."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _cut(start: str | bytes, length: int, most: int = LONGEST) -> str:
    return repr(start) if length <= most else f"{start!r}{_MORE}"


def _fields(value: Any, kind: type) -> Fields | None:
    """Return the fields of an object, by name; None of a container that has none."""
    if issubclass(kind, tuple):
        names = next((own["_fields"] for own in _dicts(kind) if "_fields" in own), ())
        named = type(names) is tuple and len(names) == tuple.__len__(value)
        return list(zip(names, tuple.__iter__(value), strict=False)) if named and names else None
    if issubclass(kind, tuple(_BRACKETS)):
        return None
    if _is_ours(kind) and hasattr(kind, "request"):
        return [("", value.request)]  # of a Call or Cast, compiled or not
    if issubclass(kind, BaseException):
        return [("", argument) for argument in _ARGUMENTS.__get__(value)]
    found: Fields = []
    for own in _dicts(kind):
        slots = own.get("__slots__", ())
        names = (slots,) if type(slots) is str else slots
        for name in islice(names, ITEMS) if type(names) in {tuple, list, dict} else ():
            field = own.get(name) if type(name) is str else None
            if type(field) is MemberDescriptorType:
                found += _read(field, name, value)
    return found + list(islice(_own(value).items(), ITEMS + 1))


def _dicts(kind: type) -> Iterator[Any]:
    """Yield what a class has, and what those that it is made of have."""
    for base in _MRO.__get__(kind):
        yield _DICT.__get__(base)


def _read(field: Any, name: str, value: Any) -> Fields:
    try:
        return [(name, field.__get__(value))]
    except AttributeError:
        return []  # it has no value yet


def _of_dict(value: dict[Any, Any], depth: int, secrets: tuple[str, ...]) -> Iterator[str]:
    yield "{"
    if depth == 0:
        yield _MORE if dict.__len__(value) else ""
    else:
        for number, (key, item) in enumerate(list(islice(dict.items(value), ITEMS + 1))):
            yield ", " if number else ""
            if number == ITEMS:
                yield f"{_MORE} {dict.__len__(value) - ITEMS:,} more"
                break
            yield from _pieces(key, 1, secrets)
            yield ": "
            yield from _item(item, _hides(key, secrets), depth, secrets)
    yield "}"


def _of_fields(kind: type, fields: Fields, depth: int, secrets: tuple[str, ...]) -> Iterator[str]:
    yield f"{type_name(kind)}("
    if depth == 0:
        yield _MORE if fields else ""
    else:
        hides = bool(fields) and _hides(fields[0][1], secrets)  # as the first of a row does
        for number, (name, item) in enumerate(fields):
            yield ", " if number else ""
            if number == ITEMS:
                yield _MORE
                break
            yield "" if type(name) is str and not name else f"{_name_text(name)}="
            hidden = (hides and number > 0) or _hides(name, secrets)
            yield from _item(item, hidden, depth, secrets)
    yield ")"


def _of_items(value: Any, kind: type, depth: int, secrets: tuple[str, ...]) -> Iterator[str]:
    base = next((base for base in _BRACKETS if issubclass(kind, base)), list)
    opening, closing = _BRACKETS[base] if kind is not set or value else ("set(", ")")
    items = list(islice(base.__iter__(value), ITEMS + 1))
    yield opening if kind is base else f"{type_name(kind)}({opening}"
    if depth == 0:
        yield _MORE if items else ""
    else:
        is_row = base in {list, tuple, deque}
        hides = is_row and bool(items) and _hides(items[0], secrets)
        for number, item in enumerate(items):
            yield ", " if number else ""
            if number == ITEMS:
                yield f"{_MORE} {base.__len__(value) - ITEMS:,} more"
                break
            yield from _item(item, hides and number > 0, depth, secrets)
        yield "," if base is tuple and len(items) == 1 else ""
    yield closing if kind is base else f"{closing})"


def _item(item: Any, hides: bool, depth: int, secrets: tuple[str, ...]) -> Iterator[str]:
    if hides:
        yield HIDDEN
    else:
        yield from _pieces(item, depth - 1, secrets)
