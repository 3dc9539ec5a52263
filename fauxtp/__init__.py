"""Processes with names, mailboxes, servers, monitors and supervisors, as in Erlang/OTP."""

import builtins
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, ForwardRef

from fauxtp._base.implementation import __version__ as __version__
from fauxtp._base.implementation import is_observed as _is_observed
from fauxtp._base.implementation import keep as _keep

# isort: split
# Above all else, as it decides what all else imports.
from fauxtp._actors.actor import Actor, ActorHandle
from fauxtp._actors.genserver import NO_REPLY, Continue, GenServer, Stop
from fauxtp._actors.task import Task, TaskHandle
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call, Cast, Raise, reply
from fauxtp._core.dead_letters import DeadLetter, dead_letters
from fauxtp._core.mailbox import Mailbox
from fauxtp._core.patterns import ANY, IGNORE
from fauxtp._core.phase import Exit, Phase
from fauxtp._messaging.exits import exit, is_alive, wait_exit
from fauxtp._messaging.sending import call, cast, cast_nowait, send, send_nowait
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
    TooManyChildren,
)
from fauxtp.registry import (
    PID,
    Ref,
    Registry,
    count,
    groups,
    members,
    register,
    registered,
    unregister,
    whereis,
)

if TYPE_CHECKING:
    from fauxtp._actors.state_machine import StateMachine
    from fauxtp._actors.transition import (
        POSTPONE,
        EventTimeout,
        NamedTimeout,
        NextEvent,
        Reply,
        StateTimeout,
        Transition,
    )
    from fauxtp._core.request import Request
    from fauxtp._messaging.call_blocking import call_blocking
    from fauxtp._messaging.carry import carry
    from fauxtp._messaging.groups import Joined, Left, join, leave, monitor_group, publish
    from fauxtp._messaging.links import link, unlink
    from fauxtp._messaging.monitors import Down, demonitor, monitor
    from fauxtp._messaging.pending_call import PendingCall, call_many, start_call
    from fauxtp._messaging.timers import Timer, cancel_timer, cast_after, send_after, send_every
    from fauxtp._messaging.wait_registered import wait_registered
    from fauxtp._messaging.watch_names import Overflow, Registered, Unregistered, watch_names
    from fauxtp._program.run_in_block import running
    from fauxtp._program.run_in_thread import in_thread
    from fauxtp._program.run_program import run
    from fauxtp._supervision.backoff import Backoff
    from fauxtp._supervision.child_spec import (
        AutoShutdown,
        ChildInfo,
        ChildSpec,
        RestartStrategy,
        RestartType,
    )
    from fauxtp._supervision.dynamic_supervisor import DynamicSupervisor
    from fauxtp._supervision.on_demand import OnDemand
    from fauxtp._supervision.partition_supervisor import PartitionSupervisor, partition
    from fauxtp._supervision.start_or_find import start_or_find
    from fauxtp._supervision.supervisor import (
        Supervisor,
        count_children,
        delete_child,
        restart_child,
        start_child,
        terminate_child,
        which_children,
    )
    from fauxtp._supervision.tasks import map_tasks, run_task
    from fauxtp.observe.inspection import ProcessInfo, process_info, process_infos, processes, tree
    from fauxtp.observe.servers import get_state, replace_state, resume, suspend

__all__ = [
    "ANY",
    "IGNORE",
    "NO_REPLY",
    "PID",
    "POSTPONE",
    "Actor",
    "ActorHandle",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "Call",
    "CallCycle",
    "Cast",
    "ChildInfo",
    "ChildSpec",
    "Continue",
    "DeadLetter",
    "Down",
    "DynamicSupervisor",
    "EventTimeout",
    "Exit",
    "ExitReason",
    "FauxtpError",
    "GenServer",
    "Joined",
    "Left",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MaxRestartsExceeded",
    "NameTaken",
    "NamedTimeout",
    "NextEvent",
    "NoChild",
    "NoProcess",
    "OnDemand",
    "Overflow",
    "PartitionSupervisor",
    "PendingCall",
    "Phase",
    "ProcessExited",
    "ProcessInfo",
    "Raise",
    "ReceiveTimeout",
    "Ref",
    "Registered",
    "Registry",
    "Reply",
    "Request",
    "RestartStrategy",
    "RestartType",
    "StateMachine",
    "StateTimeout",
    "Stop",
    "Supervisor",
    "Task",
    "TaskHandle",
    "Timer",
    "TooManyChildren",
    "Transition",
    "Unregistered",
    "call",
    "call_blocking",
    "call_many",
    "cancel_timer",
    "carry",
    "cast",
    "cast_after",
    "cast_nowait",
    "count",
    "count_children",
    "dead_letters",
    "delete_child",
    "demonitor",
    "exit",
    "get_state",
    "groups",
    "in_thread",
    "is_alive",
    "join",
    "leave",
    "link",
    "map_tasks",
    "members",
    "monitor",
    "monitor_group",
    "partition",
    "process_info",
    "process_infos",
    "processes",
    "publish",
    "register",
    "registered",
    "replace_state",
    "reply",
    "restart_child",
    "resume",
    "run",
    "run_task",
    "running",
    "send",
    "send_after",
    "send_every",
    "send_nowait",
    "start_call",
    "start_child",
    "start_or_find",
    "suspend",
    "terminate_child",
    "tree",
    "unlink",
    "unregister",
    "wait_exit",
    "wait_registered",
    "watch_names",
    "whereis",
    "which_children",
]

# What many programs never need is imported when it is first asked for: 3 of 11 ms.
_LATER = {
    "_actors.state_machine": ("StateMachine",),
    "_actors.transition": (
        "POSTPONE",
        "EventTimeout",
        "NamedTimeout",
        "NextEvent",
        "Reply",
        "StateTimeout",
        "Transition",
    ),
    "_core.request": ("Request",),
    "_messaging.links": ("link", "unlink"),
    "_messaging.monitors": ("Down", "demonitor", "monitor"),
    "_messaging.call_blocking": ("call_blocking",),
    "_messaging.carry": ("carry",),
    "_messaging.pending_call": ("PendingCall", "call_many", "start_call"),
    "_messaging.groups": ("Joined", "Left", "join", "leave", "monitor_group", "publish"),
    "_messaging.timers": ("Timer", "cancel_timer", "cast_after", "send_after", "send_every"),
    "_messaging.wait_registered": ("wait_registered",),
    "_messaging.watch_names": ("Overflow", "Registered", "Unregistered", "watch_names"),
    "_program.run_program": ("run",),
    "_program.run_in_block": ("running",),
    "_program.run_in_thread": ("in_thread",),
    "_supervision.backoff": ("Backoff",),
    "_supervision.child_spec": (
        "AutoShutdown",
        "ChildInfo",
        "ChildSpec",
        "RestartStrategy",
        "RestartType",
    ),
    "observe.servers": ("get_state", "replace_state", "resume", "suspend"),
    "_supervision.on_demand": ("OnDemand",),
    "_supervision.tasks": ("map_tasks", "run_task"),
    "observe.inspection": ("ProcessInfo", "process_info", "process_infos", "processes", "tree"),
    "_supervision.dynamic_supervisor": ("DynamicSupervisor",),
    "_supervision.partition_supervisor": ("PartitionSupervisor", "partition"),
    "_supervision.start_or_find": ("start_or_find",),
    "_supervision.supervisor": (
        "Supervisor",
        "count_children",
        "delete_child",
        "restart_child",
        "start_child",
        "terminate_child",
        "which_children",
    ),
}
_KNOWN = {*vars(builtins), "ExitReason", "PID"}  # in each of its modules, and here
_HOMES = {name: module for module, names in _LATER.items() for name in names}


def _at_home(value: object) -> None:
    """Let a public class say that it is from here: so it is called, imported and pickled.

    What its annotations name is looked up where they were written, as before.
    """
    if isinstance(value, type):
        annotations = vars(value).get("__annotations__", {})
        for name, text in list(annotations.items()):
            if name.startswith("_"):
                del annotations[name]  # it is nobody's but fauxtp's
            elif type(text) is str and text.removesuffix(" | None") not in _KNOWN:
                module = value.__module__
                annotations[name] = ForwardRef(
                    text, is_argument=False, module=module, is_class=True
                )
        with suppress(TypeError):  # what is compiled tells where that was
            value.__module__ = __name__


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"fauxtp.{home}"), name)
    _at_home(value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


for _name in __all__:
    _at_home(globals().get(_name))
_keep(__name__)
if _is_observed:
    import_module("fauxtp.observe.agent").serve_as_told()
