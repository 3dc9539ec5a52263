# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The way of messages and calls to whom they are for. `delivery.py` says the same in Python."""

cimport cython
from cpython.contextvars cimport get_value

from fauxtp._base.carried import Carried
from fauxtp._base.events import GONE
from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING
from fauxtp._core.carried_messages import with_time, with_values
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.calls import Cast
from fauxtp._core.mailbox import find_queue, queues
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import NOTHING, Queue
from fauxtp._core.running_process import _current, current_process
from fauxtp._messaging.addresses import find_pid, mailbox_of, target_of, traced
from fauxtp.registry import whereis

from fauxtp._base._build cimport fauxtp_build
from fauxtp._base._native cimport (
    BEGUN,
    CALLS,
    CARRYING,
    ENDED,
    HANDLED,
    ROOTS,
    SENDING,
    SENT,
    TIMED,
    Call,
    Counter,
    Slot,
    add,
    brings_nothing,
    get,
    hears,
    listened_to,
    load,
    name_of,
    nothing_here,
    now,
    put,
    slot_of,
    tell_often,
    told_of,
    wants,
)
from fauxtp._registry cimport PID

__all__ = ["Attempt", "attempt", "begin", "on_its_way", "post"]

cdef Slot _actor = slot_of(Process, "actor")
cdef Slot _closed_because = slot_of(Queue, "closed_because")
cdef Slot _handled = slot_of(Process, "handled")
cdef Slot _handled_since = slot_of(Process, "handled_since")
cdef Slot _handling = slot_of(Process, "handling")
cdef Slot _idle = slot_of(Process, "idle")
cdef Slot _inbox = slot_of(Queue, "inbox")
cdef Slot _kind = slot_of(Process, "kind")
cdef Slot _mailbox = slot_of(Process, "mailbox")
cdef Slot _pid = slot_of(Process, "pid")
cdef Slot _step = slot_of(Process, "step")
cdef Slot _waiting = slot_of(Queue, "waiting")

# What would else be looked up in the module each time
cdef object find = find_process, nothing = NOTHING, unbounded = Queue, works_for = _current
cdef object look_up = whereis
cdef dict alone = queues
cdef object carried = Carried, of_casts = Cast
cdef object gone = GONE, declined = DECLINED, gave_way = GAVE_WAY, pending = PENDING


cdef inline object process_of(to):
    """Return the process that `to` is or names, if it is here and there; None wants a closer look."""
    if type(to) is not PID:
        if type(to) is str:
            to = look_up(to)
        elif isinstance(to, str):
            to = getattr(to, "_fauxtp_whereis", look_up)(to)
        else:
            return None
        if to is None:
            return None
    return find(to)


cdef dict _told = {}  # an import takes longer each time than what it is for


cdef object told(str name):
    """Return what is needed only while somebody carries values."""
    if not _told:
        from fauxtp._base import carrying
        from fauxtp._core.carried_handlers import handlers_of
        from fauxtp._messaging.told import told_attempt

        _told.update(told_attempt=told_attempt, handlers_of=handlers_of, carrying=carrying)
    return _told[name]


cdef inline object looked_up(to):
    """Return the PID that `to` is or names, if that is no process, or None."""
    return to if type(to) is PID else find_pid(to)


cdef object label_of(pid):
    """Return the class of who has that PID, and is no process: as `class_of` does."""
    if pid is None:
        return gone
    return "Mailbox" if pid in alone or find_queue(pid) is not None else gone


cdef bint is_untraced(int kinds) except -1:
    """Return whether these are wanted for spans alone, and here is no trace to go on with."""
    return not hears(kinds) and not wants(&listened_to, ROOTS) and nothing_here()


cpdef object on_its_way(to, message):
    """Return `message` as it is to be put into the mailbox of `to`; tell that it is being sent."""
    if not wants(&listened_to, SENT):
        return with_time(with_values(message))
    if is_untraced(SENT):
        return with_time(message) if wants(&listened_to, HANDLED) else message
    process = process_of(to)
    if process is None:
        pid = looked_up(to)
        label = label_of(pid)
    else:
        pid, label = get(process, _pid), name_of(get(process, _kind))
    plain = message.message if type(message) is carried else message
    tell_often(SENDING, label, pid, to, plain, 0, 0, None)
    if wants(&listened_to, CARRYING):
        message = traced("cast" if type(message) is of_casts else "send", label, pid, message)
    return with_time(message) if wants(&listened_to, HANDLED) else message


@cython.final
@cython.freelist(8)
cdef class ToldCall:
    """A call of which the begin was told, and the end is to be."""

    cdef object to, request, pid, label
    cdef double began

    def end(self, error=None):
        """Tell that the call is over, by an answer or by `error`."""
        cdef double seconds = now() - self.began
        tell_often(ENDED, self.label, self.pid, self.to, self.request, seconds, 0, error)


def post(to, message, /):
    """Put `message` into the mailbox of `to`; return one that is bounded or closed instead.

    With what is to be put there, if that is not just the message. If there is no mailbox, it is a
    dead letter. Raises `TypeError` if `to` is neither a PID nor a name.
    """
    cdef bint is_plain = not wants(&listened_to, SENT | CARRYING | HANDLED)
    if not is_plain and (type(message) is not of_casts or wants(&listened_to, SENT | CARRYING)):
        message = on_its_way(to, message)
    process = process_of(to)
    if process is not None:
        mailbox = get(process, _mailbox)
    else:
        mailbox = find_queue(to) if type(to) is PID else mailbox_of(to)
    if mailbox is None:
        dead_letters.add(to, message, "noproc")
    elif type(mailbox) is unbounded:
        if not deliver(mailbox, message):
            return mailbox if is_plain else (mailbox, message)
    elif process is None and mailbox.max_size < 0:
        if not mailbox.deliver(message):  # it is elsewhere, where nobody waits for room
            mailbox.refuse(message)
    else:
        return mailbox if is_plain else (mailbox, message)
    return None


cdef bint deliver(object mailbox, object message) except -1:
    """Do as `Mailbox.deliver` does."""
    inbox = get(mailbox, _inbox)
    if inbox is nothing or get(mailbox, _closed_because) is not None:
        return mailbox.deliver(message)
    inbox.append(message)
    for waiter in get(mailbox, _waiting):
        if not waiter.woken:
            waiter.wake()
    closed_because = get(mailbox, _closed_because)
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
    cdef public object told

    def __cinit__(self, Call call, outcome, mailbox, process, caller):
        self.call, self.outcome, self.mailbox = call, outcome, mailbox
        self.process, self.caller = process, caller


def attempt(to, request, /):
    """Call `to`, and return the answer if it is there on the spot; else an `Attempt`.

    A caller that is a process then waits for that call; also if this raises something.

    Raises `NoProcess` if there is nobody, and `TypeError` as `post` does.
    """
    if not wants(&listened_to, CALLS):
        return _attempt(to, request, <int>0)
    if not wants(&listened_to, CARRYING):
        return _told_attempt(to, request)
    if is_untraced(CALLS):
        return _attempt(to, request, <int>0)
    return told("told_attempt")(attempt_since, Attempt, to, request)


cdef object _told_attempt(to, request):
    cdef ToldCall call
    cdef double began
    process = process_of(to)
    if process is None:
        pid = looked_up(to)
        label = label_of(pid)
    else:
        pid, label = get(process, _pid), name_of(get(process, _kind))
        process = None  # who listens may see to its end
    tell_often(BEGUN, label, pid, to, request, 0, 0, None)
    began = now()
    try:
        begun = _attempt(to, request, began)
    except BaseException as error:
        tell_often(ENDED, label, pid, to, request, now() - began, 0, error)
        raise
    if type(begun) is Attempt:
        call = ToldCall.__new__(ToldCall)
        call.label, call.pid, call.to, call.request = label, pid, to, request
        call.began = began
        (<Attempt>begun).told = call
    else:
        tell_often(ENDED, label, pid, to, request, now() - began, 0, None)
    return begun


def attempt_since(to, request, double began, /):
    """Do as `attempt` does; the call was `began` at that time."""
    return _attempt(to, request, began)


ctypedef fused Began:
    int  # is not known: what asks for it is not compiled
    double


cdef object _attempt(to, request, Began began):
    cdef Call call
    mailbox = step = caller = None
    process = process_of(to)
    if process is None:
        pid, process, mailbox = target_of(to, True)
    else:
        pid = get(process, _pid)
    if get_value(works_for) is not None:
        caller = current_process(own_task=True)
    call = Call(request, pid, None if caller is None else caller.pid)
    if Began is double:
        call.sent_at = began  # then nobody looks at the clock again
    if caller is not None:
        caller.waiting_for = call
    outcome = declined
    if process is not None and get(process, _idle):
        step = get(process, _step)
    if step is not None:
        outcome = step(process, call, caller)
    if outcome is declined or outcome is pending or outcome is gave_way:
        if mailbox is None:
            mailbox = get(process, _mailbox)
        return Attempt(call, outcome, mailbox, process, caller)
    if caller is not None:
        caller.waiting_for = None
    return outcome


def begin(process, message, /):
    """Note that a server begins to handle `message`; return its handlers, or who stands for them.

    It is counted here, as a handler that is handed over ends elsewhere.
    """
    if type(message) is carried:
        return begun(process, message.message, message.sent_at, message.values)
    return begun(process, message, 0, None)


cdef inline begun(process, message, double sent_at, values):
    cdef double at
    cdef int kinds
    put(process, _handling, message)
    at = now()
    put(process, _handled_since, at)
    handled = get(process, _handled)
    if handled is None:
        handled = Counter()
        put(process, _handled, handled)
    add(&(<Counter>handled).number, 1)
    actor = get(process, _actor)
    kinds = load(&listened_to) & (HANDLED | CARRYING | TIMED | ROOTS)
    if values is not None or kinds & ROOTS or (
        kinds & CARRYING and type(message) is Call and not brings_nothing(message)
    ):
        return told("handlers_of")(process, message, sent_at, values)
    if not kinds:
        return actor
    stands = told_of(get(process, _kind), get(process, _pid), message, actor, at, sent_at)
    return stands.kept(told("carrying")) if kinds & CARRYING else stands


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
