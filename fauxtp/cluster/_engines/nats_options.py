"""What is given to connect to a NATS server, and what that must be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fauxtp._base.arguments import unexpected
from fauxtp.cluster._engines.engine import Refused

if TYPE_CHECKING:
    from fauxtp.cluster._engines.nats_session import NatsSession

__all__ = ["check_options", "check_servers", "insist_on_version"]

OLDEST: Final = (2, 11)  # server in which a message may have a time to live
OPTIONS: Final = frozenset(
    {
        *("nkeys_seed", "nkeys_seed_str", "password", "signature_cb"),
        *("tls", "tls_handshake_first", "tls_hostname", "token"),
        *("user", "user_credentials", "user_jwt_cb", "ws_connection_headers"),
    }
)


def check_servers(servers: object) -> list[str]:
    """Return the URLs that `servers` are: one or several.

    Raises `TypeError` if they are none, `ValueError` if there is not one.
    """
    if isinstance(servers, str):
        return [servers]
    if not isinstance(servers, Sequence) or not all(isinstance(each, str) for each in servers):
        raise unexpected("servers", "a URL or a list of them", servers)
    if not servers:
        raise ValueError("expected servers to be at least one")
    return list(servers)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `TypeError` if one of `options` is none that says who we are."""
    unknown = options.keys() - OPTIONS
    if unknown:
        raise TypeError(f"expected options to be among {sorted(OPTIONS)}, got {min(unknown)}")


def insist_on_version(session: NatsSession) -> None:
    """Raise `Refused` if the server is too old to carry a cluster."""
    version = session.client.connected_server_version
    if (version.major, version.minor) < OLDEST:
        raise Refused(f"needs NATS 2.11 or newer, got {version!r}")
