"""Processes with names, mailboxes, servers, monitors and supervisors, as in Erlang/OTP."""

from importlib import import_module
from typing import TYPE_CHECKING

from fauxtp.installation import __version__ as __version__
from fauxtp.installation import keep as _keep

# isort: split
# Above all else, as it decides what all else imports.
from fauxtp.actor import Actor, ActorHandle
from fauxtp.calls import Call, Cast, reply
from fauxtp.dead_letters import DeadLetter, dead_letters
from fauxtp.errors import (
    AlreadyStarted,
    CallCycle,
    FauxtpError,
    MailboxClosed,
    MailboxFull,
    MaxRestartsExceeded,
    NameTaken,
    NoChild,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
)
from fauxtp.genserver import NO_REPLY, GenServer, Stop
from fauxtp.mailbox import Mailbox
from fauxtp.messaging import call, call_blocking, cast, cast_nowait, send, send_nowait
from fauxtp.monitors import (
    Down,
    demonitor,
    exit,
    is_alive,
    link,
    monitor,
    unlink,
    wait_exit,
)
from fauxtp.names import start_or_find, wait_registered
from fauxtp.patterns import ANY, IGNORE
from fauxtp.process import Exit, ExitReason, Phase
from fauxtp.registry import (
    PID,
    Ref,
    Registry,
    register,
    registered,
    unregister,
    whereis,
)
from fauxtp.task import Task, TaskHandle

if TYPE_CHECKING:
    from fauxtp.children import ChildInfo, ChildSpec, RestartStrategy, RestartType
    from fauxtp.inspection import ProcessInfo, process_info, process_infos, processes, tree
    from fauxtp.supervisor import (
        Supervisor,
        count_children,
        delete_child,
        restart_child,
        start_child,
        terminate_child,
        which_children,
    )

__all__ = [
    "ANY",
    "IGNORE",
    "NO_REPLY",
    "PID",
    "Actor",
    "ActorHandle",
    "AlreadyStarted",
    "Call",
    "CallCycle",
    "Cast",
    "ChildInfo",
    "ChildSpec",
    "DeadLetter",
    "Down",
    "Exit",
    "ExitReason",
    "FauxtpError",
    "GenServer",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MaxRestartsExceeded",
    "NameTaken",
    "NoChild",
    "NoProcess",
    "Phase",
    "ProcessExited",
    "ProcessInfo",
    "ReceiveTimeout",
    "Ref",
    "Registry",
    "RestartStrategy",
    "RestartType",
    "Stop",
    "Supervisor",
    "Task",
    "TaskHandle",
    "call",
    "call_blocking",
    "cast",
    "cast_nowait",
    "count_children",
    "dead_letters",
    "delete_child",
    "demonitor",
    "exit",
    "is_alive",
    "link",
    "monitor",
    "process_info",
    "process_infos",
    "processes",
    "register",
    "registered",
    "reply",
    "restart_child",
    "send",
    "send_nowait",
    "start_child",
    "start_or_find",
    "terminate_child",
    "tree",
    "unlink",
    "unregister",
    "wait_exit",
    "wait_registered",
    "whereis",
    "which_children",
]

# What many programs never need is imported when it is first asked for: 3 of 11 ms.
_LATER = {
    "children": ("ChildInfo", "ChildSpec", "RestartStrategy", "RestartType"),
    "inspection": ("ProcessInfo", "process_info", "process_infos", "processes", "tree"),
    "supervisor": (
        "Supervisor",
        "count_children",
        "delete_child",
        "restart_child",
        "start_child",
        "terminate_child",
        "which_children",
    ),
}
_HOMES = {name: module for module, names in _LATER.items() for name in (module, *names)}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"fauxtp.{home}")
    if name == home:
        return module
    globals()[name] = value = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


_keep(__name__)
