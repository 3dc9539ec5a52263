"""What fauxtp raises, beside `TypeError` and `ValueError`. Each error carries its facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fauxtp._base.errors import FauxtpError, NoProcess
from fauxtp._base.exit_reason import ExitReason
from fauxtp.registry import PID, default

__all__ = [
    "AlreadyStarted",
    "CallCycle",
    "FauxtpError",
    "MailboxClosed",
    "MailboxFull",
    "MaxRestartsExceeded",
    "NameTaken",
    "NoChild",
    "NoProcess",
    "ProcessExited",
    "ReceiveTimeout",
    "TooManyChildren",
]


def with_name(pid: PID) -> str:
    """Return how a text tells of a PID: with its first name, if it has one."""
    names = default.names(pid)
    return f"{names[0]!r} {pid!r}" if names else repr(pid)


class ProcessExited(FauxtpError):
    """A process ended before it answered. What ended it is `__cause__`, if it was an error.

    `pid` is the process, `reason` its exit reason, `name` the name by which it was called, or
    None. `taken_up` tells whether it had begun with the request: if not, that has had no effect,
    and can safely be sent again.

    >>> import anyio
    >>> from fauxtp import GenServer, Stop, call
    >>> class Quitter(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         raise Stop("enough")
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         quitter = await Quitter.start(task_group=task_group)
    ...         try:
    ...             await call(quitter, "stay")
    ...         except ProcessExited as error:
    ...             print(error.reason, error.taken_up)
    >>> anyio.run(main)
    enough True
    """

    def __init__(
        self, pid: PID, reason: ExitReason, *, taken_up: bool = False, name: str | None = None
    ) -> None:
        called = "" if name is None else f"{name!r} "
        super().__init__(f"{called}{pid!r} exited: {reason}")
        self.pid: PID = pid
        self.reason: ExitReason = reason
        self.taken_up: bool = taken_up
        self.name: str | None = name

    def _fauxtp_is_untaken(self) -> bool:
        return not self.taken_up

    def called(self, name: str) -> None:
        """Note by which name the process was called, for whoever reads the text."""
        self.name = name
        self.args: tuple[Any, ...] = (f"{name!r} {self.args[0]}",)


class CallCycle(FauxtpError):
    """A call, or a send to a full mailbox, would have waited for itself.

    `circle` is the processes that wait for each other, the caller first and last.

    >>> import anyio
    >>> from fauxtp import GenServer, call, exit
    >>> class Narcissus(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         try:
    ...             await call(self.pid, request)
    ...         except CallCycle as error:
    ...             return [pid is self.pid for pid in error.circle], state
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         narcissus = await Narcissus.start(task_group=task_group)
    ...         print(await call(narcissus, "who am I?"))
    ...         exit(narcissus)
    >>> anyio.run(main)
    [True, True]
    """

    def __init__(self, circle: Sequence[PID]) -> None:
        super().__init__(f"a wait in a circle: {' -> '.join(map(with_name, circle))}")
        self.circle: list[PID] = list(circle)


class NameTaken(FauxtpError):
    """A process was to start under a name that another has.

    `name` is the name, `holder` the PID that has it, or None if it has let go of it meanwhile.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         first = await GenServer.start(task_group=task_group, register_as="store")
    ...         try:
    ...             await GenServer.start(task_group=task_group, register_as="store")
    ...         except NameTaken as error:
    ...             print(error.name, error.holder is first)
    ...         exit(first)
    >>> anyio.run(main)
    store True
    """

    def __init__(self, name: str, holder: PID | None) -> None:
        super().__init__(f"{name!r} is registered to {holder!r}")
        self.name: str = name
        self.holder: PID | None = holder


class ReceiveTimeout(FauxtpError, TimeoutError):
    """No message, or no reply, came in time.

    After a call, `taken_up` tells whether the server had begun with the request. If not, it
    never will: it can safely be sent again. `text` is what the error says.

    >>> import anyio
    >>> from fauxtp import ANY, Mailbox
    >>> async def main():
    ...     try:
    ...         await Mailbox().receive((ANY, print), timeout=0.01)
    ...     except ReceiveTimeout:
    ...         print("nothing came")
    >>> anyio.run(main)
    nothing came
    """

    def __init__(self, text: str = "", *, taken_up: bool = False) -> None:
        super().__init__(text)
        self.taken_up: bool = taken_up


class MailboxFull(FauxtpError):
    """A bounded mailbox has no room, and the sender would not wait.

    `pid` is the mailbox's address, `max_size` how many messages it takes.

    >>> from fauxtp import Mailbox, send_nowait
    >>> mailbox = Mailbox(max_size=1)
    >>> send_nowait(mailbox.pid, "first")
    >>> try:
    ...     send_nowait(mailbox.pid, "second")
    ... except MailboxFull as error:
    ...     print(error.max_size)
    1
    """

    def __init__(self, pid: PID, max_size: int) -> None:
        super().__init__(f"the mailbox of {pid!r} is full: {max_size} messages")
        self.pid: PID = pid
        self.max_size: int = max_size


class MailboxClosed(FauxtpError):
    """Nothing can come any more into the mailbox that is waited on.

    `pid` is the mailbox's address.

    >>> import anyio
    >>> from fauxtp import ANY, Mailbox
    >>> mailbox = Mailbox()
    >>> mailbox.close()
    >>> async def main():
    ...     try:
    ...         await mailbox.receive((ANY, print))
    ...     except MailboxClosed as error:
    ...         print(error.pid is mailbox.pid)
    >>> anyio.run(main)
    True
    """

    def __init__(self, pid: PID) -> None:
        super().__init__(f"the mailbox of {pid!r} is closed")
        self.pid: PID = pid


class NoChild(FauxtpError, LookupError):
    """A supervisor has no child of that id, or none with that PID.

    `supervisor` is the PID or name that was asked, `id` what it was asked for.

    >>> import anyio
    >>> from fauxtp import Supervisor, exit, terminate_child
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         try:
    ...             await terminate_child("top", "worker")
    ...         except NoChild as error:
    ...             print(error.id)
    ...         exit("top")
    >>> anyio.run(main)
    worker
    """

    def __init__(self, supervisor: PID | str, id: PID | str) -> None:  # noqa: A002
        super().__init__(f"{supervisor!r} has no child {id!r}")
        self.supervisor: PID | str = supervisor
        self.id: PID | str = id


class AlreadyStarted(FauxtpError, ValueError):
    """A supervisor has a child of that id already.

    `supervisor` is the PID that was asked, `id` the child's, `pid` the child, or None if it
    does not run.

    >>> import anyio
    >>> from fauxtp import ChildSpec, GenServer, Supervisor, exit, start_child
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Supervisor.start(task_group=task_group, register_as="top")
    ...         worker = await start_child("top", ChildSpec("worker", GenServer))
    ...         try:
    ...             await start_child("top", ChildSpec("worker", GenServer))
    ...         except AlreadyStarted as error:
    ...             print(error.id, error.pid is worker)
    ...         exit("top")
    >>> anyio.run(main)
    worker True
    """

    def __init__(self, supervisor: object, id: str, pid: object) -> None:  # noqa: A002
        which = "does not run" if pid is None else f"is running as {pid!r}"
        super().__init__(f"{supervisor!r} has a child {id!r} already, which {which}")
        self.supervisor: object = supervisor
        self.id: str = id
        self.pid: object = pid


class TooManyChildren(FauxtpError):
    """A supervisor has as many children as it may have.

    `supervisor` is the PID that was asked, `max_children` how many it may have.

    >>> import anyio
    >>> from fauxtp import ChildSpec, DynamicSupervisor, GenServer, exit, start_child
    >>> class One(DynamicSupervisor):
    ...     max_children = 1
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await One.start(task_group=task_group, register_as="one")
    ...         await start_child("one", ChildSpec("first", GenServer))
    ...         try:
    ...             await start_child("one", ChildSpec("second", GenServer))
    ...         except TooManyChildren as error:
    ...             print(error.max_children)
    ...         exit("one")
    >>> anyio.run(main)
    1
    """

    def __init__(self, supervisor: object, max_children: int) -> None:
        super().__init__(f"{supervisor!r} has {max_children} children, and may have no more")
        self.supervisor: object = supervisor
        self.max_children: int = max_children


class MaxRestartsExceeded(FauxtpError):
    """A supervisor gave up: its children crash too often. The last crash is `__cause__`.

    `child` is the id of the child that crashed last; `max_restarts` were allowed within
    `max_seconds`. `supervisor` is its class, names and PID in words.

    >>> print(MaxRestartsExceeded("worker", 3, 5.0, "Pool 'pool'"))
    Pool 'pool' gives up: child 'worker' would be restarted more than 3 times in 5 s
    """

    def __init__(
        self, child: str, max_restarts: int, max_seconds: float, supervisor: str = "a supervisor"
    ) -> None:
        super().__init__(
            f"{supervisor} gives up: child {child!r} would be restarted more than"
            f" {max_restarts} times in {max_seconds:g} s"
        )
        self.supervisor: str = supervisor
        self.child: str = child
        self.max_restarts: int = max_restarts
        self.max_seconds: float = max_seconds
