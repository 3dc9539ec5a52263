"""Processes with names, mailboxes, servers, monitors and supervisors, as in Erlang/OTP."""

from fauxtp.errors import FauxtpError, NoProcess
from fauxtp.registry import (
    PID,
    Ref,
    Registry,
    register,
    registered,
    unregister,
    whereis,
)

__all__ = [
    "PID",
    "FauxtpError",
    "NoProcess",
    "Ref",
    "Registry",
    "register",
    "registered",
    "unregister",
    "whereis",
]
