"""The wire: messages as bytes, between nodes that trust each other no further than they must.

A message is a version byte, and then msgpack with extensions, whose contents are msgpack again.
To decode one runs nothing but the constructors of types that were registered. What is nested too
deeply for the stack is refused before; so is, at the sender, whatever would not arrive as it is.

None, bool, int, float, str, bytes, list, dict, tuple, set, frozenset, PIDs, refs, exit reasons and
errors travel, and what `cluster_type` registers. A bytearray or memoryview arrives as bytes.
"""

from __future__ import annotations

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
_PREFIX: Final = bytes([VERSION])
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

    __slots__ = ("_pack", "_unpack")

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
        self._unpack: dict[int, Hook] = {
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
            self._pack[PID], self._unpack[PID_] = (PID_, pack_pid), unpack_pid
        if pack_ref is not None and unpack_ref is not None:
            self._pack[Ref], self._unpack[REF] = (REF, pack_ref), unpack_ref

    def encode(self, message: object) -> bytes:
        """Return the bytes of `message`.

        Raises `TypeError` for what does not travel, or is nested more than 100 levels deep. It
        says where in the message that is, and shows nothing of it.
        """
        try:
            body = packb(message, _Encoding(self), _OPTIONS)
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
        if not data:
            raise BadMessage("it is empty")
        if data[0] != VERSION:
            raise BadMessage(f"it is of version {data[0]}, and this is {VERSION}")
        body, decoding = data[1:], _Decoding(self._unpack)
        try:
            if len(body) > DEEPEST:
                insist_on_depth(body)
            return unpackb(body, ext_hook=decoding, option=_UNPACK)
        except MemoryError:
            raise
        except Exception as error:
            cause = decoding.error or error  # ormsgpack does not hand on what its hook raises
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
            packb(value, _Encoding(self), _OPTIONS)
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
                f" {kind.__module__}.{kind.__qualname__} at {_told(place)}"
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


class _Encoding:
    """What one message is encoded with; so deep it is in extensions."""

    __slots__ = ("_depth", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._depth = 0

    def __call__(self, value: Any) -> Ext:
        if type(value) is tuple:
            code, content = TUPLE, list(value)
        else:
            fields = self._wire.fields(value)
            if fields is None:
                raise TypeError("it does not travel")
            code, content = fields
        if self._depth == _QUICKLY:
            raise TypeError("it is too deep for the quick way")
        self._depth += 1
        packed = packb(content, self, _OPTIONS)
        self._depth -= 1
        return Ext(code, packed)


class _Decoding:
    """What the extensions of one message are decoded with, and the first error in one."""

    __slots__ = ("_unpack", "error")

    def __init__(self, unpack: dict[int, Hook]) -> None:
        self._unpack = unpack
        self.error: Exception | None = None

    def __call__(self, code: int, content: bytes) -> Any:
        try:
            unpack = self._unpack.get(code)
            if unpack is None:
                raise ValueError(f"extension {code} is not known")
            parts = unpackb(content, ext_hook=self, option=_UNPACK)
            if code <= FROZENSET and type(parts) is not list:
                raise ValueError("expected a list of parts")
            return unpack(parts)
        except Exception as error:
            self.error = self.error or error
            raise


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
