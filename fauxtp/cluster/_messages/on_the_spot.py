"""Calls between nodes that spare themselves a turn of the event loop, where that can be.

What comes from another node is heard by a task. So it can do what the caller of a process of here
does: step an idle server; and what gives a task its turn: let who has waited go on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from fauxtp._core.calls import DECLINED, GAVE_WAY, Call
from fauxtp._core.process import Process
from fauxtp._hosting.turns import give_turn, may_run_others
from fauxtp._loops.asyncio_loop import AsyncioHome, AsyncioWaiter
from fauxtp._loops.protocols import Home

if TYPE_CHECKING:
    from fauxtp._core.bounded_queue import BoundedQueue

__all__ = ["handle", "resume"]


def handle(process: Process, call: Call) -> bool:
    """Let an idle server handle `call` here and now; return False if it has to be put in.

    What takes more than one step is left to the server. Nobody is told of an answer that is
    there after this.
    """
    mailbox = process.mailbox
    if not process.idle or process.step is None:
        return False
    if mailbox.max_size:
        line = cast("BoundedQueue", mailbox).senders
        if line or line.kept:
            return False  # somebody waits for room, or was called up and is yet to come in
    outcome = process.step(process, call, None)
    if outcome is DECLINED:
        return False
    call.take()  # it lies nowhere, so nobody can take it back
    if outcome is GAVE_WAY:
        mailbox.wake_receivers()
    return True


def resume(call: Call, home: Home) -> None:
    """Wake who waits for `call`, which has its outcome: at once, if that is a task of `home`."""
    wake = call.wake
    if wake is None:
        return
    waiter = getattr(wake, "__self__", None)
    if (
        type(waiter) is AsyncioWaiter
        and type(home) is AsyncioHome
        and waiter.get_loop() is home.loop
        and may_run_others(home)
    ):
        try:
            give_turn(home, waiter.wake_at_once)
        except (KeyboardInterrupt, SystemExit) as error:
            home.run_next(partial(_end_loop, error))
    else:
        wake()


def _end_loop(error: BaseException) -> None:
    """Raise what ends the event loop, as the task does that has raised it: and not who reads."""
    raise error
