# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The way of messages and calls to whom they are for. `_delivery_py.py` says the same in Python."""

cimport cython
from cpython.contextvars cimport get_value

from fauxtp._messaging.addresses import mailbox_of, target_of
from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.queue import NOTHING, Queue
from fauxtp._core.process import Process, _current, current_process, find_process

from fauxtp._base._build cimport fauxtp_build
from fauxtp._core._calls cimport Call
from fauxtp._registry cimport PID
from fauxtp._base._slots cimport Slot

__all__ = ["Attempt", "attempt", "post"]

cdef Slot _closed_because = Slot(Queue, "closed_because")
cdef Slot _idle = Slot(Process, "idle")
cdef Slot _inbox = Slot(Queue, "inbox")
cdef Slot _mailbox = Slot(Process, "mailbox")
cdef Slot _step = Slot(Process, "step")
cdef Slot _waiting = Slot(Queue, "waiting")

# What would else be looked up in the module each time
cdef object find = find_process, nothing = NOTHING, unbounded = Queue, works_for = _current
cdef object declined = DECLINED, gave_way = GAVE_WAY, pending = PENDING


def post(to, message, /):
    """Put `message` into the mailbox of `to`; return one that is bounded or closed instead.

    If there is none, it is a dead letter. Raises `TypeError` if `to` is neither a PID nor
    a name.
    """
    process = find(to) if type(to) is PID else None
    mailbox = mailbox_of(to) if process is None else _mailbox.of(process)
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif type(mailbox) is not unbounded or not deliver(mailbox, message):
        return mailbox
    return None


cdef bint deliver(object mailbox, object message) except -1:
    """Do as `Mailbox.deliver` does."""
    inbox = _inbox.of(mailbox)
    if inbox is nothing or _closed_because.of(mailbox) is not None:
        return mailbox.deliver(message)
    inbox.append(message)
    for waiter in _waiting.of(mailbox):
        if not waiter.woken:
            waiter.wake()
    closed_because = _closed_because.of(mailbox)
    if closed_because is not None:
        mailbox.clear_away(closed_because)
    return True


@cython.final
@cython.freelist(8)
cdef class Attempt:
    """A call that was not answered on the spot, for its caller to go on with.

    `outcome` tells how far it came: `PENDING`, `GAVE_WAY` or `DECLINED`. Only if it is
    `DECLINED`, there may be no process, but a mailbox that stands alone.
    """

    cdef readonly Call call
    cdef readonly object outcome, mailbox, process, caller

    def __cinit__(self, Call call, outcome, mailbox, process, caller):
        self.call, self.outcome, self.mailbox = call, outcome, mailbox
        self.process, self.caller = process, caller


def attempt(to, request, /):
    """Call `to`, and return the answer if it is there on the spot; else an `Attempt`.

    A caller that is a process then waits for that call; also if this raises something.

    Raises `NoProcess` if there is nobody, and `TypeError` as `post` does.
    """
    cdef Call call
    mailbox = step = caller = None
    pid, process = to, find(to) if type(to) is PID else None
    if process is None:
        pid, process, mailbox = target_of(to)
    if get_value(works_for) is not None:
        caller = current_process(own_task=True)
    call = Call(request, pid, None if caller is None else caller.pid)
    if caller is not None:
        caller.waiting_for = call
    outcome = declined
    if process is not None and _idle.of(process):
        step = _step.of(process)
    if step is not None:
        outcome = step(process, call, caller)
    if outcome is declined or outcome is pending or outcome is gave_way:
        if mailbox is None:
            mailbox = _mailbox.of(process)
        return Attempt(call, outcome, mailbox, process, caller)
    if caller is not None:
        caller.waiting_for = None
    return outcome


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
