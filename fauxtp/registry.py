"""The registry: a local name -> PID table for the discovery of processes.

A name means one process at a time. The table is as fast as a dict, and any thread may use
it: also finalisers, signal handlers, and a child after `fork`.

    register("kvstore", pid)                       a single process
    register("pipeline:producer", pid)             a member of a group
    register("pipeline:processor:1", pid)          one shard of several
    registered("pipeline:processor:")              all of them

There are two implementations with one behaviour: a compiled one, and a twin in Python for
where no extension can be had. `FAUXTP_EXTENSIONS` chooses: `auto` (the default) takes the
compiled one if it is there, `never` does not look for it, `always` insists on it.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING

__all__ = [
    "PID",
    "Ref",
    "Registry",
    "default",
    "implementation",
    "reason",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
]

implementation: str
"""Which one is in use: `"cython"` or `"python"`."""

reason: str
"""Why it is that one, in words for people."""


def _compiled(choice: str) -> tuple[bool, str]:
    """Return whether the compiled module can be used, and why that is so."""
    if choice not in ("auto", "never", "always"):
        raise ImportError(
            f"expected FAUXTP_EXTENSIONS to be auto, never or always, got {choice!r}"
        )
    if choice == "never":
        return False, "FAUXTP_EXTENSIONS is never"
    try:
        importlib.import_module("fauxtp._registry")
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "fauxtp._registry"
        if choice == "always":
            problem = "is missing" if absent else f"cannot be loaded: {error}"
            raise ImportError(
                f"FAUXTP_EXTENSIONS is always, but the compiled registry {problem}"
            ) from error
        if absent:
            return False, "this installation has no compiled registry"
        problem = f"the compiled registry cannot be loaded: {type(error).__name__}: {error}"
        warnings.warn(f"{problem}; its twin in Python is used", RuntimeWarning, stacklevel=4)
        return False, problem
    return True, f"FAUXTP_EXTENSIONS is {choice}, and the compiled registry is there"


_usable, reason = _compiled(os.environ.get("FAUXTP_EXTENSIONS", "auto"))

if _usable and not TYPE_CHECKING:
    from fauxtp._registry import (
        PID,
        Ref,
        Registry,
        default,
        register,
        registered,
        retire,
        unregister,
        whereis,
    )

    implementation = "cython"
else:
    from fauxtp._registry_py import (
        PID,
        Ref,
        Registry,
        default,
        register,
        registered,
        retire,
        unregister,
        whereis,
    )

    implementation = "python"
