"""What a server does when something is asked of it that is none of its handlers' affair."""

from __future__ import annotations

from typing import Any

from fauxtp._base.own_errors import own_errors
from fauxtp._core.calls import Call, refused, reply
from fauxtp._core.control import Control
from fauxtp._core.process import Process
from fauxtp._core.receiving import CONTROLS, receive

__all__ = ["obey"]


async def obey(process: Process, call: Call) -> None:
    """Do what the `Control` in `call` says; if that is to suspend, until another ends it."""
    is_suspended = _obeyed(process, call, False)
    while is_suspended:
        call = await receive(process.mailbox, CONTROLS, None)
        is_suspended = _obeyed(process, call, True)


def _obeyed(process: Process, call: Call, is_suspended: bool) -> bool:
    """Do what it says, at once; return whether the server is suspended then."""
    control: Control = call.request
    if control.reason is not None:
        if is_suspended:
            process.mailbox.deliver(call)  # behind what lies here, which nobody else would handle
        else:
            process.request_exit(control.reason)
        return False
    if call.settled:
        return is_suspended  # nobody waits for it any more
    if control.what in {"suspend", "resume"}:
        call.answer(None)
        return control.what == "suspend"
    answer: Any = process.state
    if control.change is not None:
        try:
            process.state = answer = control.change(process.state)
        except own_errors() as error:
            answer = refused(error, "what was to change the state")
    reply(call, answer)
    return is_suspended
