"""Messages that are written to the socket of nats-py's client in the turn in which they are sent.

nats-py leaves what is to be written to a task of its own, so that it comes a turn of the event
loop later, together with what else is there by then. For who sends one message, and waits for the
answer, that turn is a good part of the time it takes.
"""

from __future__ import annotations

from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, final

from nats.aio.client import Client

if TYPE_CHECKING:
    import asyncio

__all__ = ["NatsWriter"]

# Private names of nats-py 2.15 and 2.16; where they are not there, as with web sockets, it is
# nats-py that writes.
_SOCKET: Final[Any] = attrgetter("_transport._io_writer.transport")


@final
class NatsWriter:
    """Writes for one connected client, wherever nothing is to be written before."""

    __slots__ = ("_client", "_socket")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._socket: asyncio.WriteTransport | None = None
        with suppress(AttributeError):
            socket = _SOCKET(client)
            socket.get_write_buffer_size()  # that of uvloop is none of asyncio's classes
            self._socket = socket

    @property
    def unsent(self) -> int:
        """How many bytes wait to be handed to the network."""
        waiting = self._client.pending_data_size
        return waiting if self._socket is None else waiting + self._socket.get_write_buffer_size()

    def write(self, subject: str, payload: bytes, reply: str) -> bool:
        """Write a message, of which both subjects are known to be some, if that can be done now.

        Return False if it was not: nothing has happened.
        """
        client, socket = self._client, self._socket
        if (
            socket is None
            or client.pending_data_size
            or socket.get_write_buffer_size()
            or not client.is_connected
            or len(payload) > client.max_payload
        ):
            return False
        head = f"PUB {subject} {reply} {len(payload)}\r\n"
        socket.write(b"%b%b\r\n" % (head.encode(), payload))
        return True
