# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""Turns on asyncio: whoever waits for what a task does next gives it its turn at once.

`_turns_py.py` says the same in Python, and why.
"""

cimport cython

import asyncio.tasks
import sys
from asyncio import Task, isfuture
from functools import partial
from types import GetSetDescriptorType
from weakref import ref

from cpython.object cimport PyObject

from fauxtp._base import switches
from fauxtp._loops.anyio_scopes import is_in_cancelled_scope, slots_of_anyio, states
from fauxtp._loops.asyncio_tasks import made_by_factory
from fauxtp._loops.asyncio_loop import AsyncioHome

from fauxtp._base._build cimport fauxtp_build
from fauxtp._base._slots cimport Slot
from fauxtp._base._stack cimport is_free

__all__ = ["Idle", "begun_task", "can_give_turns", "give_turn", "is_to_be_cancelled"]

cdef extern from *:
    '''
    /* Whether `reference`, a weak one or None, is one to `it`, which lives. */
    static inline int fauxtp_refers(PyObject *reference, PyObject *it) {
        if (reference == Py_None)
            return 0;
    #if PY_VERSION_HEX >= 0x030D0000
        PyObject *found = NULL;
        if (PyWeakref_GetRef(reference, &found) < 0)
            return -1;
        Py_XDECREF(found);
        return found == it;
    #else
        return PyWeakref_GET_OBJECT(reference) == it;
    #endif
    }

    /* What a getter in C, `descriptor`, says of `it`: to find it by its name takes longer. */
    static inline PyObject *fauxtp_get(PyObject *it, PyObject *descriptor) {
        PyGetSetDef *how = ((PyGetSetDescrObject *)descriptor)->d_getset;
        return how->get(it, how->closure);
    }
    '''
    int fauxtp_refers(object reference, object it) except -1
    object fauxtp_get(object it, object descriptor)

cdef enum:
    PLACES = 8
    DEPTH = 16  # turns, each given in the one before
    TURNS = 64  # of which one is left to the event loop: others have a turn, too

cdef Slot _depth = Slot(AsyncioHome, "depth")
cdef Slot _known = Slot(AsyncioHome, "known")
cdef Slot _loop = Slot(AsyncioHome, "loop")
cdef Slot _turns = Slot(AsyncioHome, "turns")

cdef Slot _cancel_scope, _cancel_called, _parent_scope, _shield
_cancel_scope, _cancel_called, _parent_scope, _shield = slots_of_anyio(Slot)

cdef object _must_cancel = vars(Task).get("_must_cancel")
if type(_must_cancel) is not GetSetDescriptorType:
    _must_cancel = None  # that of a task in Python

# What would else be looked up in the module each time
cdef object any_task = Task, in_scope = is_in_cancelled_scope, is_future = isfuture
cdef object by_the_factory = made_by_factory
cdef dict switch = switches.__dict__

# Which task runs is what a loop and its tasks know from one place.
cdef bint _SWAPS = sys.version_info >= (3, 12)
cdef extern from "Python.h":
    int set_item "PyDict_SetItem"(dict table, object key, object value)
    void PyErr_Clear()

cdef object _swap = asyncio.tasks._swap_current_task if _SWAPS else None
cdef object _current = asyncio.tasks.current_task if _SWAPS else None
cdef dict _tasks = None if _SWAPS else asyncio.tasks._current_tasks
cdef object _eager_task = partial(Task, eager_start=True) if _SWAPS else None


cdef object current_task(object loop):
    """Return the running task of `loop`, or None."""
    return _current(loop) if _SWAPS else _tasks.get(loop)


cdef object swap(object loop, object task):
    """Make `task` the current one of `loop`, and return which was; None is none."""
    if _SWAPS:
        return _swap(loop, task)
    before = _tasks.get(loop)
    if task is not None:
        if set_item(_tasks, loop, task) < 0:
            PyErr_Clear()  # no memory: without a task of its own nobody here could do anything
            _tasks[loop] = task
    elif before is not None:
        del _tasks[loop]
    return before


def can_give_turns(home, /):
    """Return whether the running task may give another its turn, here and now."""
    cdef int turns = <int>_turns.of(home)
    turns = turns + 1 if turns < TURNS - 1 else 0
    _turns.put(home, turns)
    if turns == 0 or not switch["hand_off"] or <int>_depth.of(home) >= DEPTH or not is_free():
        return False
    return current_task(_loop.of(home)) is not None


def begun_task(home, work, name, context, bint ours=False, /):
    """Return a task that does `work`, and has had its first turn if that can be given.

    It can always, unless the loop has a task factory. That is not asked for a task of `ours`,
    which does nothing of the user's.
    """
    cdef int depth
    cdef _FirstTurns first
    cdef bint by_factory
    loop = _loop.of(home)
    by_factory = not ours and loop.get_task_factory() is not None
    if _SWAPS and not by_factory:
        depth = <int>_depth.of(home)
        _depth.put(home, depth + 1)
        try:
            return _eager_task(work, loop=loop, name=name, context=context)
        finally:
            _depth.put(home, depth)
    first = _FirstTurns(loop)
    before, inherited = loop.call_soon, type(loop).call_soon.__get__(loop)
    loop.call_soon = first
    depth = <int>_depth.of(home)
    _depth.put(home, depth + 1)  # as a task factory may let it begin there
    task = None
    try:
        if by_factory:
            task = by_the_factory(loop, work, name, context)
        else:
            task = any_task(work, loop=loop, name=name, context=context)
    finally:
        if before == inherited:
            del loop.call_soon
        else:
            loop.call_soon = before
        _depth.put(home, depth)
        turn = first.of(task)
    if turn is not None:  # else it has begun, or begins by itself
        give_turn(home, turn)
    return task


@cython.final
@cython.internal
@cython.freelist(8)
cdef class _FirstTurns:
    """In place of a loop's `call_soon`: keeps the first turns of tasks that are made."""

    cdef object loop, call_soon
    cdef list kept

    def __cinit__(self, loop):
        self.loop, self.call_soon = loop, loop.call_soon
        self.kept = []

    def __call__(self, callback, *arguments, context=None):
        task = getattr(callback, "__self__", None)
        is_one = isinstance(task, any_task) or is_future(task)  # which takes five times as long
        if is_one and not arguments and current_task(self.loop) is not task:
            self.kept.append((callback, context))
            return None
        return self.call_soon(callback, *arguments, context=context)

    cdef object of(self, task):
        """Return the first turn of `task`, if it was kept; leave those of others to the loop.

        Others have made them: a finaliser, a signal handler, a task factory.
        """
        first = None
        for turn, context in self.kept:
            if turn.__self__ is task and context is not None:
                first = partial(context.run, turn)
            else:
                self.call_soon(turn, context=context)
        return first


cpdef give_turn(home, turn):
    """Let another task have its turn now: `turn` is what the event loop would call for it."""
    cdef int depth = <int>_depth.of(home)
    loop = _loop.of(home)
    mine = swap(loop, None)
    _depth.put(home, depth + 1)
    try:
        turn()
    finally:
        swap(loop, mine)
        _depth.put(home, depth)


@cython.final
@cython.freelist(64)
cdef class Idle:
    """What a server without messages awaits: `waiter`, and what others wait for in its name.

    They run its handlers as its task, which sleeps. So whoever follows what that task awaits
    comes here, and finds the handler that waits, as if the task awaited it.
    """

    cdef object waiter
    cdef bint has_yielded

    def __cinit__(self, waiter, /):
        self.waiter = waiter

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.has_yielded:
            raise StopIteration
        self.has_yielded = True
        self.waiter._asyncio_future_blocking = True
        return self.waiter

    def __getattr__(self, name):
        return self.waiter.shows(name)


def is_to_be_cancelled(home, /):
    """Return whether the running task is to be cancelled where it waits next.

    Who has given a turn, and need not wait any more, should do so then: what had the turn may
    have cancelled a scope of this task's, which would be left before it is noticed.
    """
    task = current_task(_loop.of(home))
    return task is not None and is_to_end(home, task)


cdef bint is_to_end(home, task) except -1:
    if type(task) is any_task and _must_cancel is not None:
        if fauxtp_get(task, _must_cancel) is True:
            return True
    elif task._must_cancel:
        return True
    if _cancel_scope is None:  # another anyio than the one that is known here
        return in_scope(task)
    known = _known.of(home)
    if known is None:
        known = _Known()
        _known.put(home, known)
    state = (<_Known>known).state_of(task)
    if state is None:
        return False
    scope = _cancel_scope.of(state)
    while scope is not None:
        if _cancel_called.of(scope):
            return True
        if _shield.of(scope):
            return False
        scope = _parent_scope.of(scope)
    return False


@cython.final
@cython.internal
cdef class _Known:
    """What anyio knows of some tasks of one loop: of each that has asked last at its place.

    To find it anew takes 400 instructions. It is the same as long as the task lives.
    """

    cdef list tasks, states

    def __cinit__(self):
        self.tasks, self.states = [None] * PLACES, [None] * PLACES

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef inline object state_of(self, task):
        cdef Py_ssize_t place = (<size_t><PyObject *>task >> 6) % PLACES
        if fauxtp_refers(self.tasks[place], task):
            return self.states[place]
        reference = ref(task)
        state = states.get(reference)
        if state is not None:
            self.tasks[place], self.states[place] = reference, state
        return state


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
