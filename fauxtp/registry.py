"""The registry: a local name -> PID table for the discovery of processes.

A name means one process at a time. The table is as fast as a dict, and any thread may use
it: also finalisers, signal handlers, and a child after `fork`.

    register("kvstore", pid)                       a single process
    register("pipeline:producer", pid)             a member of a group
    register("pipeline:processor:1", pid)          one shard of several
    registered("pipeline:processor:")              all of them

There are two implementations with one behaviour: a compiled one, and a twin in Python.
`fauxtp._base.installation` tells which of them is used, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp._base.installation import implementation, reason
from fauxtp._base.texts import local_types

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

if TYPE_CHECKING or implementation == "cython":
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

local_types += (PID, Ref)
