# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""What other compiled modules of fauxtp build upon; it rests on none of them.

The attributes in the `__slots__` of a class, for compiled code that is in a hurry: Python code
finds them as it finds all attributes. How much of the stack is left, which
`fauxtp._base.stack` finds in another way. Call and Cast: `fauxtp._core.calls` says the same in
Python. Whether a coroutine function can suspend, as `fauxtp._base.coroutines` tells. Which events
somebody listens to, as in `fauxtp._base.events`.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.time cimport monotonic

from inspect import CO_COROUTINE
from opcode import opmap
from types import FunctionType, MemberDescriptorType, MethodType
from weakref import ref

from fauxtp._base.exit_reason import AT_REST, ExitReason

from fauxtp._base._build cimport fauxtp_build

__all__ = [
    "Call",
    "Cast",
    "Counter",
    "carried_now",
    "counted",
    "counter_of",
    "forget",
    "has_room",
    "insist_on_room",
    "is_free",
    "may_suspend",
    "note",
    "note_end",
    "note_start",
    "set_carrying",
    "set_hook",
    "tell",
    "wanted",
]

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030C0000
    #define fauxtp_left(thread) (thread)->recursion_remaining
    #else
    #define fauxtp_left(thread) (thread)->py_recursion_remaining
    #endif
    """
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyThreadState_Get() noexcept
    int fauxtp_left(PyThreadState *thread) noexcept

cdef extern from "Python.h":
    int Py_GetRecursionLimit() noexcept
    object PyWeakref_NewRef(object it, PyObject *callback)  # or the one that there is

cdef enum:
    MOST = 4096  # keys of a kind, and classes, as in `fauxtp._base.events`
    TO_ANSWER = 40  # calls, as in `fauxtp._base.stack`

cdef enum:
    UNDECIDED
    TAKEN, NEVER  # by its target, whether
    ANSWERED, GIVEN_UP  # what came of it


cdef Slot slot_of(type owner, str name) except *:
    """Return where to find an attribute that is in the `__slots__` of `owner`."""
    cdef Slot slot
    descriptor = owner.__dict__[name]
    if type(descriptor) is not MemberDescriptorType:
        raise TypeError(f"{owner.__name__}.{name} is no slot")
    Py_INCREF(owner)  # for good, as is the slot
    Py_INCREF(name)
    slot.owner, slot.name = <PyTypeObject *>owner, <PyObject *>name
    slot.member = (<PyMemberDescrObject *><PyObject *>descriptor).d_member
    return slot


cpdef bint has_room(int calls):
    """Return whether so many calls, one within the other, are still to be had."""
    return fauxtp_left(PyThreadState_Get()) > calls


cpdef bint is_free():
    """Return whether three quarters of the stack are left, as for code that somebody else runs."""
    return has_room(Py_GetRecursionLimit() * 3 // 4)


def insist_on_room(int calls):
    """Raise `RecursionError` unless so many calls are still to be had.

    What fails halfway, as it tells that something has happened, never tells it again.
    """
    if not has_room(calls):
        raise RecursionError(f"expected room on the stack for {calls} calls")


cdef extern from *:
    """
    #ifdef __linux__
    #include <time.h>
    #endif

    #define fauxtp_name_of(kind) PyType_GetName((PyTypeObject *)(kind))

    /* What `time.monotonic` returns, to the last bit; negative where it has to be asked. */
    static CYTHON_INLINE double fauxtp_now(void) {
    #ifdef __linux__
        struct timespec at;
        if (clock_gettime(CLOCK_MONOTONIC, &at) == 0)
            return (double)((long long)at.tv_sec * 1000000000 + at.tv_nsec) / 1e9;
    #endif
        return -1.0;
    }
    """
    object fauxtp_name_of(object kind)  # to ask for `kind.__name__` takes ten times as long
    int load "fauxtp_load"(int *those) noexcept
    void store "fauxtp_store"(int *those, int kinds) noexcept
    double fauxtp_now() noexcept


cdef double now() except? -1:
    """Return what `time.monotonic` does, which takes three times as long."""
    cdef double at = fauxtp_now()
    return monotonic() if at < 0 else at


@cython.final
@cython.freelist(64)
cdef class Counter:
    """A number that any thread may add to, whatever comes in between.

    >>> counter = Counter()
    >>> counter.add(2)
    >>> counter.value
    2
    """

    def add(self, int64_t number):
        add(&self.number, number)

    @property
    def value(self):
        return value_of(&self.number)


# How processes end: with the texts, in order
cdef enum:
    NORMAL
    BY_ERROR
    KILLED
    SHUT_DOWN
    WAYS

cdef tuple _WAYS = ("normal", "error", "killed", "shutdown")


@cython.final
@cython.internal
cdef class _Lives:
    """What there was of the processes of one class: a key for each would take twice as long."""

    cdef int64_t started, failed, handled
    cdef int64_t ended[WAYS]


cdef Slot _abnormal = slot_of(ExitReason, "abnormal")
cdef Slot _exception = slot_of(ExitReason, "exception")
cdef object at_rest = AT_REST

cdef dict _counters = {}  # by the kind, and by the whole key
cdef dict _lives = {}  # by the name of the class
cdef dict _hooks = {}  # the only one, by None: a dict can be read while another thread changes it
cdef dict _captures = {None: tuple}  # likewise
cdef int _told = 0, _beside = 0  # which kinds are wanted by the hook, and beside it


cpdef Counter counter_of(tuple key):
    """Return the counter of what has that kind and these labels."""
    cdef dict those
    found = _counters.get(key[0])
    if found is None:
        found = _counters.setdefault(key[0], {})
    those = found
    found = those.get(key)
    if found is None:
        if len(those) >= MOST:
            key = (key[0], *["_OTHER"] * (len(key) - 1))
        found = those.setdefault(key, Counter())
    return <Counter>found


cdef _Lives lives_of(object name):
    found = _lives.get(name)
    if found is None:
        if len(_lives) >= MOST:
            name = "_OTHER"
        found = _lives.setdefault(name, _Lives())
    return <_Lives>found


def label_of(kind, /):
    """Return by which name the processes of the class `kind` are counted, from now on."""
    name = fauxtp_name_of(kind)
    lives_of(name)
    return name if name in _lives else "_OTHER"


cpdef note(tuple key, pid=None, details=None):
    """Count something that has happened: its kind and its labels. Tell it, if somebody listens."""
    add(&counter_of(key).number, 1)
    if load(&listened_to):
        tell(key, pid, details)


def note_start(kind, pid, /):
    """Note that the `init` of a process is over, whose class is `kind`."""
    name = fauxtp_name_of(kind)
    add(&lives_of(name).started, 1)
    if load(&listened_to):
        tell(("started", name), pid)


def note_end(kind, pid, reason, handled, killed, asked, bint has_lived, /):
    """Note that a process has ended, whose `init` was over before if it `has_lived`.

    It has `handled` so many messages. `killed` is not None if it was killed, and `asked` is the
    reason by which it was asked to end, if it was.
    """
    cdef int way
    name = fauxtp_name_of(kind)
    lives = lives_of(name)
    if handled is not None:
        add(&lives.handled, value_of(&(<Counter>handled).number))
    if not has_lived:
        add(&lives.failed, 1)
    else:
        if get(reason, _exception) is not None:
            way = BY_ERROR
        elif killed is not None:
            way = KILLED
        elif get(reason, _abnormal) or (reason is asked and reason is not at_rest):
            way = SHUT_DOWN
        else:
            way = NORMAL  # who ends for it is idle, too
        add(&lives.ended[way], 1)
    if load(&listened_to):
        key = ("ended", name, _WAYS[way]) if has_lived else ("init_failed", name)
        tell(key, pid, {"reason": reason})


cpdef tell(key, pid=None, details=None):
    """Tell of what is not counted here, if somebody listens."""
    hook = _hooks.get(None)
    if hook is not None:
        hook(key, pid, {} if details is None else details)


def counted():
    """Return how often each has happened."""
    cdef _Lives lives
    cdef int way
    found = {}
    for those in _counters.copy().values():
        for key, counter in those.copy().items():
            found[key] = value_of(&(<Counter>counter).number)
    for name, lives in _lives.copy().items():
        found["started", name] = value_of(&lives.started)
        found["init_failed", name] = value_of(&lives.failed)
        found["handled", name] = value_of(&lives.handled)
        for way in range(WAYS):
            found["ended", name, _WAYS[way]] = value_of(&lives.ended[way])
    return {key: number for key, number in found.items() if number}


def forget():
    """Count from nothing."""
    _counters.clear()
    _lives.clear()


def set_hook(hook, int kinds, /):
    """Let `hook` be called with whatever happens, and with these kinds; None is nobody."""
    global _told
    _hooks[None] = hook
    with cython.critical_section(_hooks):
        _told = 0 if hook is None else kinds | LISTENING
        store(&listened_to, _told | _beside)


def set_carrying(capture, int kinds, /):
    """Want these kinds, too, whoever listens; `capture` returns what a call is to carry."""
    global _beside
    _captures[None] = capture
    with cython.critical_section(_hooks):
        _beside = kinds
        store(&listened_to, _told | _beside)


cpdef object carried_now():
    """Return what `set_carrying` was given says that a call is to carry."""
    return _captures[None]()


def wanted(int kinds, /):
    """Return which of these kinds are to be told."""
    return load(&listened_to) & kinds


cdef object any_function = FunctionType, any_method = MethodType
cdef object _SEND = opmap.get("SEND")  # to what is awaited, of whichever kind
cdef dict _known = {}  # functions, by weak references: whether they may, and the reference


def may_suspend(function):
    """Return False if what `function` returns, being awaited, ends without ever suspending.

    That is so if it is a coroutine function, or a method, without an `await`, an `async for`
    and an `async with`. Nothing is said of any other kind of function.
    """
    cdef tuple found
    if type(function) is any_method:
        function = function.__func__
    if type(function) is not any_function or _SEND is None:
        return True
    found = _known.get(PyWeakref_NewRef(function, NULL))
    if found is None:
        code = function.__code__
        may = not code.co_flags & CO_COROUTINE or _SEND in code.co_code[::2]
        found = _known[ref(function, _known.pop)] = may, ref(function)
    return found[0]


@cython.final
@cython.freelist(64)
cdef class Cast:
    """A request without an answer, as it lies in a mailbox. `request` is what was cast.

    >>> Cast("reset")
    Cast('reset')
    """

    cdef public object request
    cdef public double sent_at

    __match_args__ = ("request",)

    def __cinit__(self, request):
        self.request = request
        if wants(&listened_to, HANDLED):
            self.sent_at = now()

    def __repr__(self):
        return f"Cast({self.request!r})"

    def __reduce__(self):
        return Cast, (self.request,)


@cython.final
@cython.freelist(64)
cdef class Call:
    """A request that somebody waits for, as it lies in a mailbox and as `from_`.

    Its target takes it up, unless the caller has given up before; and it gets one outcome:
    an answer, an error, or that the caller gave up. All of that may happen in any thread,
    and the first wins.

    `request` is what was asked, `target` the PID that it is for, `caller` the PID that waits,
    or None if that is no process.

    >>> from fauxtp import PID
    >>> match Call("push", PID(), None):
    ...     case Call(request):
    ...         print(request)
    push
    """

    __match_args__ = ("request",)

    def __cinit__(self, request, target, caller):
        self.request = request
        self.target = target
        self.caller = caller
        if wants(&listened_to, HANDLED | CARRYING):
            self.note_sender()

    cpdef note_sender(self):
        """Note when it is sent, and what it carries: where this is called."""
        if wants(&listened_to, HANDLED):
            self.sent_at = now()
        if wants(&listened_to, CARRYING):
            with cython.critical_section(self):
                if self._outcome == UNDECIDED:
                    self._value = carried_now()

    @property
    def carried(self):
        """The values that go with it, until there is an outcome: they lie in its place."""
        with cython.critical_section(self):
            return (self._value or ()) if self._outcome == UNDECIDED else ()

    def __repr__(self):
        return f"Call({self.request!r})"

    def __reduce__(self):
        raise TypeError("cannot pickle or copy a Call: only the one that came can be answered")

    @property
    def wake(self):
        """What to call when there is an outcome, or None: set by a caller that waits."""
        with cython.critical_section(self):
            return self._wake

    @wake.setter
    def wake(self, wake):
        with cython.critical_section(self):
            self._wake = wake

    def take(self):
        """Take the call up; return False if the caller has given up before."""
        with cython.critical_section(self):
            if self._taken == UNDECIDED:
                self._taken = TAKEN
            return self._taken == TAKEN

    def pass_by(self):
        """Let its target never take it up, although its caller waits: it is for the runtime."""
        with cython.critical_section(self):
            if self._taken == UNDECIDED:
                self._taken = NEVER

    @property
    def taken(self):
        """Whether its target has taken it up."""
        with cython.critical_section(self):
            return self._taken == TAKEN

    def give_up(self):
        """Stop waiting; return False if there is an outcome already."""
        with cython.critical_section(self):
            if self._outcome == ANSWERED:
                return False
            self._outcome = GIVEN_UP
            self._value = None
            if self._taken == UNDECIDED:
                self._taken = NEVER
            return True

    def answer(self, value, error=None):
        """Give the caller `value`, or `error`; return False if it no longer waits."""
        if not has_room(TO_ANSWER):
            insist_on_room(TO_ANSWER)  # or there would be an outcome of which nobody hears
        if not self.has_answered(value, error):
            return False
        wake = self.wake
        if wake is not None:
            try:
                wake()
            except (MemoryError, SystemError):  # as in the twin
                wake()
        return True

    cpdef bint has_answered(self, object value, object error=None):
        """Do as `answer` does, for a caller that does not wait yet."""
        with cython.critical_section(self):
            if self._outcome != UNDECIDED:
                return False
            self._value, self._error = value, error
            self._outcome = ANSWERED
            return True

    def fail(self, error):
        """Raise `error` at the caller; return False if it no longer waits."""
        return self.answer(None, error)

    @property
    def settled(self):
        """Whether there is an outcome."""
        with cython.critical_section(self):
            return self._outcome != UNDECIDED

    def result(self):
        """Return the answer, or raise the error; there must be one."""
        with cython.critical_section(self):
            value, error = self._value, self._error
        if error is not None:
            raise error
        return value


# Public classes say that they are imported from `fauxtp`, as those in Python do.
cdef extern from *:
    """
    static void fauxtp_named(PyObject *kind, const char *name) {
        ((PyTypeObject *)kind)->tp_name = name;
    }
    """
    void fauxtp_named(PyObject *, const char *)


fauxtp_named(<PyObject *>Call, "fauxtp.Call")
fauxtp_named(<PyObject *>Cast, "fauxtp.Cast")


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
