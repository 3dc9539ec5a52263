# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""What other compiled modules of fauxtp build upon; it rests on none of them.

The attributes in the `__slots__` of a class, for compiled code that is in a hurry: Python code
finds them as it finds all attributes. How much of the stack is left, which
`fauxtp._base.stack` finds in another way. Call and Cast: `fauxtp._core.calls` says the same in
Python. Whether a coroutine function can suspend, as `fauxtp._base.coroutines` tells. Which events
somebody listens to, as in `fauxtp._base.events`; those who listen, and handlers that are told of,
as in `fauxtp._base.ears`, `fauxtp._base.durations` and `fauxtp._core.told_handlers`; what they are told, as
in `fauxtp.observe.event`. Names with a
prefix, as in `fauxtp._base.prefixed_names`. What is due, as in `fauxtp._loops.alarm_heap`.
"""

cimport cython
from cpython.contextvars cimport get_value, get_value_no_default
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.time cimport monotonic
from libc.stdint cimport int64_t, uint64_t

from contextvars import ContextVar
from inspect import CO_COROUTINE
from opcode import opmap
from sys import intern
from types import FunctionType, MemberDescriptorType, MethodType
from weakref import ref

from fauxtp._base.arguments import expect_some_text
from fauxtp._base.carried import MISSING
from fauxtp._base.strays import STRAYS
from fauxtp._base.own_errors import is_own
from fauxtp._base.exit_reason import AT_REST, ExitReason

from fauxtp._base._build cimport fauxtp_build

__all__ = [
    "AlarmHeap",
    "Call",
    "Cast",
    "Counter",
    "Due",
    "Ear",
    "Event",
    "Hook",
    "PrefixedNames",
    "carried_now",
    "counted",
    "counter_of",
    "durations",
    "forget",
    "forget_durations",
    "has_room",
    "insist_on_room",
    "is_free",
    "may_suspend",
    "note",
    "note_duration",
    "note_end",
    "note_start",
    "set_carrying",
    "set_hook",
    "set_timed",
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
    TO_WAKE = 16  # calls, as in `fauxtp._base.stack`
    TO_ANSWER = 40
    MOST_NAMES = 1024  # that are kept, as in `fauxtp._base.prefixed_names`
    BOUNDS = 14  # of durations, as in `fauxtp._base.durations`
    PLACES = 8

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
cdef tuple _OFTEN = ("call_begun", "call_ended", "sent", "handled")  # as the enum has them
cdef dict _hooks = {}  # whoever reads the hook, or changes it, holds this: no other thread does so meanwhile
cdef object _hook = None
cdef int _told = 0, _beside = 0, _timed = 0  # which kinds are wanted by the hook, and beside it


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
    name = name_of(kind)
    lives_of(name)
    return name if name in _lives else "_OTHER"


cpdef note(tuple key, pid=None, details=None):
    """Count something that has happened: its kind and its labels. Tell it, if somebody listens."""
    add(&counter_of(key).number, 1)
    if wants(&listened_to, LISTENING):
        tell(key, pid, details)


def note_start(kind, pid, /):
    """Note that the `init` of a process is over, whose class is `kind`."""
    name = name_of(kind)
    add(&lives_of(name).started, 1)
    if wants(&listened_to, LISTENING):
        tell(("started", name), pid)


def note_end(kind, pid, reason, handled, killed, asked, bint has_lived, /):
    """Note that a process has ended, whose `init` was over before if it `has_lived`.

    It has `handled` so many messages. `killed` is not None if it was killed, and `asked` is the
    reason by which it was asked to end, if it was.
    """
    cdef int way
    name = name_of(kind)
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
    if wants(&listened_to, LISTENING):
        key = ("ended", name, _WAYS[way]) if has_lived else ("init_failed", name)
        tell(key, pid, {"reason": reason})


cdef inline object hook_now():
    with cython.critical_section(_hooks):
        return _hook


cpdef tell(key, pid=None, details=None):
    """Tell of what is not counted here, if somebody listens."""
    hook = hook_now()
    if hook is not None:
        hook_of(hook, key, pid, {} if details is None else details)


cdef hook_of(hook, key, pid, details):
    if type(hook) is Hook:
        (<Hook>hook).tell(key, pid, details)
    else:
        hook(key, pid, details)


cdef tell_often(int how, name, pid, first, second, double seconds, double waited, error):
    """Tell of what happens again and again: as `tell` would, with details that are made later.

    `how` tells which they are, as `details_of` has them. `waited` is less than 0 if it is unknown.
    """
    cdef Event event
    cdef _Heard heard = None
    hook = hook_now()
    if type(hook) is Hook:
        heard = (<Hook>hook).often_heard(how)
        if heard is None:
            return
    elif hook is None:
        return
    event = Event.__new__(Event)
    event.how, event.label, event._pid = how, name, pid
    event.first, event.seconds, event.waited = first, seconds, waited
    if second is not None:
        event.second = second
    if error is not None:
        event.error = error
    if heard is None:
        hook((_OFTEN[how], name), pid, details_of(event))
    else:
        tell_of(hook, heard, event)


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
    global _hook
    with cython.critical_section(_hooks):
        before, _hook = _hook, hook  # which may have a finaliser: so it ends later
        store(&_told, 0 if hook is None else kinds | LISTENING)
        store(&listened_to, _told | _beside | _timed)


def set_carrying(tuple variables not None, int kinds, /):
    """Let messages carry the values of `variables`; want these kinds, too, whoever listens."""
    global _beside
    _carried[None] = _Variables(variables)
    with cython.critical_section(_hooks):
        _beside = kinds
        store(&listened_to, _told | _beside | _timed)


def set_timed(bint timed, /):
    """Let it be noted, or no longer, how long handlers take."""
    global _timed
    with cython.critical_section(_hooks):
        _timed = TIMED if timed else 0
        store(&listened_to, _told | _beside | _timed)


cpdef object carried_now():
    """Return the values that a message carries which is sent here and now."""
    cdef _Variables those = variables()
    cdef list values = those.here()
    if values is None:
        return ()
    pairs = zip(those.variables, values)
    found = tuple([pair for pair in pairs if pair[1] is not missing])
    strays = get_value(strays_here)
    if strays:
        found = tuple([it for it in found if not any([are_same(it, each) for each in strays])])
    return found


cdef bint are_same(tuple one, tuple other):
    return one[0] is other[0] and one[1] is other[1]


cdef bint nothing_here() except -1:
    """Return whether a message that is sent here and now carries nothing."""
    return variables().here() is None


def wanted(int kinds, /):
    """Return which of these kinds are to be told, or noted."""
    return load(&listened_to) & kinds


def heard(int kinds, /):
    """Return which of these kinds somebody listens to."""
    return load(&_told) & kinds


cdef bint hears(int kinds) noexcept:
    return (load(&_told) & kinds) != 0


# What messages carry

@cython.final
@cython.internal
cdef class _Variables:
    """Those whose values messages carry, and where those lie: to ask each for its own takes longer.

    A variable that has an `inner` one, a `ContextVar`, has no value where that has an empty one.
    """

    cdef tuple variables, inner

    def __cinit__(self, tuple variables):
        self.variables = variables
        self.inner = tuple([
            it if type(it) is any_variable else None
            for it in [getattr(one, "inner", one) for one in variables]
        ])

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef object value(self, Py_ssize_t place):
        variable, inner = self.variables[place], self.inner[place]
        if inner is None:
            return variable.get(missing)
        value = get_value_no_default(inner, missing)
        return value if inner is variable or value is missing or value else missing

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef list here(self):
        """Return what each has here, or `MISSING`; None if none has anything."""
        cdef Py_ssize_t place, number = len(self.variables)
        cdef list found = None
        for place in range(number):
            value = self.value(place)
            if value is not missing:
                if found is None:
                    found = [missing] * number
                found[place] = value
        return found

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef int put_back(self, list before, ways) except -1:
        """Let each have again what it had `before`, as `here` returned it, in one of the `ways`."""
        cdef Py_ssize_t place
        cdef list changed = None
        for place in range(len(self.variables)):
            had = missing if before is None else before[place]
            if self.value(place) is not had:
                changed = [] if changed is None else changed
                changed.append((self.variables[place], had))
        if changed is not None:
            ways.put_back(changed)
        return 0


cdef object missing = MISSING, strays_here = STRAYS, any_variable = ContextVar
cdef dict _carried = {None: _Variables(())}  # it can be read while another thread changes it


cdef inline _Variables variables():
    return <_Variables>_carried[None]


# Who listens

cdef extern from *:
    """
    /* A thread that has a place to itself, while it has it. */
    #ifdef Py_GIL_DISABLED
    #define fauxtp_thread_at(place) _Py_atomic_load_uint64(place)
    #define fauxtp_leave(place) _Py_atomic_store_uint64((place), 0)
    static CYTHON_INLINE int fauxtp_enter(uint64_t *place, uint64_t thread) {
        uint64_t nobody = 0;
        return _Py_atomic_compare_exchange_uint64(place, &nobody, thread);
    }
    #else
    #define fauxtp_thread_at(place) (*(place))
    #define fauxtp_leave(place) ((void)(*(place) = 0))
    static CYTHON_INLINE int fauxtp_enter(uint64_t *place, uint64_t thread) {
        if (*place != 0)
            return 0;
        *place = thread;
        return 1;
    }
    #endif

    #ifdef Py_GIL_DISABLED
    #define FAUXTP_HAS_GIL 0
    #else
    #define FAUXTP_HAS_GIL 1
    #endif

    /* `function(event)`, without its result; if it raises an error, that is left set. */
    static CYTHON_INLINE int fauxtp_call(PyObject *function, PyObject *event) {
        PyObject *result = PyObject_CallOneArg(function, event);
        Py_XDECREF(result);
        return result != NULL;
    }
    #define fauxtp_raise_set() NULL
    """
    uint64_t fauxtp_thread_at(uint64_t *place) noexcept
    bint fauxtp_enter(uint64_t *place, uint64_t thread) noexcept
    void fauxtp_leave(uint64_t *place) noexcept
    bint HAS_GIL "FAUXTP_HAS_GIL"
    bint fauxtp_call(object function, object event) noexcept
    object fauxtp_raise_set()  # what is set
    uint64_t PyThread_get_thread_ident() noexcept


@cython.final
cdef class Ear:
    """A function that listens to events of some `kinds`; if it fails, `failed` gets this ear."""

    cdef readonly object function, kinds
    cdef object failed
    cdef uint64_t first  # of the threads in which it is being told: there is seldom another
    cdef set others

    def __cinit__(self, function, kinds, failed, /):
        self.function, self.kinds, self.failed = function, kinds, failed
        self.others = set()

    cpdef hear(self, event):
        cdef uint64_t me = PyThread_get_thread_ident()
        if fauxtp_thread_at(&self.first) == me or (self.others and me in self.others):
            return  # it has caused that itself
        if not fauxtp_enter(&self.first, me):
            self.hear_beside(event, me)
        elif fauxtp_call(self.function, event):
            fauxtp_leave(&self.first)
        else:
            try:
                self.has_raised()
            finally:
                fauxtp_leave(&self.first)

    cdef hear_beside(self, event, uint64_t me):
        """Hear it while another thread does."""
        try:
            self.others.add(me)
            if not fauxtp_call(self.function, event):
                self.has_raised()
        finally:
            self.others.discard(me)

    cdef has_raised(self):
        """See to the error that is set."""
        try:
            fauxtp_raise_set()
        except BaseException as error:
            if not is_own(error):
                raise
            # One that comes at the end of the stack is not to blame for it.
            if has_room(TO_WAKE) or not isinstance(error, RecursionError):
                self.failed(self)

    def is_hearing(self):
        """Whether it is being told something in this thread."""
        cdef uint64_t me = PyThread_get_thread_ident()
        return fauxtp_thread_at(&self.first) == me or me in self.others

    def after_fork_in_child(self):
        cdef uint64_t me = PyThread_get_thread_ident()
        if fauxtp_thread_at(&self.first) != me:
            fauxtp_leave(&self.first)  # the other threads are not here
        self.others.intersection_update({me})


@cython.final
@cython.freelist(8)
cdef class Event:
    """What has happened: its kind, whose PID it is about, its labels, and its details by name.

    `pid` is that of the process, of the supervisor, or of whom a call or a message is for; None if
    there is nobody. It can be unpacked, and is equal to a tuple of the four.

    >>> from fauxtp.observe.events import Kind
    >>> Event(Kind.DEAD_LETTER, None, ("noproc",), {"to": "nobody", "message": 1}).labels
    ('noproc',)
    """

    cdef object _kind, _pid, label, _details
    cdef object first, second, error
    cdef double seconds, waited
    cdef int how  # it was made: what its label is, and which details there are to be

    __match_args__ = ("kind", "pid", "labels", "details")

    def __init__(self, kind, pid, labels, details):
        self._kind, self._pid, self.label, self._details = kind, pid, labels, details
        self.how = IN_FULL

    @property
    def kind(self):
        return self._kind

    @property
    def pid(self):
        return self._pid

    @property
    def labels(self):
        if self.how == IN_FULL:
            return self.label
        return self.label[1:] if self.how == BY_KEY else (self.label,)

    @property
    def details(self):
        with cython.critical_section(self):
            if self._details is None and self.how < BY_KEY:
                self._details = details_of(self)
            return self._details

    def __iter__(self):
        return iter(four_of(self))

    def __getitem__(self, place):
        return four_of(self)[place]

    def __len__(self):
        return 4

    def __eq__(self, other):
        if type(other) is not Event and type(other) is not tuple:
            return NotImplemented
        return four_of(self) == tuple(other)

    __hash__ = None

    def __repr__(self):
        kind, pid, labels, details = four_of(self)
        return f"Event(kind={kind!r}, pid={pid!r}, labels={labels!r}, details={details!r})"

    def __reduce__(self):
        return Event, four_of(self)


cdef tuple four_of(Event event):
    return event._kind, event._pid, event.labels, event.details


cdef dict details_of(Event event):
    if event.how == SENDING:
        return {"to": event.first, "message": event.second}
    if event.how == BEGUN:
        return {"to": event.first, "request": event.second}
    found = {"to": event.first, "request": event.second} if event.how == ENDED else {}
    if event.how == WAS_HANDLED:
        found["message"] = event.first
    found["seconds"] = event.seconds
    if event.how == WAS_HANDLED:
        found["waited"] = None if event.waited < 0 else event.waited
    found["error"] = event.error
    return found


@cython.final
@cython.internal
cdef class _Heard:
    """A kind, and who listens to it."""

    cdef object kind
    cdef Ear only  # or there are several
    cdef tuple ears

    def __cinit__(self, kind, tuple ears):
        self.kind, self.ears = kind, ears
        self.only = ears[0] if len(ears) == 1 else None


@cython.final
cdef class Hook:
    """What is called with all that happens: it tells each ear of what that listens to.

    `listening` has for the name of a kind the kind itself and who listens to it. `event` makes
    what they are told of a kind, a PID, labels and details. `tell_all` is how several are told.
    """

    cdef object tell_all
    cdef dict heard  # by the name of the kind
    cdef tuple often  # what of that is for what happens again and again

    def __cinit__(self, event, dict listening not None, tell_all, /):
        if event is not Event:
            raise TypeError(f"expected the compiled Event, got {event!r}")
        self.tell_all = tell_all
        self.heard = {intern(name): _Heard(*found) for name, found in listening.items()}
        self.often = tuple([self.heard.get(kind) for kind in _OFTEN])

    def __call__(self, tuple key, pid, details, /):
        self.tell(key, pid, details)

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef _Heard often_heard(self, int how):
        return <_Heard>self.often[how]

    cdef tell(self, tuple key, pid, details):
        cdef Event event
        found = self.heard.get(key[0])
        if found is not None:
            event = Event.__new__(Event)
            event.how, event.label, event._pid, event._details = BY_KEY, key, pid, details
            tell_of(self, <_Heard>found, event)


cdef tell_of(hook, _Heard heard, Event event):
    event._kind = heard.kind
    if heard.only is not None:
        heard.only.hear(event)
    else:
        (<Hook>hook).tell_all([(<Ear>ear).hear for ear in heard.ears], event)


# How long handlers take

@cython.final
@cython.internal
cdef class _Durations:
    """How long the handlers of one class took."""

    cdef object name
    cdef int64_t nanoseconds
    cdef int64_t buckets[BOUNDS + 1]  # the last has no bound

    def __cinit__(self, name):
        self.name = name


cdef dict _durations = {}  # by the name of the class
cdef list _recent = [None] * PLACES  # some of them, by where their names are: they are found sooner


@cython.boundscheck(False)
@cython.wraparound(False)
cdef _Durations durations_of(name):
    """Return what is noted of the class of that name, from now on."""
    cdef Py_ssize_t place = (<size_t><PyObject *>name >> 4) % PLACES
    if HAS_GIL:
        found = _recent[place]
        if found is not None and (<_Durations>found).name is name:
            return <_Durations>found
    found = _durations.get(name)
    if found is None:
        if len(_durations) >= MOST:
            name = "_OTHER"
        found = _durations.setdefault(name, _Durations(name))
    if HAS_GIL:
        _recent[place] = found
    return <_Durations>found


cpdef note_duration(name, double seconds):
    """Note how long a handler of a process took, whose class has that name."""
    cdef double bound = 0.00000095367431640625  # 2 ** -20, and then four times the one before
    cdef int place = 0
    cdef _Durations found = durations_of(name)
    while place < BOUNDS and seconds > bound:
        bound *= 4
        place += 1
    add(&found.nanoseconds, <int64_t>(seconds * 1e9))
    add(&found.buckets[place], 1)


def durations():
    """Return for each class how many took up to each bound, or longer; and all nanoseconds."""
    cdef _Durations its
    cdef int place
    return {
        name: (
            [value_of(&its.buckets[place]) for place in range(BOUNDS + 1)],
            value_of(&its.nanoseconds),
        )
        for name, its in _durations.copy().items()
    }


def forget_durations():
    """Note from nothing."""
    _durations.clear()
    _recent[:] = [None] * PLACES


# Handlers that are told of

cdef extern from *:
    """
    /* `await` asks a class by this, if it has it, without an exception for each result. */
    static void fauxtp_sends(PyObject *kind, void *function) {
        ((PyTypeObject *)kind)->tp_as_async->am_send = (sendfunc)function;
    }
    """
    void fauxtp_sends(object kind, void *function)
    int iter_send "PyIter_Send"(PyObject *iterator, PyObject *value, PyObject **answer) noexcept
    bint PyCoro_CheckExact(object thing)
    enum:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

cdef extern from "Python.h":
    void Py_CLEAR(PyObject *it)


async def _awaited(awaitable):
    return await awaitable


async def _called(handler, arguments):
    return await handler(*arguments)


cdef extern from *:
    """
    /* Its attributes take ten times as long. */
    static int fauxtp_makes_coroutines(PyObject *handler) {
        if (PyMethod_Check(handler)) handler = PyMethod_GET_FUNCTION(handler);
        return PyFunction_Check(handler)
            && (((PyCodeObject *)PyFunction_GET_CODE(handler))->co_flags & CO_COROUTINE);
    }
    """
    bint fauxtp_makes_coroutines(object handler) noexcept


cdef bint makes_coroutines(handler) noexcept:
    return fauxtp_makes_coroutines(handler)


cdef object within_it(handler, tuple arguments):
    """Return a coroutine of a handler, in which that does all it does, if it is no coroutine too."""
    return handler(*arguments) if makes_coroutines(handler) else _called(handler, arguments)


@cython.final
@cython.freelist(8)
cdef class Told:
    """Stands for a server's handlers, and for the one that it begins, for one message.

    Whoever asks it for what coroutines tell of themselves is told of that one's.
    """

    cdef Told begun(self, handling, bint has_begun=False):
        """Take on the coroutine of a handler."""
        self.handlers, self.has_begun = None, has_begun
        self.handling = handling if PyCoro_CheckExact(handling) else _awaited(handling)
        return self

    cdef Told kept(self, ways):
        """Let what is carried have again at the end what it has as the handler begins.

        `ways` are those to do so: `fauxtp._base.carrying`.
        """
        self.carried, self.ways = variables(), ways
        return self

    def handle_call(self, request, from_, state, /):
        if self.carried is not None:
            return self.begun(within_it(self.handlers.handle_call, (request, from_, state)))
        return self.begun(self.handlers.handle_call(request, from_, state))

    def handle_cast(self, request, state, /):
        if self.carried is not None:
            return self.begun(within_it(self.handlers.handle_cast, (request, state)))
        return self.begun(self.handlers.handle_cast(request, state))

    def handle_info(self, message, state, /):
        if self.carried is not None:
            return self.begun(within_it(self.handlers.handle_info, (message, state)))
        return self.begun(self.handlers.handle_info(message, state))

    def handle_task_end(self, pid, status, result, state, /):
        if self.carried is not None:
            return self.begun(within_it(self.handlers.handle_task_end, (pid, status, result, state)))
        return self.begun(self.handlers.handle_task_end(pid, status, result, state))

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value, /):
        cdef PyObject *answer = NULL
        cdef int how = sent(<PyObject *>self, <PyObject *>value, &answer)
        result = <object>answer
        Py_DECREF(result)  # it came with a reference of its own
        if how == PYGEN_RETURN:
            raise StopIteration(result)
        return result

    def throw(self, *error):
        try:
            return self.handling.throw(*error)
        except StopIteration:
            self.over(None)
            raise
        except BaseException as failure:
            self.over(failure)
            raise

    def close(self):
        self.carried = None  # it is never to end, and this may be another context
        self.handling.close()
        if self.has_begun:
            self.over(GeneratorExit())

    # Each by its name: who had a `__getattr__` would be asked for its methods by a longer way.

    @property
    def __name__(self):
        return self.handling.__name__

    @property
    def __qualname__(self):
        return self.handling.__qualname__

    @property
    def cr_await(self):
        return self.handling.cr_await

    @property
    def cr_code(self):
        return self.handling.cr_code

    @property
    def cr_frame(self):
        return self.handling.cr_frame

    @property
    def cr_origin(self):
        return self.handling.cr_origin

    @property
    def cr_running(self):
        return self.handling.cr_running

    @property
    def cr_suspended(self):
        return self.handling.cr_suspended

    cdef over(self, error):
        """Tell, or note, that the handler has ended: by `error`, or well."""
        cdef int wanted = self.wanted
        carried, self.carried = self.carried, None
        if carried is not None and self.has_begun:
            (<_Variables>carried).put_back(self.before, self.ways)
        if wanted:  # else that was before
            self.wanted = 0
            message, self.message = self.message, None
            has_handled(self.kind, self.pid, message, self.began, self.sent_at, wanted, error)


cdef has_handled(kind, pid, message, double began, double sent_at, int wanted, error):
    """Tell, or note, what is wanted of a handler that has ended: by `error`, or well."""
    cdef double seconds = now() - began
    name = name_of(kind)
    if wanted & TIMED:
        note_duration(name, seconds)
    if wanted & HANDLED:
        if type(message) is Call:
            sent_at = (<Call>message).sent_at
        elif type(message) is Cast:
            sent_at = (<Cast>message).sent_at
        tell_often(
            WAS_HANDLED, name, pid, message, None, seconds, lain(began, sent_at), error
        )


cdef double lain(double began, double sent_at) noexcept:
    """Return how long a message has lain in the mailbox; less than 0 if that is not known."""
    if not sent_at:
        return -1
    return began - sent_at if began > sent_at else 0


cdef int sent(PyObject *it, PyObject *value, PyObject **answer) except -1:
    """Let the handler go on, as `PyIter_Send` does; tell of its end."""
    cdef Told told = <Told>it
    cdef int how
    answer[0] = NULL
    if not told.has_begun:
        told.has_begun = True
        if told.carried is not None:
            begin_as_it_is(told)
    how = iter_send(<PyObject *>told.handling, value, answer)
    if how == PYGEN_ERROR:
        failed(told)
    elif how == PYGEN_RETURN:
        try:
            told.over(None)
        except:
            Py_CLEAR(answer[0])
            raise
    return how


cdef int begin_as_it_is(Told told) except -1:
    """Note what is carried where a handler begins that was brought nothing."""
    if get_value(strays_here):
        told.carried = None
        told.handling = told.ways.beside_strays(told.handling)
    else:
        told.before = (<_Variables>told.carried).here()
    return 0


cdef int failed(Told told) except -1:
    try:
        fauxtp_raise_set()
    except BaseException as error:
        told.over(error)
        raise
    return 0


fauxtp_sends(Told, <void *>sent)


cdef Told told_of(kind, pid, message, handlers, double began, double sent_at):
    """Return who stands for `handlers`, for a `message` that was begun with at that time.

    It was `sent_at` that time, if it does not know that itself; 0 is not known.
    """
    cdef Told told = Told.__new__(Told)
    told.kind, told.pid, told.message, told.handlers = kind, pid, message, handlers
    told.began, told.sent_at, told.wanted = began, sent_at, load(&listened_to) & (HANDLED | TIMED)
    return told


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


cdef bint brings_nothing(Call call) except -1:
    """Return whether no values go with `call`."""
    with cython.critical_section(call):
        return call._outcome != UNDECIDED or not call._value


# Names with a prefix

cdef extern from "Python.h":
    object PyUnicode_Concat(object left, object right)


cdef class PrefixedNames:
    """Names of one kind, a subclass of str: `names[key]` is `kind(prefix + key)`.

    Whoever has asked for one will do so again, soon: so some are kept, until they are too many.

    >>> PrefixedNames(str, "session:")["anna"]
    'session:anna'
    """

    cdef object kind_of_name
    cdef str prefix
    cdef dict kept

    def __init__(self, kind, str prefix not None, /):
        self.kind_of_name, self.prefix, self.kept = kind, prefix, {}

    def __getitem__(self, key, /):
        """Return the address for `key`.

        Raises `TypeError` if `key` is no str, and `ValueError` if it is empty.
        """
        name = self.kept.get(key) if type(key) is str else None
        return self.made(key) if name is None else name

    cdef made(self, key):
        cdef str text = key if type(key) is str and key else expect_some_text("key", key)
        if len(self.kept) >= MOST_NAMES:
            self.kept.clear()
        name = self.kept[text] = self.kind_of_name(PyUnicode_Concat(self.prefix, text))
        return name


# What is due

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject **ob_item


cdef class Due:
    """What goes off at its time: it keeps something until then, unless somebody takes that.

    Any thread may take it, and one of them gets it: so that decides what becomes of an alarm.
    `due` is its time on the clock of the event loop, and not changed while it lies in a heap.
    """

    cdef public double due
    cdef int64_t _number
    cdef object _kept

    def __cinit__(self):
        self._kept = missing

    def keep(self, what, /):
        """Have it keep `what`; it keeps nothing yet."""
        with cython.critical_section(self):
            self._kept = what

    def kept(self):
        """Return what it keeps; `MISSING` is nothing."""
        with cython.critical_section(self):
            return self._kept

    def take(self):
        """Return what it keeps, which it does not from then on; `MISSING` is nothing."""
        with cython.critical_section(self):
            what, self._kept = self._kept, missing
        return what

    def go_off(self):
        """Do what is due: whoever runs the alarms calls this."""
        raise NotImplementedError


cdef inline bint is_before(PyObject *one, PyObject *other) noexcept:
    if (<Due>one).due != (<Due>other).due:
        return (<Due>one).due < (<Due>other).due
    return (<Due>one)._number < (<Due>other)._number


cdef void sift_up(PyObject **heap, Py_ssize_t place) noexcept:
    """Let what lies at the end, at this place, rise to where it belongs."""
    cdef PyObject *it = heap[place]
    cdef Py_ssize_t above
    while place > 0:
        above = (place - 1) >> 1
        if not is_before(it, heap[above]):
            break
        heap[place] = heap[above]
        place = above
    heap[place] = it


cdef void sift_down(PyObject **heap, Py_ssize_t place, Py_ssize_t many) noexcept:
    """Let what lies at this place of so many sink to where it belongs."""
    cdef PyObject *it = heap[place]
    cdef Py_ssize_t below = 2 * place + 1
    while below < many:
        if below + 1 < many and is_before(heap[below + 1], heap[below]):
            below += 1
        if not is_before(heap[below], it):
            break
        heap[place] = heap[below]
        place, below = below, 2 * below + 1
    heap[place] = it


@cython.final
cdef class AlarmHeap:
    """What is due in one event loop; it is asked and changed there only.

    A finaliser may set or cancel an alarm on any line: so whatever is done to the list here is
    one call of a function in C that calls nothing else.
    """

    cdef list _heap
    cdef int64_t _number

    def __cinit__(self):
        self._heap = []

    def __len__(self):
        return len(self._heap)

    def push(self, Due alarm not None, /):
        """Put in an alarm that does not lie here."""
        alarm._number = self._number
        self._number += 1
        self._heap.append(alarm)
        sift_up((<PyListObject *>self._heap).ob_item, len(self._heap) - 1)

    def first(self):
        """Return when the first is due, if there is one."""
        return (<Due>self._heap[0]).due if self._heap else None

    def mark(self):
        """Return what tells `pop` to leave what is put in from now on."""
        return self._number

    def pop(self, double now, int64_t mark, /):
        """Take out and return the first that is due `now`, and was put in before the `mark`."""
        cdef Py_ssize_t last = len(self._heap) - 1
        cdef PyObject **heap = (<PyListObject *>self._heap).ob_item
        if last < 0 or (<Due>heap[0]).due > now or (<Due>heap[0])._number >= mark:
            return None
        heap[0], heap[last] = heap[last], heap[0]
        sift_down(heap, 0, last)
        return self._heap.pop()

    def throw_out(self):
        """Take out all that keep nothing any more."""
        cdef Py_ssize_t place, many = 0
        cdef PyObject **heap = (<PyListObject *>self._heap).ob_item
        for place in range(len(self._heap)):
            if (<Due>heap[place])._kept is not missing:
                heap[many], heap[place] = heap[place], heap[many]
                many += 1
        for place in range(many // 2 - 1, -1, -1):
            sift_down(heap, place, many)
        del self._heap[many:]


# Public classes say that they are imported from `fauxtp`, as those in Python do.
cdef extern from *:
    """
    static void fauxtp_named(PyObject *kind, const char *name) {
        ((PyTypeObject *)kind)->tp_name = name;
    }
    """
    void fauxtp_named(PyObject *, const char *)


fauxtp_named(<PyObject *>Call, "fauxtp.Call")
fauxtp_named(<PyObject *>Event, "fauxtp.observe.event.Event")
fauxtp_named(<PyObject *>Cast, "fauxtp.Cast")


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
