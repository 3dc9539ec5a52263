"""The wire: messages as bytes, between nodes that trust each other no further than they must.

A message is a byte that tells the version, and then msgpack with extensions, whose contents are
msgpack again. Another first byte says besides that it is a tuple, as most are: then the parts of
that follow, without an extension around them.
To decode one runs nothing but the constructors of types that were registered. What is nested too
deeply for the stack is refused before; so is, at the sender, whatever would not arrive as it is.

None, bool, int, float, str, bytes, list, dict, tuple, set, frozenset, PIDs, refs, exit reasons and
errors travel, and what `cluster_type` registers. A bytearray or memoryview arrives as bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, final

import ormsgpack
from ormsgpack import Ext, packb, unpackb

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp.cluster._wire.wire_depth import DEEPEST, insist_on_depth
from fauxtp.cluster._wire.wire_errors import error_of, fields_of, reason_fields, reason_of
from fauxtp.cluster._wire.wire_types import TYPES
from fauxtp.registry import PID, Ref

__all__ = ["VERSION", "BadMessage", "Wire"]

VERSION: Final = 1

TUPLE, SET, FROZENSET, INT, PID_, REF, REASON, ERROR, REGISTERED, PAIRS = range(1, 11)

_QUICKLY: Final = 6  # extensions within each other that need no care for the stack
_OPTIONS: Final = (  # keys that are no text it would make to others of its own choice
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_OF_PLAIN: Final = _OPTIONS | ormsgpack.OPT_NON_STR_KEYS
_UNPACK: Final = ormsgpack.OPT_NON_STR_KEYS
_OF_TUPLE: Final = 0x80 | VERSION
_PREFIX: Final = bytes([VERSION])
_BEFORE_TUPLE: Final = bytes([_OF_TUPLE])

_PLAIN: Final = frozenset({type(None), bool, float, bytes, bytearray, memoryview})
_KEYS: Final = frozenset({type(None), bool, float, bytes, str})

Hook = Callable[[Any], Any]


class BadMessage(FauxtpError):
    """What came from elsewhere is no message: malformed, of another version, or of unknown types.

    `why` tells what is wrong with it.

    >>> Wire().decode(b"")
    Traceback (most recent call last):
        ...
    fauxtp.cluster._wire.wire.BadMessage: it is empty
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@final
class Wire:
    """Makes messages to bytes, and bytes to messages, for one cluster.

    `pack_pid` returns what to send in place of a PID, and `unpack_pid` the PID for that; so do
    `pack_ref` and `unpack_ref` for refs. Without them these cannot be sent.

    >>> wire = Wire()
    >>> wire.decode(wire.encode(("charge", {"cents": 42, "tags": {"new"}})))
    ('charge', {'cents': 42, 'tags': {'new'}})
    """

    __slots__ = ("_in_tuple", "_pack", "_quickly", "_unpack")

    def __init__(
        self,
        *,
        pack_pid: Callable[[PID], object] | None = None,
        unpack_pid: Callable[[Any], PID] | None = None,
        pack_ref: Callable[[Ref], object] | None = None,
        unpack_ref: Callable[[Any], Ref] | None = None,
    ) -> None:
        self._pack: dict[type, tuple[int, Hook]] = {
            tuple: (TUPLE, list),
            set: (SET, list),
            frozenset: (FROZENSET, list),
            int: (INT, _bytes_of),
            ExitReason: (REASON, reason_fields),
        }
        unpack: dict[int, Hook] = {
            TUPLE: tuple,
            SET: set,
            FROZENSET: frozenset,
            INT: _int_of,
            REASON: reason_of,
            ERROR: error_of,
            REGISTERED: _registered,
            PAIRS: _dict_of,
        }
        if pack_pid is not None and unpack_pid is not None:
            self._pack[PID], unpack[PID_] = (PID_, pack_pid), unpack_pid
        if pack_ref is not None and unpack_ref is not None:
            self._pack[Ref], unpack[REF] = (REF, pack_ref), unpack_ref
        self._unpack: Callable[[int, bytes], Any] = _unpacker(unpack)
        self._in_tuple: Hook = _too_deep
        for _ in range(_QUICKLY - 1):
            self._in_tuple = _packer(self.fields, self._in_tuple)
        self._quickly: Hook = _packer(self.fields, self._in_tuple)

    def encode(self, message: object) -> bytes:
        """Return the bytes of `message`.

        Raises `TypeError` for what does not travel, or is nested more than 100 levels deep. It
        says where in the message that is, and shows nothing of it.
        """
        try:
            if type(message) is tuple:
                body = packb(list(message), self._in_tuple, _OPTIONS)
                if len(body) > DEEPEST:
                    insist_on_depth(body)
                return _BEFORE_TUPLE + body
            body = packb(message, self._quickly, _OPTIONS)
            if len(body) > DEEPEST:
                insist_on_depth(body)
        except (TypeError, ValueError, RecursionError):  # or it takes the way that knows
            body = self._carefully(message)
        return _PREFIX + body

    def decode(self, data: bytes) -> Any:
        """Return the message of these bytes; what follows it is not looked at.

        Raises `BadMessage` if it is none. What registered types raise when they are made is the
        cause of that.
        """
        first = data[0] if data else 0
        if first not in (VERSION, _OF_TUPLE):
            said = f"it is of version {first}, and this is {VERSION}" if data else "it is empty"
            raise BadMessage(said)
        body = data[1:]
        try:
            if len(body) > DEEPEST:
                insist_on_depth(body)
            message = unpackb(body, ext_hook=self._unpack, option=_UNPACK)
            if first == VERSION:
                return message
            if type(message) is list:
                return tuple(message)
            raise ValueError("expected a list of parts")
        except MemoryError:
            raise
        except Exception as error:
            # ormsgpack does not hand on what its hook raises
            cause, _raised.error = _raised.error or error, None
            raise BadMessage(f"it cannot be decoded: {type(cause).__name__}") from cause

    def fields(self, value: Any) -> tuple[int, Any] | None:
        """Return the extension and its content for a value, or None if it does not travel."""
        kind = type(value)
        known = self._pack.get(kind)
        if known is not None:
            return known[0], known[1](value)
        if isinstance(value, BaseException):
            return (ERROR, fields_of(value, self._can_travel)) if _is_error(value) else None
        registered = TYPES.by_kind.get(kind)
        if registered is not None:
            return REGISTERED, [registered.name, registered.pack(value)]
        return None

    def _can_travel(self, value: object) -> bool:
        try:
            packb(value, self._quickly, _OPTIONS)
        except (TypeError, ValueError, RecursionError):
            return False
        return True

    # With care

    def _carefully(self, message: object) -> bytes:
        """Encode what the quick way refuses, or say where it is wrong."""
        try:
            return packb(self._plain(message, "", DEEPEST), None, _OF_PLAIN)
        except RecursionError:
            raise TypeError(
                "expected a message to be less deeply nested than calls may be"
            ) from None

    def _plain(self, value: Any, place: str, room: int) -> Any:
        """Return `value` as ormsgpack takes it without help."""
        if not room:
            raise TypeError(f"expected a message to be at most {DEEPEST // 3} levels deep")
        kind = type(value)
        if kind in _PLAIN or _is_short(value):
            return value
        if kind is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise TypeError(
                    f"expected text to be Unicode, and at {_told(place)} it is not"
                ) from None
            return value
        room -= 1
        if kind is list:
            return [self._plain(part, f"{place}[{n}]", room) for n, part in enumerate(value)]
        if kind is dict:
            return self._plain_dict(value, place, room)
        fields = self.fields(value)
        if fields is None:
            raise TypeError(
                f"expected a message of what travels to other nodes, got"
                f" {kind.__module__}.{kind.__qualname__} at {_told(place)}:"
                " fauxtp.cluster.cluster_type lets a class travel"
            )
        code, content = fields
        if code in {TUPLE, SET, FROZENSET}:
            content = self._plain(content, place, room)
        elif code != INT:
            content = self._plain(content, f"{place}.<{kind.__qualname__}>", room)
        return Ext(code, packb(content, None, _OF_PLAIN))

    def _plain_dict(self, value: dict[Any, Any], place: str, room: int) -> Any:
        is_simple = all(type(key) in _KEYS or _is_short(key) for key in value)
        room -= not is_simple
        pairs = [
            [self._plain(key, f"{place}, a key", room), self._plain(part, _at(place, key), room)]
            for key, part in value.items()
        ]
        if is_simple:
            return {key: part for key, part in pairs}  # noqa: C416  (mypy)
        return Ext(PAIRS, packb(pairs, None, _OF_PLAIN))


def _packer(fields: Callable[[Any], tuple[int, Any] | None], within: Hook) -> Hook:
    """Return what makes extensions of values; `within` does so for what is in one."""

    def extension(value: Any) -> Ext:
        if type(value) is tuple:
            return Ext(TUPLE, packb(list(value), within, _OPTIONS))
        known = fields(value)
        if known is None:
            raise TypeError("it does not travel")
        code, content = known
        return Ext(code, packb(content, within, _OPTIONS))

    return extension


class _Raised(threading.local):
    """What a hook has raised, for whoever has called ormsgpack in this thread."""

    error: Exception | None = None


_raised: Final = _Raised()


def _unpacker(unpack: dict[int, Hook]) -> Callable[[int, bytes], Any]:
    """Return what makes values of extensions, and notes the first error in one."""

    def extension(code: int, content: bytes) -> Any:
        try:
            parts = unpackb(content, ext_hook=extension, option=_UNPACK)
            if code == TUPLE:  # as most are
                if type(parts) is list:
                    return tuple(parts)
                raise ValueError("expected a list of parts")
            make = unpack.get(code)
            if make is None:
                raise ValueError(f"extension {code} is not known")
            if code <= FROZENSET and type(parts) is not list:
                raise ValueError("expected a list of parts")
            return make(parts)
        except Exception as error:
            _raised.error = _raised.error or error
            raise

    return extension


def _too_deep(_: Any) -> Any:
    raise TypeError("it is too deep for the quick way")


def _is_short(value: object) -> bool:
    """Return whether it is an int as msgpack has them."""
    return type(value) is int and -(2**63) <= value < 2**64


def _at(place: str, key: object) -> str:
    return f"{place}[{key!r:.40}]" if type(key) is str else f"{place}[…]"


def _is_error(error: BaseException) -> bool:
    return isinstance(error, Exception)


def _told(place: str) -> str:
    return f"message{place}" if place else "the top"


def _parts(came: Any) -> list[Any]:
    if type(came) is not list:
        raise ValueError("expected a list of parts")
    return came


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _int_of(came: Any) -> int:
    if type(came) is not bytes:
        raise ValueError("expected the bytes of an int")
    return int.from_bytes(came, "big", signed=True)


def _dict_of(came: Any) -> dict[Any, Any]:
    return dict(_parts(came))


def _registered(came: Any) -> Any:
    name, content = _parts(came)
    known = TYPES.by_name.get(name)
    if known is None:
        raise ValueError(f"the type {name!r:.80} is not registered here")
    return known.unpack(content)
