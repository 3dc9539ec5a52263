# The compiled module has the types of its twin.
from fauxtp._registry_py import PID as PID
from fauxtp._registry_py import Ref as Ref
from fauxtp._registry_py import Registry as Registry
from fauxtp._registry_py import default as default
from fauxtp._registry_py import register as register
from fauxtp._registry_py import registered as registered
from fauxtp._registry_py import retire as retire
from fauxtp._registry_py import unregister as unregister
from fauxtp._registry_py import whereis as whereis

__all__ = [
    "PID",
    "Ref",
    "Registry",
    "default",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
]
