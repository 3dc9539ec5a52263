# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The first step of a call that is handed off. `_stepping_py.py` says the same in Python.

The C API tells the end of a coroutine without raising StopIteration for it, which takes more
time than all else that a short handler does. Of the rest, most is to read and write attributes;
those with `__slots__` lie at a fixed place in their object, which a `_Slot` knows. It goes
there by the interpreter's own functions, which are safe beside other threads.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

import asyncio.tasks
import sys
from asyncio import _get_running_loop
from time import monotonic
from types import MemberDescriptorType

from fauxtp import handoff
from fauxtp.calls import DECLINED, NO_REPLY, PENDING, reply
from fauxtp.family_asyncio import AsyncioFamily
from fauxtp.handoff import DEPTH, HandedOver, awaited, failed, hand_over, suspended
from fauxtp.mailbox import Mailbox
from fauxtp.process import Process
from fauxtp.waiting_asyncio import AsyncioHome

from fauxtp._calls cimport Call
from fauxtp._stack cimport has_room

__all__ = ["Suspended", "advance", "step"]


cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    ctypedef struct PyMemberDef:
        pass
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member

    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    int getrecursionlimit "Py_GetRecursionLimit" () noexcept
    bint PyCoro_CheckExact(object thing)

cdef extern from "structmember.h":
    object PyMember_GetOne(const char *of, PyMemberDef *member)
    int PyMember_SetOne(char *of, PyMemberDef *member, object value) except -1

cdef extern from *:
    """
    #define fauxtp_raise() NULL
    """
    object fauxtp_raise()  # what PyIter_Send has set


cdef class _Slot:
    """An attribute in the `__slots__` of a class; of any other object, as usual."""

    cdef type _owner
    cdef str _name
    cdef PyMemberDef *_member

    def __cinit__(self, type owner, str name):
        descriptor = owner.__dict__[name]
        if type(descriptor) is not MemberDescriptorType:
            raise TypeError(f"{owner.__name__}.{name} is no slot")
        self._owner, self._name = owner, name
        self._member = (<PyMemberDescrObject *><PyObject *>descriptor).d_member

    cdef inline object of(self, object it):
        if type(it) is self._owner:
            return PyMember_GetOne(<const char *><PyObject *>it, self._member)
        return getattr(it, self._name)

    cdef inline int put(self, object it, object value) except -1:
        if type(it) is self._owner:
            return PyMember_SetOne(<char *><PyObject *>it, self._member, value)
        setattr(it, self._name, value)
        return 0


cdef _Slot _loop = _Slot(AsyncioHome, "loop")
cdef _Slot _inbox = _Slot(Mailbox, "_inbox")
cdef _Slot _kept = _Slot(Mailbox, "_kept")
cdef _Slot _scope = _Slot(AsyncioFamily, "_scope")
cdef _Slot _actor = _Slot(Process, "actor")
cdef _Slot _context = _Slot(Process, "context")
cdef _Slot _depth = _Slot(Process, "depth")
cdef _Slot _exit_request = _Slot(Process, "exit_request")
cdef _Slot _family = _Slot(Process, "family")
cdef _Slot _handled_since = _Slot(Process, "handled_since")
cdef _Slot _handling = _Slot(Process, "handling")
cdef _Slot _home = _Slot(Process, "home")
cdef _Slot _idle = _Slot(Process, "idle")
cdef _Slot _mailbox = _Slot(Process, "mailbox")
cdef _Slot _state = _Slot(Process, "state")
cdef _Slot _task = _Slot(Process, "task")

# What would else be looked up in the module each time
cdef object declined = DECLINED, no_reply = NO_REPLY, pending = PENDING
cdef object now = monotonic, running_loop = _get_running_loop
cdef int deepest = DEPTH
cdef dict switches = handoff.__dict__

cdef bint _SWAPS = sys.version_info >= (3, 12)
cdef object _swap = asyncio.tasks._swap_current_task if _SWAPS else None
cdef dict _tasks = None if _SWAPS else asyncio.tasks._current_tasks


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


cdef inline object swap(object loop, object task):
    """Make `task` the current one of `loop`, and return which was; None if there was none."""
    if _SWAPS:
        before = _swap(loop, task)
        if before is None:
            _swap(loop, None)
    else:
        before = _tasks.get(loop)
        if before is not None:
            _tasks[loop] = task
    return before


def step(process, Call call not None, caller, handler=None, /):
    """Begin to handle `call`, and return the answer if that takes one step.

    If it takes more, return `PENDING`: the server goes on with it; or `GAVE_WAY`: somebody
    should wake the server, or take the next step of the `handler`, which it has handed over.
    If the call cannot be handled on the spot, return `DECLINED`: nothing has happened.
    """
    cdef int depth
    loop = _loop.of(_home.of(process))
    mailbox = _mailbox.of(process)
    if running_loop() is not loop or _inbox.of(mailbox) or _kept.of(mailbox):
        return declined
    depth = 1 if caller is None else <int>_depth.of(caller) + 1
    if depth > deepest or not switches["enabled"] or not has_room(getrecursionlimit() * 3 // 4):
        return declined
    mine = swap(loop, _task.of(process))
    if mine is None:
        return declined
    failure = result = None
    try:
        _depth.put(process, depth)
        if handler is None:
            _idle.put(process, False)
            _handling.put(process, call)
            _handled_since.put(process, now())
            family = _family.of(process)
            if _scope.of(family) is None:
                family.enter()
            handler = _actor.of(process).handle_call(call.request, call, _state.of(process))
            if not PyCoro_CheckExact(handler):
                handler = awaited(handler)
        result = advance(_context.of(process), handler)
    except BaseException as error:
        failure = error
    finally:
        swap(loop, mine)
    if failure is not None:
        return failed(process, call, failure)
    if type(result) is Suspended:
        return suspended(process, call, handler, (<Suspended>result).on)
    if type(result) is not tuple or len(<tuple>result) != 2 or (<tuple>result)[0] is no_reply:
        return hand_over(process, HandedOver(call, result=result))
    answer = (<tuple>result)[0]
    _state.put(process, (<tuple>result)[1])
    _handling.put(process, None)
    _idle.put(process, _exit_request.of(process) is None)
    if call.has_answered(answer):
        return answer
    reply(call, answer)  # too late, which is noted there
    return pending
