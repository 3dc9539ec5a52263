# cython: language_level=3, freethreading_compatible=True
# cython: binding=False
"""The way of a message into a mailbox. `_posting_py.py` says the same in Python."""

from fauxtp.addresses import mailbox_of
from fauxtp.dead_letters import dead_letters
from fauxtp.mailbox import _NOTHING, Mailbox
from fauxtp.process import Process, find_process

from fauxtp._registry cimport PID
from fauxtp._slots cimport Slot

__all__ = ["post"]

cdef Slot _closed_because = Slot(Mailbox, "_closed_because")
cdef Slot _inbox = Slot(Mailbox, "_inbox")
cdef Slot _mailbox = Slot(Process, "mailbox")
cdef Slot _max_size = Slot(Mailbox, "max_size")
cdef Slot _waiting = Slot(Mailbox, "_waiting")

# What would else be looked up in the module each time
cdef object find = find_process, nothing = _NOTHING


def post(to, message, /):
    """Put `message` into the mailbox of `to`; return one that is bounded or closed instead.

    If there is none, it is a dead letter. Raises `TypeError` if `to` is neither a PID nor
    a name.
    """
    process = find(to) if type(to) is PID else None
    mailbox = mailbox_of(to) if process is None else _mailbox.of(process)
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif _max_size.of(mailbox) or not deliver(mailbox, message):
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
        mailbox._bury(closed_because)
    return True
