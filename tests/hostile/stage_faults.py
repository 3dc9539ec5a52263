"""Faults of the runtime that a comparison of plays must find. They are planted in the twins."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from fauxtp import Down
from fauxtp._core.process import Process
from fauxtp._core.queue import Queue


def does_not_notice_that_it_is_cancelled() -> None:
    for name in (
        "fauxtp._hosting.direct",
        "fauxtp._hosting.group_keeper",
        "fauxtp._hosting.asyncio_scope",
    ):
        module: Any = importlib.import_module(name)
        module.has_pending_cancel = lambda home: False


def forgets_that_it_is_to_end_while_it_works() -> None:
    end: Any = Process._exit_now

    def idle_ones_only(self: Process, reason: Any) -> None:
        if self.handling is None:
            end(self, reason)

    Process._exit_now = idle_ones_only  # type: ignore[method-assign]


def hears_of_an_end_twice() -> None:
    deliver: Any = Queue.deliver

    def twice(mailbox: Queue, message: Any) -> Any:
        if isinstance(message, Down):
            deliver(mailbox, message)
        return deliver(mailbox, message)

    Queue.deliver = twice  # type: ignore[method-assign, assignment]


def forgets_whom_it_is_linked_with() -> None:
    def hear_nothing(*_: Any) -> None: ...

    Process.linked_exit = hear_nothing  # type: ignore[method-assign, assignment]


FAULTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        does_not_notice_that_it_is_cancelled,
        forgets_that_it_is_to_end_while_it_works,
        hears_of_an_end_twice,
        forgets_whom_it_is_linked_with,
    )
}
