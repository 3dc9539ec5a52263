"""The commands of `python -m fauxtp cluster`."""

from __future__ import annotations

import asyncio
import os
import ssl
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from fauxtp._commands.client import Unreachable
from fauxtp._commands.command_line import add, say

__all__ = ["add_cluster_commands"]

PASSWORD: Final = "FAUXTP_NATS_PASSWORD"
TOKEN: Final = "FAUXTP_NATS_TOKEN"
INTERRUPTED: Final = 128 + 2  # what shells say of who was ended by SIGINT


def add_cluster_commands(commands: Any) -> None:
    """Add the command, and those below it, to those that a parser knows."""
    clusters = commands.add_parser("cluster", help="for clusters: needs fauxtp[cluster]")
    of_it = clusters.add_subparsers(metavar="command", required=True)
    permits = add(
        of_it,
        "permissions",
        _print_permissions,
        "print what a NATS server is told, so that no node speaks as another",
        has_pid=False,
        has_json=False,
    )
    permits.add_argument("nodes", nargs="*", help="their names")
    permits.add_argument("--cluster", required=True, help="its name")
    permits.add_argument(
        "--observer", action="append", default=[], help="who may look, and do nothing"
    )
    for name, do, words in (
        ("nodes", _nodes, "show who is in a cluster, and when each was heard of last"),
        ("names", _names, "show which names are taken in a cluster, and who has them"),
        ("shards", _shards, "show which node of a cluster has how many shards of what"),
        ("watch", _watch, "show who comes and goes, and which names, as it happens"),
    ):
        _add_connection(add(of_it, name, do, words, has_pid=False))
    demo = "start a server and three nodes, kill one, and show what others see"
    add(of_it, "demo", _demo, demo, has_pid=False, has_json=False)


def _add_connection(parser: ArgumentParser) -> None:
    options: dict[str, dict[str, Any]] = {
        "--server": {"action": "append", "required": True, "help": "its URL, as nats://host:4222"},
        "--cluster": {"required": True, "help": "its name"},
        "--observer": {"help": "our name in the server's permissions (the user's)"},
        "--timeout": {"type": float, "default": 5.0, "help": "seconds for each answer (5)"},
        "--user": {"help": "who we are to the server"},
        "--password": {"help": f"better in {PASSWORD}: others see arguments"},
        "--token": {"help": f"better in {TOKEN}"},
        "--credentials": {"help": "a file of those, with a JWT"},
        "--nkey": {"help": "a file with a seed"},
        "--tls-ca": {"help": "a file of authorities that we trust"},
        "--tls-cert": {"help": "a file with our certificate"},
        "--tls-key": {"help": "a file with the key of that"},
    }
    for option, how in options.items():
        parser.add_argument(option, **how)


def _print_permissions(given: Namespace) -> None:
    permissions = _extra("cluster._engines.permissions")
    say(permissions.configuration(given.cluster, given.nodes, given.observer).rstrip("\n"))


def _nodes(given: Namespace) -> None:
    _look(_extra("_commands.cluster_looking").say_nodes, given)


def _names(given: Namespace) -> None:
    _look(_extra("_commands.cluster_looking").say_names, given)


def _shards(given: Namespace) -> None:
    _look(_extra("_commands.cluster_looking").say_shards, given)


def _look(do: Callable[..., Awaitable[None]], given: Namespace) -> None:
    try:
        _carry_out(do, given)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _watch(given: Namespace) -> None:
    with suppress(KeyboardInterrupt):
        _carry_out(_extra("_commands.cluster_looking").watch, given)


def _demo(given: Namespace) -> None:
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        _carry_out(_extra("_commands.cluster_demo").show)


def _extra(name: str) -> Any:
    """Return a module that needs what not every installation has."""
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(f"fauxtp.{name}")
    except ModuleNotFoundError as error:
        said = f"fauxtp.cluster needs {error.name}: install fauxtp[cluster]"
        raise Unreachable(said) from None


def _carry_out(do: Callable[..., Awaitable[None]], given: Namespace | None = None) -> None:
    from fauxtp.cluster import NoConnection, Refused  # noqa: PLC0415  (an extra)

    async def main() -> None:
        await (do() if given is None else do(_connection(given), given.json))

    try:
        asyncio.run(main())
    except (NoConnection, Refused, TimeoutError) as error:
        raise Unreachable(str(error) or "it took too long") from None


def _connection(given: Namespace) -> dict[str, Any]:
    """Return what `NatsObserver.connected` is given.

    Raises `ValueError` if a file cannot be read, or is none of those.
    """
    options: dict[str, Any] = {
        "user": given.user,
        "password": given.password or (given.user and os.environ.get(PASSWORD)),
        "token": given.token or os.environ.get(TOKEN),
        "user_credentials": _readable(given.credentials),
        "nkeys_seed": _readable(given.nkey),
        "tls": _tls(given),
    }
    return {
        "servers": given.server,
        "cluster": given.cluster,
        "observer": given.observer or given.user or "observer",
        "timeout": given.timeout,
        **{name: value for name, value in options.items() if value is not None},
    }


def _readable(path: str | None) -> str | None:
    if path is not None:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _tls(given: Namespace) -> ssl.SSLContext | None:
    ca, certificate, key = (_readable(it) for it in (given.tls_ca, given.tls_cert, given.tls_key))
    if key and not certificate:
        raise ValueError("expected --tls-cert beside --tls-key")
    if not ca and not certificate:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ValueError(f"TLS cannot be used with these files: {error}") from None
    return context
