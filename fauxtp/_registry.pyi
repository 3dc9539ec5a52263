# The compiled module has the types of its twin, whose functions are methods of `default`.
from fauxtp._registry_py import PID as PID
from fauxtp._registry_py import Lookup as Lookup
from fauxtp._registry_py import News as News
from fauxtp._registry_py import Ref as Ref
from fauxtp._registry_py import Registry as Registry
from fauxtp._registry_py import quick as quick
from fauxtp._registry_py import retire as retire
from fauxtp._registry_py import withdraw as withdraw

__all__ = [
    "PID",
    "Lookup",
    "News",
    "Ref",
    "Registry",
    "count",
    "default",
    "groups",
    "members",
    "quick",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
    "withdraw",
]

default: Registry

def count(prefix: str = "") -> int: ...
def groups(prefix: str = "") -> list[str]: ...
def members(group: str, /) -> tuple[PID, ...]: ...
def register(name: str, /, pid: PID) -> bool: ...
def registered(prefix: str = "") -> list[str]: ...
def unregister(name: str, /, pid: PID | None = None) -> bool: ...
def whereis(name: str, /) -> PID | None: ...
