"""`python -m fauxtp`: what is in use here, and what a look-up costs.

Or a command: `run` a program, or look into one that lets others do so.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
import timeit
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from fauxtp import Actor, __version__, registry, run
from fauxtp._base.arguments import kind_of
from fauxtp._commands.cluster_commands import add_cluster_commands
from fauxtp._commands.look_commands import add_commands
from fauxtp._loops.asyncio_examination import broken, examine

NAMES = 1_000
LOOPS = 50_000
ROUNDS = 9


def look_up_costs() -> tuple[float, float]:
    """Return what a look-up by `whereis` and by `dict.get` takes, in nanoseconds.

    Both are timed in turns, so that whatever else the machine does slows both.
    """
    table = registry.Registry()
    for number in range(NAMES):
        table.register(f"pipeline:processor:{number}", registry.PID())
    plain = {name: table.whereis(name) for name in table}
    scope = {"whereis": table.whereis, "plain": plain, "name": f"pipeline:processor:{NAMES // 2}"}
    ours = timeit.Timer("whereis(name)", globals=scope)
    theirs = timeit.Timer("plain.get(name)", globals=scope)
    times = [(ours.timeit(LOOPS), theirs.timeit(LOOPS)) for _ in range(ROUNDS)]
    ours_ns, theirs_ns = (
        statistics.median(column) / LOOPS * 1e9 for column in zip(*times, strict=True)
    )
    return ours_ns, theirs_ns


async def done_without() -> list[str]:
    """Return what asyncio and anyio do not have here, or not as it is known, and what is done."""
    examine(asyncio.get_running_loop())
    return [f"{internal}: {internal.otherwise}" for internal in broken()]


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser("python -m fauxtp", description=__doc__)
    commands = parser.add_subparsers(metavar="command")
    runs = commands.add_parser("run", help="run an application until it ends, or SIGTERM comes")
    runs.add_argument("application", help="module:Class, of a supervisor or another actor")
    runs.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    runs.add_argument("--uvloop", action="store_true", help="with asyncio, if it is installed")
    runs.add_argument("--shutdown", type=float, default=30.0, help="seconds to end in (30)")
    runs.set_defaults(carried_out=partial(_run_it, runs))
    add_commands(commands)
    add_cluster_commands(commands)
    given = parser.parse_args(arguments)
    if hasattr(given, "carried_out"):
        given.carried_out(given)
    else:
        tell()


def _run_it(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    try:
        application = _named(given.application)
    except _NoSuch as error:
        parser.error(str(error))
    run(application, backend=given.backend, uvloop=given.uvloop, shutdown=given.shutdown)


class _NoSuch(Exception):
    """There is no such application: what the module itself raises is none of these."""


def _named(text: str) -> type[Actor]:
    """Return the class of actors that `text` means, as module:Class."""
    module, colon, name = text.partition(":")
    if not (module and colon and name) or module.startswith("."):
        raise _NoSuch(f"expected module:Class, got {text!r}")
    try:
        there = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # another, which the module wants
        raise _NoSuch(str(error)) from None
    found = getattr(there, name, None)
    if found is None:
        raise _NoSuch(f"no {name!r} in {module!r}")
    if not (isinstance(found, type) and issubclass(found, Actor)):
        raise _NoSuch(f"expected {text!r} to be a class of actors, got {kind_of(found)}")
    return found


def tell() -> None:
    ours, theirs = look_up_costs()
    # In a checkout, Python finds that one, whatever else is installed.
    print(f"fauxtp {__version__} in {Path(registry.__file__).parent}")
    print(f"{platform.python_implementation()} {sys.version.split()[0]} on {platform.platform()}")
    print(f"registry: {registry.implementation} ({registry.reason})")
    for line in asyncio.run(done_without()):
        print(f"done without {line}")
    print(f"a look-up by name: {ours:.0f} ns; by dict.get: {theirs:.0f} ns")


if __name__ == "__main__":
    main(sys.argv[1:])
