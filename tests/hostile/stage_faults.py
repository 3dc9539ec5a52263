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
        "fauxtp._hosting.asyncio_host",
        "fauxtp._hosting.asyncio_scope",
    ):
        module: Any = importlib.import_module(name)
        module.is_to_be_cancelled = lambda home: False


def does_not_notice_that_it_is_ended() -> None:
    family: Any = importlib.import_module("fauxtp._hosting.asyncio_scope").AsyncioFamily
    cancel = family.cancel

    def idle_ones_only(self: Any) -> None:
        if self._process.handling is None:
            cancel(self)

    family.cancel = idle_ones_only


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
        does_not_notice_that_it_is_ended,
        hears_of_an_end_twice,
        forgets_whom_it_is_linked_with,
    )
}
