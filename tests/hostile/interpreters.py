"""fauxtp in interpreters beside the main one: `interpreters FIRST KIND TIMES`.

FIRST says who imports it first, `main` or `sub`; KIND is `legacy` (they share the GIL) or
`isolated` (each has one of its own, since CPython 3.12). Each does what it can with the
registry and with actors, and says in a line which registry it has.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import warnings
from types import ModuleType
from typing import Any

import anyio

# Before, asyncio itself keeps state for all interpreters; 3.12 frees memory twice at the end.
SOUND = sys.version_info >= (3, 13)

IN_SUB = "import sys; sys.path[:0] = {path!r}; from hostile.interpreters import work; work('sub')"


def low_level() -> ModuleType:
    """Return CPython's module for other interpreters, by whichever name it has."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            pass
    sys.exit("no other interpreters here")


def fauxtp_here() -> Any:
    """Return fauxtp, or None if the compiled registry is insisted on and cannot be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return importlib.import_module("fauxtp")
        except RuntimeWarning as warning:
            if not str(warning).endswith("; the twins in Python are used"):
                raise
            warnings.simplefilter("ignore", RuntimeWarning)
            return importlib.import_module("fauxtp")
        except ImportError as error:
            told = "FAUXTP_EXTENSIONS is always, but fauxtp._registry cannot be loaded: "
            if not str(error).startswith(told):
                raise
            return None


def work(where: str) -> None:
    """Let registry and actors work, and say which registry that was."""
    fauxtp = fauxtp_here()
    if fauxtp is not None:
        walk = importlib.import_module("hostile.walk")
        twin = fauxtp.registry
        walk.walk(twin, twin.default, 300, where)
        walk.walk(twin, twin.Registry(), 300, where)
        assert fauxtp.register("kept", twin.PID())  # to the end of the interpreter
        if where == "main" or SOUND:
            actors(fauxtp)
        assert fauxtp.unregister("kept")
        assert fauxtp.register(f"kept {twin.PID()!r}", twin.PID())
    which = "none" if fauxtp is None else fauxtp.registry.implementation
    os.write(1, f"{where}: {which}\n".encode())


def actors(fauxtp: Any) -> None:
    """Start a server, call it, end it."""

    class Echo(fauxtp.GenServer):  # type: ignore[misc]
        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            return request, state

    async def main() -> None:
        async with anyio.create_task_group() as group:
            echo = await Echo.start(task_group=group)
            assert await fauxtp.call(echo, "hello") == "hello"
            fauxtp.exit(echo)

    anyio.run(main)


def create(interpreters: Any, kind: str) -> Any:
    """Make an interpreter of that kind, in the way of this version of CPython."""
    if sys.version_info >= (3, 13):
        return interpreters.create(kind)
    return interpreters.create(isolated=kind == "isolated")


def in_sub(interpreters: Any, kind: str) -> None:
    """Use fauxtp in an interpreter of its own, from the first import to the end of all."""
    one = create(interpreters, kind)
    try:
        trouble = interpreters.run_string(one, IN_SUB.format(path=sys.path))
    finally:
        interpreters.destroy(one)
    assert trouble is None, trouble  # before 3.13 it is raised


def main(first: str, kind: str, times: int) -> None:
    interpreters = low_level()
    if first == "main":
        work("main")
    for _ in range(times):
        in_sub(interpreters, kind)
        work("main")
    beside = [threading.Thread(target=in_sub, args=(interpreters, kind)) for _ in range(3)]
    for thread in beside:
        thread.start()
    work("main")
    for thread in beside:
        thread.join()
    work("main")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
