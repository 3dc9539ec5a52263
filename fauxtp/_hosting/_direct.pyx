# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The first step of a call that is handed off. `_direct_py.py` says the same in Python.

The C API tells the end of a coroutine without raising StopIteration for it, which takes more
time than all else that a short handler does. Of the rest, most is to read and write attributes.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.time cimport monotonic

from asyncio import _get_running_loop

from fauxtp._base import switches
from fauxtp._core.calls import DECLINED, NO_REPLY, PENDING, reply
from fauxtp._hosting.asyncio_scope import AsyncioFamily
from fauxtp._hosting.handover import BUDGET, DEPTH, HandedOver, awaited, failed, hand_over, suspended
from fauxtp._core.queue import Queue
from fauxtp._core.process import Process
from fauxtp._loops.asyncio_loop import AsyncioHome

from fauxtp._base._build cimport fauxtp_build
from fauxtp._core._calls cimport Call
from fauxtp._base._slots cimport Slot
from fauxtp._base._stack cimport is_free
from fauxtp._hosting._turns cimport is_to_end, swap

__all__ = ["Suspended", "advance", "step"]


cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    bint PyCoro_CheckExact(object thing)

cdef extern from *:
    """
    #define fauxtp_raise() NULL
    """
    object fauxtp_raise()  # what PyIter_Send has set


cdef Slot _handled = Slot(AsyncioHome, "handled")
cdef Slot _loop = Slot(AsyncioHome, "loop")
cdef Slot _inbox = Slot(Queue, "inbox")
cdef Slot _kept = Slot(Queue, "kept")
cdef Slot _scope = Slot(AsyncioFamily, "_scope")
cdef Slot _actor = Slot(Process, "actor")
cdef Slot _context = Slot(Process, "context")
cdef Slot _depth = Slot(Process, "depth")
cdef Slot _exit_request = Slot(Process, "exit_request")
cdef Slot _family = Slot(Process, "family")
cdef Slot _handed_over = Slot(Process, "handed_over")
cdef Slot _handled_since = Slot(Process, "handled_since")
cdef Slot _handling = Slot(Process, "handling")
cdef Slot _home = Slot(Process, "home")
cdef Slot _idle = Slot(Process, "idle")
cdef Slot _interrupted = Slot(Process, "interrupted")
cdef Slot _mailbox = Slot(Process, "mailbox")
cdef Slot _state = Slot(Process, "state")
cdef Slot _task = Slot(Process, "task")

# What would else be looked up in the module each time
cdef object declined = DECLINED, no_reply = NO_REPLY, pending = PENDING
cdef object running_loop = _get_running_loop
cdef int budget = BUDGET, deepest = DEPTH
cdef dict switch = switches.__dict__


@cython.final
cdef class Suspended:
    """In place of a result: the coroutine waits for `on`, what it has yielded."""

    cdef readonly object on

    def __init__(self, on):
        self.on = on


cpdef object advance(object context, object coroutine):
    """Run `coroutine` in `context` until it ends or suspends; return its result or `Suspended`.

    Raises what it raises, and `RuntimeError` if somebody runs in `context` now.
    """
    cdef PyObject *answer = NULL
    cdef PySendResult how
    PyContext_Enter(context)
    try:
        how = PyIter_Send(coroutine, None, &answer)
        if answer is NULL:
            fauxtp_raise()
    finally:
        PyContext_Exit(context)
    result = <object>answer
    Py_DECREF(result)  # it came with a reference of its own
    return Suspended(result) if how == PYGEN_NEXT else result


def step(process, Call call not None, caller, handler=None, /):
    """Begin to handle `call`, and return the answer if that takes one step.

    If it takes more, return `PENDING`: the server goes on with it, or the caller, who has the
    answer, should let others have a turn before it does; or `GAVE_WAY`: somebody
    should wake the server, or take the next step of the `handler`, which it has handed over.
    If the call cannot be handled on the spot, return `DECLINED`: nothing has happened.
    """
    cdef int depth, handled
    cdef bint first = handler is None
    home = _home.of(process)
    loop = _loop.of(home)
    mailbox = _mailbox.of(process)
    if running_loop() is not loop or _inbox.of(mailbox) or _kept.of(mailbox):
        return declined
    depth = 1 if caller is None else <int>_depth.of(caller) + 1
    if depth > deepest or not switch["hand_off"] or not is_free():
        return declined
    mine = swap(loop, _task.of(process))
    if mine is None and handler is None:  # whoever calls has a task
        swap(loop, None)
        return declined
    failure = result = None
    try:
        _depth.put(process, depth)
        if handler is None:
            _idle.put(process, False)
            _handling.put(process, call)
            _handled_since.put(process, monotonic())
            family = _family.of(process)
            if _scope.of(family) is None:
                family.enter()
            handler = _actor.of(process).handle_call(call.request, call, _state.of(process))
            if not PyCoro_CheckExact(handler):
                handler = awaited(handler)
        else:
            _handed_over.put(process, None)
        result = advance(_context.of(process), handler)
    except BaseException as error:
        failure = error
    finally:
        swap(loop, mine)
    if failure is not None:
        return failed(process, call, failure)
    if type(result) is not tuple or len(<tuple>result) != 2 or (<tuple>result)[0] is no_reply:
        try:
            if type(result) is Suspended:
                return suspended(process, call, handler, (<Suspended>result).on)
            return hand_over(process, HandedOver(call, result=result))
        except BaseException as error:  # no memory: or the server would wait for its handler
            return failed(process, call, error)
    answer = (<tuple>result)[0]
    _state.put(process, (<tuple>result)[1])
    _handling.put(process, None)
    if _interrupted.of(process):
        _idle.put(process, False)
        if not _inbox.of(mailbox):
            _interrupted.put(process, False)  # there is nothing to do before it waits
    else:
        _idle.put(process, _exit_request.of(process) is None)
    if call.has_answered(answer):
        if mine is not None and is_to_end(home, mine):
            return pending  # it may be the handler that has cancelled its caller
        handled = <int>_handled.of(home)
        handled = handled + 1 if handled < budget - 1 else 0
        _handled.put(home, handled)
        return pending if first and handled == 0 else answer
    reply(call, answer)  # too late, which is noted there
    return pending


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
