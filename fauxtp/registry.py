"""The registry: a local name -> PID table for the discovery of processes.

A name means one process at a time. The table is as fast as a dict, and any thread may use
it: also finalisers, signal handlers, and a child after `fork`.

    register("kvstore", pid)                       a single process
    register("pipeline:producer", pid)             a member of a group
    register("pipeline:processor:1", pid)          one shard of several
    registered("pipeline:processor:")              all of them

A group means any number of processes: `Registry.join`, `members`.

There are two implementations with one behaviour: a compiled one, and a twin in Python.
`fauxtp._base.implementation` tells which of them is used, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp._base.implementation import implementation, reason
from fauxtp._base.texts import local_types

__all__ = [
    "PID",
    "Lookup",
    "News",
    "Ref",
    "Registry",
    "count",
    "default",
    "groups",
    "implementation",
    "members",
    "quick",
    "reason",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
    "withdraw",
]

if TYPE_CHECKING or implementation == "cython":
    from fauxtp._registry import (
        PID,
        Lookup,
        News,
        Ref,
        Registry,
        count,
        default,
        groups,
        members,
        quick,
        register,
        registered,
        retire,
        unregister,
        whereis,
        withdraw,
    )
else:
    from fauxtp._registry_py import (
        PID,
        Lookup,
        News,
        Ref,
        Registry,
        count,
        default,
        groups,
        members,
        quick,
        register,
        registered,
        retire,
        unregister,
        whereis,
        withdraw,
    )

local_types += (PID, Ref)
