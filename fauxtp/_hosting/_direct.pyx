# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""Turns of tasks, and the first step of a call that is handed off, compiled.

`fauxtp._hosting.turns` and `fauxtp._hosting.direct` say the same in Python, and why.

The C API tells the end of a coroutine without raising StopIteration for it, which takes more
time than all else that a short handler does. Of the rest, most is to read and write attributes.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

import sys
from asyncio import Task, isfuture
from functools import partial
from types import GetSetDescriptorType
from weakref import ref

import fauxtp._loops.asyncio_internals as internals
from fauxtp._base import switches
from fauxtp._core.calls import DECLINED, NO_REPLY, PENDING, Raise, reply
from fauxtp._core.process import Process
from fauxtp._core.queue import Queue
from fauxtp._hosting.handover import BUDGET, DEPTH, HandedOver, awaited, failed, hand_over, suspended
from fauxtp._loops.asyncio_loop import AsyncioHome
from fauxtp._loops.asyncio_tasks import made_by_factory

from fauxtp._base._build cimport fauxtp_build
from fauxtp._base._native cimport (
    CARRYING,
    HANDLED,
    TIMED,
    Call,
    Counter,
    ROOTS,
    Slot,
    add,
    brings_nothing,
    get,
    has_handled,
    is_free,
    is_made,
    listened_to,
    load,
    make,
    makes_coroutines,
    now,
    put,
    slot_of,
    told_of,
    wants,
    within_it,
)

__all__ = [
    "Idle",
    "Suspended",
    "advance",
    "create_started_task",
    "may_run_others",
    "give_turn",
    "has_pending_cancel",
    "step",
]

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    bint PyCoro_CheckExact(object thing)

    int set_item "PyDict_SetItem"(dict table, object key, object value)
    void PyErr_Clear()

cdef extern from *:
    """
    #define fauxtp_raise() NULL
    """
    object fauxtp_raise()  # what PyIter_Send has set

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
    static inline PyObject *fauxtp_getter_says(PyObject *it, PyObject *descriptor) {
        PyGetSetDef *how = ((PyGetSetDescrObject *)descriptor)->d_getset;
        return how->get(it, how->closure);
    }
    '''
    int fauxtp_refers(object reference, object it) except -1
    object fauxtp_getter_says(object it, object descriptor)

cdef enum:
    PLACES = 8
    NESTED = 16  # turns, each given in the one before
    TURNS = 64  # of which one is left to the event loop: others have a turn, too

cdef Slot _handled_here = slot_of(AsyncioHome, "handled")
cdef Slot _known = slot_of(AsyncioHome, "known")
cdef Slot _loop = slot_of(AsyncioHome, "loop")
cdef Slot _nested = slot_of(AsyncioHome, "depth")
cdef Slot _turns = slot_of(AsyncioHome, "turns")
cdef Slot _inbox = slot_of(Queue, "inbox")
cdef Slot _kept = slot_of(Queue, "kept")
cdef Slot _actor = slot_of(Process, "actor")
cdef Slot _context = slot_of(Process, "context")
cdef Slot _depth = slot_of(Process, "depth")
cdef Slot _exit_request = slot_of(Process, "exit_request")
cdef Slot _process_scope = slot_of(Process, "scope")
cdef Slot _handed_over = slot_of(Process, "handed_over")
cdef Slot _handled = slot_of(Process, "handled")
cdef Slot _handled_since = slot_of(Process, "handled_since")
cdef Slot _handling = slot_of(Process, "handling")
cdef Slot _home = slot_of(Process, "home")
cdef Slot _idle = slot_of(Process, "idle")
cdef Slot _interrupted = slot_of(Process, "interrupted")
cdef Slot _kind = slot_of(Process, "kind")
cdef Slot _mailbox = slot_of(Process, "mailbox")
cdef Slot _pid = slot_of(Process, "pid")
cdef Slot _state = slot_of(Process, "state")
cdef Slot _task = slot_of(Process, "task")

cdef Slot _is_ready  # of an AsyncioScope, whose module imports this one: see `is_ready`


def _checked(type owner, str name):
    """Return what was given, if it means a slot."""
    slot_of(owner, name)
    return owner, name


cdef Slot _cancel_scope, _cancel_called, _parent_scope, _shield
cdef list _places = internals.slots_of_anyio(_checked)
cdef bint _knows_anyio = _places[0] is not None  # else it is another than is known here
if _knows_anyio:
    _cancel_scope = slot_of(_places[0][0], _places[0][1])
    _cancel_called = slot_of(_places[1][0], _places[1][1])
    _parent_scope = slot_of(_places[2][0], _places[2][1])
    _shield = slot_of(_places[3][0], _places[3][1])

cdef object _must_cancel = vars(Task).get("_must_cancel")
if type(_must_cancel) is not GetSetDescriptorType:
    _must_cancel = None  # that of a task in Python

# What would else be looked up in the module each time
cdef object any_task = Task, in_scope = internals.is_in_cancelled_scope, is_future = isfuture
cdef object by_the_factory = made_by_factory, states = internals.states
cdef object declined = DECLINED, no_reply = NO_REPLY, pending = PENDING, refusal = Raise
cdef object running_loop = internals.running_loop
cdef int budget = BUDGET, deepest = DEPTH
cdef dict switch = switches.__dict__

# Which task runs is what a loop and its tasks know from one place.
cdef bint _SWAPS = sys.version_info >= (3, 12)
cdef object _swap = internals.swap_current_task
cdef object _current = internals.current_task
cdef dict _tasks = internals.current_tasks
cdef object _eager_task = partial(Task, eager_start=True) if _SWAPS else None


cdef object current_task(object loop):
    """Return the running task of `loop`, or None."""
    return _current(loop) if _tasks is None else _tasks.get(loop)


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


def may_run_others(home, /):
    """Return whether the running task may give another its turn, here and now."""
    cdef int turns = <int>get(home, _turns)
    turns = turns + 1 if turns < TURNS - 1 else 0
    put(home, _turns, turns)
    if turns == 0 or not switch["hand_off"] or <int>get(home, _nested) >= NESTED or not is_free():
        return False
    return current_task(get(home, _loop)) is not None


def create_started_task(home, work, name, context, bint ours=False, /):
    """Return a task that does `work`, and has had its first turn if that can be given.

    It can always, unless the loop has a task factory. That is not asked for a task of `ours`,
    which does nothing of the user's.
    """
    cdef int depth
    cdef _FirstTurns first
    cdef bint by_factory
    loop = get(home, _loop)
    by_factory = not ours and loop.get_task_factory() is not None
    if _SWAPS and not by_factory:
        depth = <int>get(home, _nested)
        put(home, _nested, depth + 1)
        try:
            return _eager_task(work, loop=loop, name=name, context=context)
        finally:
            put(home, _nested, depth)
    first = _FirstTurns(loop)
    before, inherited = loop.call_soon, type(loop).call_soon.__get__(loop)
    loop.call_soon = first
    depth = <int>get(home, _nested)
    put(home, _nested, depth + 1)  # as a task factory may let it begin there
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
        put(home, _nested, depth)
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


cdef dict _told = {}


cdef object told(str name):
    """Return what is needed only while somebody carries values."""
    if not _told:  # to import it each time would take longer than what it does
        from fauxtp._base import carrying
        from fauxtp._core.carried_handlers import handlers_of

        _told.update(handlers_of=handlers_of, carrying=carrying)
    return _told[name]


cdef object carrying(process, Call call, double at):
    """Return the handler of `call` with the values that it brings; it is told of there."""
    if brings_nothing(call) and not wants(&listened_to, ROOTS):
        actor, pid = get(process, _actor), get(process, _pid)
        stands = told_of(get(process, _kind), pid, call, actor, at, 0).kept(told("carrying"))
        handler, state = actor.handle_call, get(process, _state)
        if makes_coroutines(handler):
            return stands.begun(handler(call.request, call, state))
        return stands.begun(within_it(handler, (call.request, call, state)))
    handler = told("handlers_of")(process, call).handle_call(call.request, call, get(process, _state))
    return handler if PyCoro_CheckExact(handler) else awaited(handler)


cdef object told_from_now_on(process, Call call, double at, handler):
    """Return who stands for a `handler` that has begun and is to be told of at its end."""
    told = told_of(get(process, _kind), get(process, _pid), call, None, at, 0)
    return told.begun(handler, True)


cpdef give_turn(home, turn):
    """Let another task have its turn now: `turn` is what the event loop would call for it."""
    cdef int depth = <int>get(home, _nested)
    loop = get(home, _loop)
    mine = swap(loop, None)
    put(home, _nested, depth + 1)
    try:
        turn()
    finally:
        swap(loop, mine)
        put(home, _nested, depth)


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


def has_pending_cancel(home, /):
    """Return whether the running task is to be cancelled where it waits next.

    Who has given a turn, and need not wait any more, should do so then: what had the turn may
    have cancelled a scope of this task's, which would be left before it is noticed.
    """
    task = current_task(get(home, _loop))
    return task is not None and is_to_end(home, task)


cdef bint is_to_end(home, task) except -1:
    if type(task) is any_task and _must_cancel is not None:
        if fauxtp_getter_says(task, _must_cancel) is True:
            return True
    elif task._must_cancel:
        return True
    if not _knows_anyio:
        return in_scope(task)
    known = get(home, _known)
    if known is None:
        known = _Known()
        put(home, _known, known)
    state = (<_Known>known).state_of(task)
    if state is None:
        return False
    scope = get(state, _cancel_scope)
    while scope is not None:
        if get(scope, _cancel_called):
            return True
        if get(scope, _shield):
            return False
        scope = get(scope, _parent_scope)
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


cdef object advance_told(process, Call call, handler, double at, int kinds):
    """Do as `advance` does with what is a handler from its begin; tell of it if it ends."""
    cdef PyObject *answer = NULL
    cdef PySendResult how
    context = get(process, _context)
    PyContext_Enter(context)
    try:
        how = PyIter_Send(handler, None, &answer)
        if answer is NULL:
            failed_told(process, call, at, kinds)
        result = <object>answer
        Py_DECREF(result)
        if how == PYGEN_NEXT:
            return Suspended(result)
        has_handled(get(process, _kind), get(process, _pid), call, at, 0, kinds, None)
    finally:
        PyContext_Exit(context)
    return result


cdef failed_told(process, Call call, double at, int kinds):
    """Tell of a handler that has ended by the error that is set; raise that."""
    try:
        fauxtp_raise()
    except BaseException as error:
        has_handled(get(process, _kind), get(process, _pid), call, at, 0, kinds, error)
        raise


cdef bint is_ready(scope):
    """Return whether handlers of a process may begin, as its `scope` is prepared for them."""
    if not is_made(&_is_ready):
        make(&_is_ready, slot_of(type(scope), "is_ready"))
    return get(scope, _is_ready) is True


def step(process, Call call not None, caller, handler=None, /):
    """Begin to handle `call`, and return the answer if that takes one step.

    If it takes more, return `PENDING`: the server goes on with it, or the caller, who has the
    answer, should let others have a turn before it does; or `GAVE_WAY`: somebody
    should wake the server, or take the next step of the `handler`, which it has handed over.
    If the call cannot be handled on the spot, return `DECLINED`: nothing has happened.
    """
    cdef int depth, handled, kinds = 0
    cdef double at = 0
    cdef bint first = handler is None
    home = get(process, _home)
    loop = get(home, _loop)
    mailbox = get(process, _mailbox)
    if running_loop() is not loop or get(mailbox, _inbox) or len(<list>get(mailbox, _kept)):
        return declined
    depth = 1 if caller is None else <int>get(caller, _depth) + 1
    if depth > deepest or not switch["hand_off"] or not is_free():
        return declined
    mine = swap(loop, get(process, _task))
    if mine is None and handler is None:  # whoever calls has a task
        swap(loop, None)
        return declined
    failure = result = None
    try:
        put(process, _depth, depth)
        if handler is None:
            put(process, _idle, False)
            put(process, _handling, call)
            at = call.sent_at or now()  # it has lain nowhere
            put(process, _handled_since, at)
            counter = get(process, _handled)
            if counter is None:
                counter = Counter()
                put(process, _handled, counter)
            add(&(<Counter>counter).number, 1)
            scope = get(process, _process_scope)
            if not is_ready(scope):
                scope.prepare()
            kinds = load(&listened_to) & (HANDLED | CARRYING | TIMED)
            if kinds & CARRYING:
                handler = carrying(process, call, at)
            else:
                actor = get(process, _actor)
                handler = actor.handle_call(call.request, call, get(process, _state))
                if not PyCoro_CheckExact(handler):
                    handler = awaited(handler)
        else:
            put(process, _handed_over, None)
        if kinds & (HANDLED | TIMED) and not kinds & CARRYING:
            result = advance_told(process, call, handler, at, kinds)
        else:
            kinds = 0
            result = advance(get(process, _context), handler)
    except BaseException as error:
        failure = error
    finally:
        swap(loop, mine)
    if failure is not None:
        return failed(process, call, failure)
    if (
        type(result) is not tuple
        or len(<tuple>result) != 2
        or (<tuple>result)[0] is no_reply
        or type((<tuple>result)[0]) is refusal
    ):
        try:
            if type(result) is Suspended:
                if kinds:
                    handler = told_from_now_on(process, call, at, handler)
                return suspended(process, call, handler, (<Suspended>result).on)
            return hand_over(process, HandedOver(call, result=result))
        except BaseException as error:  # no memory: or the server would wait for its handler
            return failed(process, call, error)
    answer = (<tuple>result)[0]
    put(process, _state, (<tuple>result)[1])
    put(process, _handling, None)
    if get(process, _interrupted):
        put(process, _idle, False)
        if not get(mailbox, _inbox):
            put(process, _interrupted, False)  # there is nothing to do before it waits
    else:
        put(process, _idle, get(process, _exit_request) is None)
    if call.has_answered(answer):
        if mine is not None and is_to_end(home, mine):
            return pending  # it may be the handler that has cancelled its caller
        handled = <int>get(home, _handled_here)
        handled = handled + 1 if handled < budget - 1 else 0
        put(home, _handled_here, handled)
        return pending if first and handled == 0 else answer
    reply(call, answer)  # too late, which is noted there
    return pending


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
