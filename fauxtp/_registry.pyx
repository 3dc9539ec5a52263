# cython: language_level=3
# cython: freethreading_compatible=True
# cython: binding=False, auto_pickle=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The registry, compiled. `_registry_py.py` says the same in Python, and shorter.

A registry is one dict, name -> PID, and what each PID remembers of its names; and beside it
groups, each a dict of its members.

Readers take no lock. A look-up is a single operation on a dict whose keys are exact
`str`, so it runs no code but the interpreter's own, and it always answers with a strong
reference. On a free-threaded interpreter dicts are safe to read beside a writer.

Writers take `_lock`, one for all registries, and hold it for a few dict operations. It is
not re-entrant, so under it nothing may happen that could run somebody's Python code:

- keys are exact `str` (a subclass is converted before), PIDs hash and compare in C;
- no object that a finaliser or a weak reference may watch loses its last reference: whoever
  takes one out of a table also holds it in a local, which goes when the lock is released;
- nothing is allocated that the cycle collector tracks, as on CPython 3.11 an allocation may
  start a collection on the spot. A dict that may be needed is made beforehand (`_Spare`);
- nothing is raised but `MemoryError`, and that only when the table is what it was.

To end a process is to drop its names, so a PID must know them. The PID itself keeps those
of one registry, its home: `None`, or the one name, or a dict of names in their order. That
costs no table at all. The first registry that names a PID becomes its home. A second one
keeps the names of such a guest in a dict of its own. What groups a PID is in, each registry
keeps in a dict.

Whoever asks for the names that begin with some text lets a large table keep them in order, as
`OrderedNames`, which is never changed, and a list of the names that came or went since. When they
are asked for again, another `OrderedNames` is made of both. Who never asks pays nothing.

Whoever follows the names has their news, a row of links to which each change adds one in its step:
it is made before, as that takes memory. Each who follows has a place in that row. It is told once
of what it waits for, and now and then of the rest, so that it does not keep what it has no use for.

A group is read as a tuple that stands in a table of its own until the group changes: so a read
is a look-up. Under the lock such a tuple is never out of date, so where it is dropped, all that
it holds is held by the group, or by who takes it out of that.
"""

cimport cython
from cpython.object cimport Py_EQ, Py_GE, Py_GT, Py_LE, Py_LT, Py_NE, PyObject
from cpython.unicode cimport PyUnicode_Check, PyUnicode_CheckExact

import os
import sys
import threading
import weakref
from types import BuiltinMethodType, FunctionType, MethodType

from fauxtp._base.errors import NoProcess
from fauxtp._base.tell_all import tell_all

from fauxtp._base._build cimport fauxtp_build

__all__ = [
    "Lookup",
    "PID",
    "News",
    "Ref",
    "Registry",
    "count",
    "default",
    "groups",
    "members",
    "quick",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
    "withdraw",
]


cdef extern from *:
    """
    /* Serial numbers, unique over all threads. Only a free-threaded build needs the atomic. */
    static inline uint64_t fauxtp_next(uint64_t *counter) {
    #ifdef Py_GIL_DISABLED
        return _Py_atomic_add_uint64(counter, 1) + 1;
    #else
        return ++*counter;
    #endif
    }

    /* What `name` means in `table`, or None, as a new reference. NULL, with no error set, says
       that `name` is no plain name and wants a closer look; with exact str for keys nothing can
       fail. The table is a bare pointer: its reference count is shared by all threads, so no
       look-up should touch it. */
    static inline PyObject *fauxtp_find(PyObject *table, PyObject *name) {
        PyObject *found;
        if (!PyUnicode_CheckExact(name)) return NULL;
    #ifdef Py_GIL_DISABLED
        if (PyDict_GetItemRef(table, name, &found) > 0) return found;
    #else
        found = PyDict_GetItemWithError(table, name);
        if (found != NULL) return Py_NewRef(found);
    #endif
        if (PyUnicode_GET_LENGTH(name) == 0) return NULL;
        Py_RETURN_NONE;
    }

    /* What `name` means if it is of a subclass of str that hashes and compares as every str does:
       no code of anybody's is run, and no copy is needed. NULL, with no error set, if it is none. */
    static inline PyObject *fauxtp_find_like(PyObject *table, PyObject *name) {
        PyObject *found;
        PyTypeObject *kind = Py_TYPE(name);
        if (!PyUnicode_Check(name) || kind->tp_hash != PyUnicode_Type.tp_hash
                || kind->tp_richcompare != PyUnicode_Type.tp_richcompare
                || PyUnicode_GET_LENGTH(name) == 0)
            return NULL;
    #ifdef Py_GIL_DISABLED
        if (PyDict_GetItemRef(table, name, &found) > 0) return found;
    #else
        found = PyDict_GetItemWithError(table, name);
        if (found != NULL) return Py_NewRef(found);
    #endif
        Py_RETURN_NONE;
    }

    #define fauxtp_owned(reference) (reference)

    /* What stands under `key`, or None, as a new reference. */
    static inline PyObject *fauxtp_get(PyObject *table, PyObject *key) {
        PyObject *found;
    #ifdef Py_GIL_DISABLED
        if (PyDict_GetItemRef(table, key, &found) > 0) return found;
    #else
        found = PyDict_GetItemWithError(table, key);
        if (found != NULL) return Py_NewRef(found);
    #endif
        Py_RETURN_NONE;
    }

    /* On a free-threaded build a look-up takes a reference to the key that it compares with and
       to the value. Unless they are told so, a thread that did not make them locks the dict. */
    static inline void fauxtp_make_shareable(PyObject *name, PyObject *pid) {
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
        PyUnstable_EnableTryIncRef(name);
        PyUnstable_EnableTryIncRef(pid);
    #else
        (void)name, (void)pid;
    #endif
    }

    /* A dict that only ever had str for keys keeps no hashes beside them. Where there is no GIL, a
       look-up that meets another name on its way takes a reference to it, so as to compare, and
       fights for its count with whoever looks that one up. So let the dict have had another. */
    static inline int fauxtp_keep_hashes(PyObject *table) {
    #ifdef Py_GIL_DISABLED
        if (PyDict_SetItem(table, Py_None, Py_None) < 0) return -1;
        return PyDict_DelItem(table, Py_None);
    #else
        (void)table;
        return 0;
    #endif
    }

    /* The method that a descriptor is of, for another class. */
    static inline PyObject *fauxtp_method_of(PyObject *cls, PyObject *descriptor) {
        return PyDescr_NewMethod(
            (PyTypeObject *)cls, ((PyMethodDescrObject *)descriptor)->d_method);
    }

    /* Threads that use one object fight for its reference count; defer the counting. */
    static inline void fauxtp_defer_refcount(PyObject *shared) {
    #if PY_VERSION_HEX >= 0x030E0000
        PyUnstable_Object_EnableDeferredRefcount(shared);
    #else
        (void)shared;
    #endif
    }
    """
    ctypedef unsigned long long uint64_t
    uint64_t fauxtp_next(uint64_t *counter) noexcept
    PyObject *fauxtp_find(PyObject *table, PyObject *name) noexcept
    PyObject *fauxtp_find_like(PyObject *table, PyObject *name) noexcept
    object fauxtp_owned(PyObject *reference)  # from now on counted as every other object
    object fauxtp_get(object table, object key)
    void fauxtp_make_shareable(PyObject *name, PyObject *pid) noexcept
    int fauxtp_keep_hashes(object table) except -1
    object fauxtp_method_of(object cls, object descriptor)
    void fauxtp_defer_refcount(PyObject *shared) noexcept


# The dict operations of the writers. They report failure by their answer, not by raising.
cdef extern from "Python.h":
    int PyDict_Contains(object table, object key) noexcept
    PyObject *PyDict_GetItemWithError(object table, object key) noexcept
    int PyDict_SetItem(object table, object key, object value) noexcept
    int PyDict_DelItem(object table, object key) noexcept
    bint PyDict_Next(object table, Py_ssize_t *at, PyObject **key, PyObject **value) noexcept
    list PyDict_Keys(object table)
    list PyDict_Values(object table)
    tuple PyList_AsTuple(list items)
    int PyList_Append(object items, object item) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    Py_ssize_t PyUnicode_Tailmatch(
        object text, object part, Py_ssize_t start, Py_ssize_t end, int direction
    ) noexcept
    Py_ssize_t PY_SSIZE_T_MAX
    void PyErr_Clear() noexcept


cdef cython.pymutex _lock
cdef uint64_t _serials = 0
cdef uint64_t _created = 0  # registries, ever
cdef uint64_t _followed = 0  # groups that somebody has begun to follow, ever
cdef Py_ssize_t CHUNK = 1 << 15  # names that are copied in one go, in well under a millisecond
cdef Py_ssize_t ALL = -1
FEW = 1000  # names: it is quicker to look at all than to keep them in order
cdef Py_ssize_t TOUCHED = 1000  # names that may be touched, beside half of them
EACH = 1000  # names that come and go, and who follows them is told whichever they are
_watch_lock = threading.RLock()  # of those who watch and unwatch, who may run Python code
_registries = weakref.WeakValueDictionary()  # every living Registry, for retire()
cdef dict _every = _registries.data


def _after_fork_in_child():
    global _watch_lock
    cdef Registry registry
    _watch_lock = threading.RLock()
    # The thread that held the lock is not here. What it left is valid at every moment.
    if _lock.locked():
        _lock.release()
    for registry in _living():
        registry._named = None  # who follows the names lives in an event loop, which is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef _left_by_nobody(lock):
    """Return `lock`, or another one at the end of the interpreter.

    By then no other thread runs; and one that was frozen with the lock never gives it back.
    """
    return threading.RLock() if sys.is_finalizing() else lock


# Identities


cdef class _Identity:
    """What PID and Ref share: a serial number, and nothing else that could be looked at."""

    def __cinit__(self):
        self._serial = fauxtp_next(&_serials)

    def __init__(self):
        pass  # refuses arguments

    def __hash__(self):
        return <Py_hash_t>self._serial

    def __richcmp__(self, other, int op):
        if self is other:
            return op in (Py_EQ, Py_LE, Py_GE)
        if type(self) is not type(other):
            return NotImplemented
        if op == Py_EQ:
            return False
        if op == Py_NE:
            return True
        older = (<_Identity>self)._serial < (<_Identity>other)._serial
        return older if op in (Py_LT, Py_LE) else not older

    def __repr__(self):
        if type(self) is PID:  # the name of a type would be made anew each time
            return f"<PID {self._serial}>"
        return f"<Ref {self._serial}>"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo, /):
        return self

    def __reduce__(self):
        raise TypeError(
            f"cannot pickle a {type(self).__name__}: it means something in this process only"
        )


@cython.final
@cython.no_gc  # holds nothing but exact str, so it is in no cycle
cdef class PID(_Identity):
    """The identity of a process: opaque, immutable, equal to itself only.

    `PID()` makes a fresh one. PIDs can be dict keys, are ordered by age, and can be weakly
    referenced. A copy is the same object. Pickling raises `TypeError`: elsewhere, a PID
    would mean nothing.

    >>> from copy import deepcopy
    >>> older, younger = PID(), PID()
    >>> older == younger, older < younger, deepcopy(older) is older
    (False, True, True)
    """


@cython.final
cdef class Ref(_Identity):
    """A unique reference, as to one monitor or one request.

    Like a `PID`, it is opaque, immutable, a possible dict key, ordered by age, and equal
    to itself only.

    >>> Ref() == Ref()
    False
    """


# What comes in


cdef object _unexpected(parameter, expected, came):
    from fauxtp._base.arguments import unexpected  # seldom needed

    return unexpected(parameter, f"a {expected}", came)


cdef str _plain(name, parameter):
    """Return the exact str that `name` stands for."""
    if PyUnicode_CheckExact(name):
        return <str>name
    if not PyUnicode_Check(name):
        raise _unexpected(parameter, "str", name)
    return str.__str__(name)


cdef inline str _name(name):
    if not PyUnicode_CheckExact(name):
        name = _plain(name, "name")
    if PyUnicode_GET_LENGTH(name) == 0:
        raise ValueError("expected name to have at least one character, got ''")
    return <str>name


cdef str _group(group):
    cdef str name = _plain(group, "group")
    if PyUnicode_GET_LENGTH(name) == 0:
        raise ValueError("expected group to have at least one character, got ''")
    return name


cdef inline PID _pid(pid, parameter="pid"):
    if type(pid) is not PID:
        raise _unexpected(parameter, "PID", pid)
    return <PID>pid


cdef _callable(callback, parameter):
    if not callable(callback):
        from fauxtp._base.arguments import no_function

        raise no_function(parameter, "a function", callback)


# Names and groups, and who follows them


@cython.final
@cython.trashcan(True)  # who goes on late has a long row of them
cdef class News:
    """A change of names or of a group, and what came after it.

    See `Registry.follow_names` and `Registry.follow`. `came` says whether `pid` has got the
    `names`, or lost them; of a group, whether it has joined or left it, and `names` is how that is
    called. `reason` is what `withdraw` was told, or None. `number` is how many names have come and
    gone with it. `next` is the next change, or None so far.

    >>> registry, pid = Registry(), PID()
    >>> _, news = registry.follow("workers", list)
    >>> registry.join("workers", pid)
    True
    >>> news.next.names, news.next.came, news.next.next
    (['workers'], True, None)
    """

    cdef readonly bint came
    cdef readonly PID pid
    cdef readonly object reason
    cdef readonly uint64_t number
    cdef object _names  # as a PID keeps them
    cdef News _next
    cdef News _before  # until the lock is released, as its reason may be watched
    cdef bint _is_awaited  # somebody is to be told

    def __init__(self):
        raise TypeError("cannot create 'fauxtp.News' instances")

    @property
    def names(self):
        return _listed(self._names)

    @property
    def next(self):
        with _lock:
            news = self._next
        return news


cdef News _news(bint came, str name, PID pid, reason):
    cdef News news = News.__new__(News)
    news.came, news._names, news.pid, news.reason = came, name, pid, reason
    return news


@cython.final
cdef class _Channel:
    """The latest news of a group, or of the names, and who listens for more, by what they are."""

    cdef News last
    cdef dict listeners  # or followers of the names

    def __cinit__(self, str name):
        self.last, self.listeners = _news(False, name, None, None), {}


@cython.final
cdef class _Follower:
    """Who is told of names that begin with a text: see `Registry.follow_names`."""

    cdef str prefix
    cdef object listener
    cdef bint waits  # it has not been told since it asked
    cdef uint64_t due, each  # of which news it is told in any case, and of which after these


@cython.final
cdef class _Teller:
    """Tells who follows the names of a registry what has become of them."""

    cdef Registry registry
    cdef News news

    def __call__(self):
        _tell_of(self.registry, self.news)


@cython.final
cdef class _Notice:
    """What is to be told of a change, and to whom: made before, as that takes memory."""

    cdef uint64_t moves, followings  # of the registry, as it is made
    cdef list channels, news  # as many of one as of the other
    cdef list listeners
    cdef News named  # of the names, if somebody follows them

    def __cinit__(self, Registry registry):
        self.channels, self.news, self.listeners = [], [], []
        with _lock:
            self.moves, self.followings = registry._moves, registry._followings


cdef _Notice _notice(Registry registry, bint came, str group, PID pid):
    """Prepare to tell of one change; None says that nobody follows the group."""
    cdef _Notice notice = None
    channel = fauxtp_get(registry._channels, group)
    if channel is not None:
        notice = _Notice(registry)
        _add_news(notice, <_Channel>channel, came, group, pid, None)
    return notice


cdef _add_news(_Notice notice, _Channel channel, bint came, str group, PID pid, reason):
    notice.channels.append(channel)
    notice.news.append(_news(came, group, pid, reason))
    notice.listeners += PyDict_Values(channel.listeners)


cdef _Teller _teller(Registry registry, News news):
    cdef _Teller teller = _Teller()
    teller.registry, teller.news = registry, news
    return teller


cdef list _notices(list registries, PID pid, reason):
    """Prepare to tell that `pid` loses all names and groups: as many as there are registries."""
    cdef list notices = []
    cdef Registry registry
    cdef _Notice notice
    for registry in registries:
        notice = _Notice(registry)
        for group in _listed(fauxtp_get(registry._memberships, pid)):
            channel = fauxtp_get(registry._channels, group)
            if channel is not None:
                _add_news(notice, <_Channel>channel, False, group, pid, reason)
        notice.named = _news(False, None, pid, reason) if registry._named is not None else None
        if notice.named is not None:
            notice.listeners.append(_teller(registry, notice.named))
        notices.append(notice)
    return notices


cdef tuple _who_is_told(list notices):
    cdef list told = []
    for notice in notices:
        told += (<_Notice>notice).listeners
    return tuple(told)


# Under the lock. Nothing here raises or runs Python code; see the top of the file.


cdef enum Outcome:
    REFUSED
    DONE
    EXITED
    NEEDS_SPARE  # try again with a new dict
    AGAIN  # try again, as something came in between
    NO_MEMORY


cdef Outcome _claim(Registry registry, str name, PID pid, dict spare) noexcept:
    """Let `pid` know that it is called `name`."""
    cdef PyObject *known
    if pid._home == registry._serial:
        if type(pid._names) is dict:
            return _add(pid._names, name)
        if spare is None:
            return NEEDS_SPARE
        if _add(spare, pid._names) is not DONE or _add(spare, name) is not DONE:
            return NO_MEMORY
        pid._names = spare
        return DONE
    known = PyDict_GetItemWithError(registry._guests, pid)
    if known is not NULL:
        return _add(<dict>known, name)
    if pid._home == 0:
        pid._home = registry._serial
        pid._names = name
        return DONE
    if spare is None:
        return NEEDS_SPARE
    if _add(spare, name) is not DONE or PyDict_SetItem(registry._guests, pid, spare) < 0:
        PyErr_Clear()
        return NO_MEMORY
    return DONE


cdef Outcome _add(dict names, str name) noexcept:
    if PyDict_SetItem(names, name, None) < 0:
        PyErr_Clear()
        return NO_MEMORY
    return DONE


cdef void _disclaim(Registry registry, str name, PID pid) noexcept:
    """Undo `_claim`."""
    cdef dict names
    if pid._home != registry._serial:
        names = <dict>PyDict_GetItemWithError(registry._guests, pid)
        PyDict_DelItem(names, name)
        if not names:
            PyDict_DelItem(registry._guests, pid)
        return
    if type(pid._names) is dict:
        PyDict_DelItem(pid._names, name)
        if <dict>pid._names:
            return
    pid._names = None
    pid._home = 0


cdef Outcome _enter(Registry registry, str name, PID pid, dict spare, News news) noexcept:
    cdef Outcome outcome
    if pid._exited:
        return EXITED
    if PyDict_Contains(registry._table, name):
        return REFUSED
    if registry._noted and registry._named is not None and news is None:
        return NEEDS_SPARE
    # The claim first: a name that its process does not know would outlive it.
    outcome = _claim(registry, name, pid, spare)
    if outcome is not DONE:
        return outcome
    if PyDict_SetItem(registry._table, name, pid) < 0:
        PyErr_Clear()
        _disclaim(registry, name, pid)
        return NO_MEMORY
    registry._changes += 1
    if registry._noted:
        _note(registry, name, news)
    return DONE


cdef void _note(Registry registry, str name, News news) noexcept:
    """Let those know that `name` has come or gone who have asked about names."""
    if registry._touched is not None:
        _touch(registry, name)
    if news is not None:
        _post_names(registry, news, name, 1)


cdef void _post_names(Registry registry, News news, names, uint64_t count) noexcept:
    """Let the news come after those before, if somebody follows the names."""
    cdef _Channel channel
    if registry._named is None:
        return
    channel = <_Channel>registry._named
    news._names = names
    news.number = channel.last.number + count
    news._is_awaited = _is_awaited(channel, news)
    news._before = channel.last
    channel.last._next = news
    channel.last = news


cdef bint _is_awaited(_Channel channel, News news) noexcept:
    """Whether somebody who follows the names is to hear of these."""
    cdef PyObject *follower = NULL
    cdef Py_ssize_t at = 0
    while PyDict_Next(channel.listeners, &at, NULL, &follower):
        if _is_for(<_Follower>follower, news):
            return True
    return False


cdef bint _is_for(_Follower follower, News news) noexcept:
    cdef PyObject *name = NULL
    cdef Py_ssize_t at = 0
    if news.number >= follower.due:
        return True
    if not follower.waits:
        return False
    if type(news._names) is not dict:
        return _begins_so(<PyObject *>news._names, follower.prefix)
    while PyDict_Next(news._names, &at, &name, NULL):
        if _begins_so(name, follower.prefix):
            return True
    return False


cdef inline bint _begins_so(PyObject *name, str prefix) noexcept:
    return PyUnicode_Tailmatch(<object>name, prefix, 0, PY_SSIZE_T_MAX, -1) > 0


cdef void _touch(Registry registry, str name) noexcept:
    """Note that `name` has come or gone; if that is too much to note, keep no order any more."""
    cdef Py_ssize_t most = TOUCHED + len(registry._table) // 2
    if PyList_Append(registry._touched, name) < 0:
        PyErr_Clear()
        registry._touched = None
    elif len(registry._touched) > most:
        registry._touched = None


cdef inline PID _leave(Registry registry, str name, PID expected, News news):
    """Take `name` out; return who held it, for the caller to keep until after the lock."""
    cdef PyObject *found = PyDict_GetItemWithError(registry._table, name)
    if found is NULL or (expected is not None and found is not <PyObject *>expected):
        return None
    holder = <PID>found
    PyDict_DelItem(registry._table, name)
    _disclaim(registry, name, holder)
    registry._changes += 1
    if registry._noted:
        if news is not None:
            news.pid = holder
        _note(registry, name, news)
    return holder


cdef Outcome _pass_on(
    Registry registry, str name, PID holder, PID successor, dict spare, News gone, News come
) noexcept:
    cdef Outcome outcome
    if successor._exited:
        return EXITED
    if PyDict_GetItemWithError(registry._table, name) is not <PyObject *>holder:
        return REFUSED
    if holder is successor:
        return DONE
    if registry._named is not None and come is None:
        return NEEDS_SPARE
    outcome = _claim(registry, name, successor, spare)
    if outcome is DONE:
        PyDict_SetItem(registry._table, name, successor)  # the key is there: needs no memory
        _disclaim(registry, name, holder)
        registry._changes += 1  # for whoever has looked at the names of one of them
        if come is not None:
            _post_names(registry, gone, name, 1)
            _post_names(registry, come, name, 1)
    return outcome


cdef void _take_all(Registry registry, PID pid, News news) noexcept:
    """Take out all names of `pid`."""
    cdef Py_ssize_t at = 0
    cdef PyObject *name = NULL
    cdef object names = _known(registry, pid)
    if pid._home == registry._serial:
        pid._names = None
        pid._home = 0
    elif names is not None:
        PyDict_DelItem(registry._guests, pid)
    if type(names) is dict:
        while PyDict_Next(names, &at, &name, NULL):
            _drop(registry, <str>name)
    elif names is not None:
        _drop(registry, <str>names)
    if names is not None:
        registry._changes += 1
        if news is not None:
            _post_names(registry, news, names, len(<dict>names) if type(names) is dict else 1)


cdef void _drop(Registry registry, str name) noexcept:
    PyDict_DelItem(registry._table, name)
    if registry._touched is not None:
        _touch(registry, name)


cdef object _known(Registry registry, PID pid):
    """Return the names of `pid` as it keeps them: None, a str, or a dict."""
    if pid._home == registry._serial:
        return pid._names
    if PyDict_Contains(registry._guests, pid):
        return <object>PyDict_GetItemWithError(registry._guests, pid)
    return None


cdef Outcome _join(
    Registry registry, str group, PID pid, dict members, dict mine, _Notice notice
) noexcept:
    """Let `pid` be in `group`; `members` and `mine` are dicts for where there is none yet."""
    cdef PyObject *known = PyDict_GetItemWithError(registry._groups, group)
    cdef PyObject *others = PyDict_GetItemWithError(registry._memberships, pid)
    if pid._exited:
        return EXITED
    if known is not NULL and PyDict_Contains(<dict>known, pid):
        return REFUSED
    if (known is NULL and members is None) or (others is NULL and mine is None):
        return NEEDS_SPARE
    if not _is_right(registry, group, notice):
        return AGAIN
    # What the PID knows comes first: a group that it does not know would keep it for ever.
    if others is not NULL:
        mine = <dict>others
    if _add(mine, group) is not DONE:
        return NO_MEMORY
    if others is NULL and PyDict_SetItem(registry._memberships, pid, mine) < 0:
        PyErr_Clear()
        return NO_MEMORY
    if _add_member(registry, group, pid, members) is not DONE:
        _forget_group(registry, group, pid)
        return NO_MEMORY
    _moved(registry, group)
    _post(notice)
    return DONE


cdef Outcome _add_member(Registry registry, str group, PID pid, dict members) noexcept:
    cdef PyObject *known = PyDict_GetItemWithError(registry._groups, group)
    cdef dict others = members if known is NULL else <dict>known
    if PyDict_SetItem(others, pid, None) < 0:
        PyErr_Clear()
        return NO_MEMORY
    if known is NULL and PyDict_SetItem(registry._groups, group, members) < 0:
        PyErr_Clear()
        return NO_MEMORY
    return DONE


cdef Outcome _part(Registry registry, str group, PID pid, _Notice notice) noexcept:
    """Take `pid` out of `group`."""
    cdef PyObject *known = PyDict_GetItemWithError(registry._groups, group)
    if known is NULL or not PyDict_Contains(<dict>known, pid):
        return REFUSED
    if not _is_right(registry, group, notice):
        return AGAIN
    _take_out(registry, group, pid)
    _forget_group(registry, group, pid)
    _post(notice)
    return DONE


cdef void _take_out(Registry registry, str group, PID pid) noexcept:
    cdef dict members = <dict>PyDict_GetItemWithError(registry._groups, group)
    PyDict_DelItem(members, pid)
    if not members:
        PyDict_DelItem(registry._groups, group)
    _moved(registry, group)


cdef void _moved(Registry registry, str group) noexcept:
    """Note that another has come or gone: what was asked for before is out of date."""
    registry._moves += 1
    if PyDict_Contains(registry._views, group):
        PyDict_DelItem(registry._views, group)


cdef void _forget_group(Registry registry, str group, PID pid) noexcept:
    """Let `pid` no longer know that it is in `group`."""
    cdef dict mine = <dict>PyDict_GetItemWithError(registry._memberships, pid)
    PyDict_DelItem(mine, group)
    if not mine:
        PyDict_DelItem(registry._memberships, pid)


cdef void _leave_all(Registry registry, PID pid) noexcept:
    """Take `pid` out of all its groups."""
    cdef Py_ssize_t at = 0
    cdef PyObject *group = NULL
    cdef PyObject *known = NULL
    if registry._memberships:
        known = PyDict_GetItemWithError(registry._memberships, pid)
    if known is NULL:
        return
    mine = <dict>known
    PyDict_DelItem(registry._memberships, pid)
    while PyDict_Next(mine, &at, &group, NULL):
        _take_out(registry, <str>group, pid)


cdef bint _is_right(Registry registry, str group, _Notice notice) noexcept:
    """Whether all who follow the group are those that `notice` knows."""
    if notice is None:
        return not PyDict_Contains(registry._channels, group)
    return notice.followings == registry._followings


cdef bint _are_right(list registries, list notices) noexcept:
    """Whether none of the registries has changed since `notices` were made."""
    cdef Registry registry
    cdef _Notice notice
    cdef Py_ssize_t at
    if notices is None:
        return True
    for at in range(len(notices)):
        registry, notice = <Registry>registries[at], <_Notice>notices[at]
        if notice.followings != registry._followings or notice.moves != registry._moves:
            return False
    return True


cdef void _post(_Notice notice) noexcept:
    """Let the news come after those before; which go with `notice`, as reasons may be watched."""
    cdef _Channel channel
    cdef News news
    cdef Py_ssize_t at
    if notice is None:
        return
    for at in range(len(notice.news)):
        channel, news = <_Channel>notice.channels[at], <News>notice.news[at]
        notice.news[at] = channel.last
        channel.last._next = news
        channel.last = news


cdef void _post_all(list notices) noexcept:
    if notices is not None:
        for notice in notices:
            _post(<_Notice>notice)


cdef Outcome _follow(
    Registry registry, str group, tuple view, number, listener, _Channel spare
) noexcept:
    """Let `listener` follow the group, if `view` is who is in it."""
    cdef PyObject *known = PyDict_GetItemWithError(registry._channels, group)
    cdef PyObject *current = PyDict_GetItemWithError(registry._views, group)
    cdef _Channel channel = spare if known is NULL else <_Channel>known
    if current is not <PyObject *>view and (len(view) or PyDict_Contains(registry._groups, group)):
        return AGAIN
    if PyDict_SetItem(channel.listeners, number, listener) < 0:
        PyErr_Clear()
        return NO_MEMORY
    if known is NULL and PyDict_SetItem(registry._channels, group, channel) < 0:
        PyErr_Clear()
        return NO_MEMORY
    global _followed
    _followed += 1
    registry._followings += 1
    return DONE


cdef Outcome _follow_names(
    Registry registry, number, _Follower follower, _Channel spare
) noexcept:
    """Let `follower` be told of the next names, whether it is new or there already."""
    cdef _Channel channel = spare if registry._named is None else <_Channel>registry._named
    cdef PyObject *known = PyDict_GetItemWithError(channel.listeners, number)
    cdef _Follower there = follower if known is NULL else <_Follower>known
    there.prefix, there.waits = follower.prefix, True
    there.due = channel.last.number + there.each
    if known is NULL and PyDict_SetItem(channel.listeners, number, follower) < 0:
        PyErr_Clear()
        return NO_MEMORY
    if registry._named is None:
        global _followed
        _followed += 1
        registry._followings += 1
        registry._named, registry._noted = channel, True
    return DONE


cdef bint _is_to_hear(_Follower follower, News news) noexcept:
    """Whether `follower` is to be told; if it is, it does not wait any more."""
    if not _is_for(follower, news):
        return False
    follower.waits = False
    if news.number >= follower.due:
        follower.due = news.number + follower.each
    return True


# Around the lock


cdef bint _answer(Outcome outcome, PID pid) except -1:
    if outcome is EXITED:
        raise NoProcess(pid)
    if outcome is NO_MEMORY:
        raise MemoryError()
    return outcome is DONE


cdef inline object _whereis(PyObject *table, name):
    cdef PyObject *found = fauxtp_find(table, <PyObject *>name)
    return fauxtp_owned(found) if found is not NULL else _whereis_closely(table, name)


cdef object _whereis_closely(PyObject *table, name):
    cdef str key
    cdef PyObject *found = fauxtp_find_like(table, <PyObject *>name)
    if found is not NULL:
        return fauxtp_owned(found)
    key = _name(name)
    return fauxtp_owned(fauxtp_find(table, <PyObject *>key))


cdef list _snapshot(Registry registry):
    """Return all names. In a large table, let other threads run in between.

    A copy in chunks is a snapshot only if no name came or went meanwhile; else start again,
    and take the table in one piece.
    """
    cdef list names = []
    cdef uint64_t seen
    cdef Py_ssize_t at = 0
    if len(registry._table) > CHUNK:
        with _lock:
            seen = registry._changes
        while _copy_chunk(registry, seen, &at, names):
            with nogil:
                pass
    if at == ALL:
        return names
    return PyDict_Keys(registry._table)


cdef bint _copy_chunk(Registry registry, uint64_t seen, Py_ssize_t *at, list names):
    """Append the next names after `at`; tell whether to go on."""
    cdef PyObject *name = NULL
    cdef Py_ssize_t room = CHUNK
    with _lock:
        if registry._changes != seen:
            return False
        while room and PyDict_Next(registry._table, at, &name, NULL):
            names.append(<object>name)
            room -= 1
        if room:
            at[0] = ALL
    return not room


cdef object _order(Registry registry):
    """Return the names in order, as they are at this moment; None if that is not worth it."""
    cdef list touched, fresh
    cdef Py_ssize_t count
    if len(registry._table) <= FEW:
        return None
    from fauxtp._base import ordered_names

    for _ in range(ordered_names.PATIENCE):
        with _lock:
            order, touched = registry._order, registry._touched
            count = 0 if touched is None else len(touched)
        if touched is None:
            _begin_order(registry)
        elif order is None or not count:
            return order  # none, while another thread makes it
        else:
            order = order.changed(touched[:count], registry._table)
            if _have_order(registry, order, touched, touched[count:], count):
                return order
    return None


cdef _begin_order(Registry registry):
    """Keep the names in order from now on."""
    cdef list touched = []
    cdef bint begun
    before = order = None
    with _lock:
        begun = registry._touched is None
        if begun:
            before, registry._order = registry._order, None
            registry._touched, registry._noted = touched, True
    if begun:
        from fauxtp._base import ordered_names

        try:
            order = ordered_names.OrderedNames.of(_snapshot(registry))  # what is touched meanwhile is noted
        finally:
            _have_order(registry, order, touched, None, 0)


cdef bint _have_order(Registry registry, order, list touched, list rest, Py_ssize_t count):
    """Keep `order`, which knows `count` names of those `touched`; return whether that is all.

    Without `rest`, what else was touched, it is the first; None says that there is none.
    """
    cdef bint right
    before = None
    with _lock:
        right = registry._touched is touched
        if rest is not None:
            right = right and len(touched) == count + len(rest)
        if right:
            before, registry._order = registry._order, order  # the one before goes after the lock
            if order is None:
                registry._touched = None
            elif rest is not None:
                registry._touched = rest
    return right and not rest


cdef list _beginning_with(str prefix, list names):
    cdef list chosen = []
    cdef Py_ssize_t at
    for at in range(len(names)):
        if (<str>names[at]).startswith(prefix):
            chosen.append(names[at])
        if at % CHUNK == CHUNK - 1:
            with nogil:
                pass
    return chosen


cdef list _listed(names):
    if names is None:
        return []
    return PyDict_Keys(names) if type(names) is dict else [names]


cdef _tell(listeners):
    """Tell who follows a group. For lack of memory, they hear of it when it changes again."""
    try:
        tell_all(listeners)
    except MemoryError:
        pass


cdef Outcome _enter_and_tell(Registry registry, str name, PID pid) except *:
    """Let `pid` have the name, where that takes another dict, or somebody follows the names."""
    cdef Outcome outcome = NEEDS_SPARE
    cdef dict spare = None
    cdef News news = None
    while outcome is NEEDS_SPARE:
        if news is None and registry._named is not None:
            news = _news(True, None, pid, None)
        else:
            spare = {}
        with _lock:
            outcome = _enter(registry, name, pid, spare, news)
    if outcome is DONE and news is not None:
        _tell_of(registry, news)
    return outcome


cdef bint _leave_and_tell(Registry registry, str name, PID expected) except -1:
    """Take `name` out where somebody follows the names; return whether it was there."""
    cdef News news = _news(False, None, None, None)
    cdef PID holder
    with _lock:
        holder = _leave(registry, name, expected, news)
    _tell_of(registry, news)
    return holder is not None


cdef _tell_of(Registry registry, News news):
    """Tell who follows the names what has become of them. For lack of memory, as `_tell`."""
    news._before = None
    if news._is_awaited:
        try:
            tell_all(_who_is_to_hear(registry, news), news.number)
        except MemoryError:
            pass


cdef list _who_is_to_hear(Registry registry, News news):
    cdef _Channel channel
    cdef _Follower follower
    cdef list told = []
    cdef bint hears
    with _lock:
        channel = <_Channel>registry._named
    for follower in [] if channel is None else PyDict_Values(channel.listeners):
        with _lock:
            hears = _is_to_hear(follower, news)
        if hears:
            told.append(follower.listener)
    return told


cdef tuple _view(Registry registry, str group):
    """Return the members of `group` as a tuple, and keep it for who asks next."""
    cdef uint64_t seen
    cdef tuple view
    with _lock:
        seen = registry._moves
        members = _known_members(registry, group)
    if members is None:
        return ()
    view = PyList_AsTuple(PyDict_Keys(members))
    fauxtp_make_shareable(<PyObject *>group, <PyObject *>view)
    with _lock:
        if registry._moves == seen and PyDict_SetItem(registry._views, group, view) < 0:
            PyErr_Clear()
    return view


cdef object _known_members(Registry registry, str group):
    if PyDict_Contains(registry._groups, group):
        return <object>PyDict_GetItemWithError(registry._groups, group)
    return None


cdef object _number(callback):
    """Return by what `callback` is found again: methods that are equal have the same."""
    kind = type(callback)
    if kind is BuiltinMethodType or (
        kind is MethodType and type(callback.__func__) is FunctionType
    ):
        return hash(callback)
    return id(callback)


cdef inline object _watching(dict watchers, str name):
    """Return those who watch `name`, a dict in their order, or None."""
    # Not by `get`: Cython's has a moment without a reference, and others may unwatch.
    return fauxtp_owned(fauxtp_find(<PyObject *>watchers, <PyObject *>name))


cdef Outcome _begin_watch(dict watchers, str name, callback) except *:
    """Add `callback` to those who watch `name`, under what it is; a second time, by a number.

    What is prepared is stored only if nothing came in between. On CPython 3.11 a collection can,
    at an allocation; else nothing can.
    """
    cdef dict fresh
    number = _number(callback)
    known = _watching(watchers, name)
    if known is None:
        fresh = {number: callback}
        if PyDict_Contains(watchers, name):
            return AGAIN
        return _stored(watchers, name, fresh)
    if PyDict_Contains(known, number):
        number = (<object>fauxtp_next(&_serials)) << 64
    if PyDict_Contains(known, number) or _watching(watchers, name) is not known:
        return AGAIN
    return _stored(known, number, callback)


cdef Outcome _stored(dict table, key, value) except *:
    if PyDict_SetItem(table, key, value) < 0:
        PyErr_Clear()
        raise MemoryError()
    return DONE


cdef bint _end_watch(dict watchers, str name, dict known, number, callback):
    """Take `callback` out of those who watch `name`, if it has that number there."""
    cdef PyObject *found = PyDict_GetItemWithError(known, number)
    if found is not <PyObject *>callback:
        return False
    PyDict_DelItem(known, number)
    if not known and _watching(watchers, name) is known:
        PyDict_DelItem(watchers, name)
    return True


@cython.no_gc_clear  # while it is collected, who lists all objects may find and use it
cdef class Registry:
    """A table of names, each meaning one PID, and of groups of PIDs. Any thread may use it.

    A registry knows nothing of processes and cleans up nothing by itself: a name stays
    until it is unregistered or released, or its PID is retired. Registries are independent
    of each other. The functions of this module work on the one called `default`.

    >>> registry, pid = Registry(), PID()
    >>> registry.register("pipeline:producer", pid)
    True
    >>> "pipeline:producer" in registry, len(registry), list(registry)
    (True, 1, ['pipeline:producer'])
    """

    def __cinit__(self):
        self._serial = fauxtp_next(&_serials)
        self._table = {}
        fauxtp_keep_hashes(self._table)
        self._guests = {}
        self._groups = {}
        self._memberships = {}
        self._views = {}
        fauxtp_keep_hashes(self._views)
        self._channels = {}
        self._watchers = {}
        _registries[self._serial] = self
        global _created
        with _lock:
            _created += 1

    def __init__(self):
        pass  # refuses arguments

    def register(self, name, /, pid):
        """Give `name` to `pid`, and return True; return False if the name is taken.

        A taken name stays as it is, also if it is `pid` that has it. One PID may have any
        number of names.

        Raises `TypeError` if `name` is no str or `pid` no PID, `ValueError` if `name` is
        empty, and `NoProcess` if `pid` is known to have exited.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("kvstore", pid), registry.register("kvstore", PID())
        (True, False)
        """
        cdef str key = _name(name)
        cdef PID owner = _pid(pid)
        cdef Outcome outcome
        fauxtp_make_shareable(<PyObject *>key, <PyObject *>owner)
        with _lock:
            outcome = _enter(self, key, owner, None, None)
        if outcome is NEEDS_SPARE:
            outcome = _enter_and_tell(self, key, owner)
        if outcome is DONE and self._watched and self._watchers:
            known = _watching(self._watchers, key)
            if known is not None:
                tell_all(PyDict_Values(known), owner)
        return _answer(outcome, owner)

    def unregister(self, name, /, pid=None):
        """Free `name`, and return True; return False if nobody has it.

        With `pid`, free it only if it still means that PID. Whoever cleans up should say
        whose name it was: by now, it may be another's.

        Raises `TypeError` if `name` is no str or `pid` no PID, `ValueError` if `name` is
        empty.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("kvstore", pid)
        True
        >>> registry.unregister("kvstore", PID()), registry.unregister("kvstore", pid)
        (False, True)
        """
        cdef str key = _name(name)
        cdef PID expected = None if pid is None else _pid(pid)
        cdef PID holder = None
        cdef bint followed
        with _lock:
            followed = self._named is not None
            if not followed:
                holder = _leave(self, key, expected, None)
        return _leave_and_tell(self, key, expected) if followed else holder is not None

    def whereis(self, name, /):
        """Return the PID that `name` means, or None.

        The process may have exited by the time the answer is used.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.

        >>> Registry().whereis("nobody") is None
        True
        """
        return _whereis(<PyObject *>self._table, name)

    def registered(self, prefix=""):
        """Return the names, in order of registration, that begin with `prefix`.

        The list is a snapshot.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for name in ("kvstore", "pipeline:processor:1", "pipeline:processor:2"):
        ...     assert registry.register(name, PID())
        >>> registry.registered("pipeline:")
        ['pipeline:processor:1', 'pipeline:processor:2']
        """
        cdef str start = _plain(prefix, "prefix")
        order = _order(self) if start else None
        if order is not None and order.are_few(start):
            return order.beginning_with(start)
        names = _snapshot(self)
        return _beginning_with(start, names) if start else names

    def count(self, prefix=""):
        """Return how many names begin with `prefix`.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for name in ("kvstore", "pipeline:processor:1", "pipeline:processor:2"):
        ...     assert registry.register(name, PID())
        >>> registry.count(), registry.count("pipeline:")
        (3, 2)
        """
        cdef str start = _plain(prefix, "prefix")
        if not start:
            return len(self._table)
        order = _order(self)
        return len(_beginning_with(start, _snapshot(self))) if order is None else order.count(start)

    def names(self, pid, /):
        """Return the names of `pid` in this registry, in the order in which it got them.

        Raises `TypeError` if `pid` is no PID.

        >>> Registry().names(PID())
        []
        """
        cdef PID owner = _pid(pid)
        with _lock:
            names = _known(self, owner)
        return _listed(names)

    def release(self, pid, /):
        """Free all names of `pid` in one step, and return them as `names` would have.

        Raises `TypeError` if `pid` is no PID.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("pipeline:processor:1", pid)
        True
        >>> registry.release(pid), registry.release(pid)
        (['pipeline:processor:1'], [])
        """
        cdef PID owner = _pid(pid)
        cdef list answer
        cdef uint64_t seen
        cdef News news = None
        cdef bint done
        while True:
            with _lock:
                names = _known(self, owner)
                seen = self._changes
            answer = _listed(names)  # before anything changes: it takes memory
            news = _news(False, None, owner, None) if self._named is not None else None
            with _lock:
                done = self._changes == seen and (self._named is None or news is not None)
                if done:
                    _take_all(self, owner, news)
            if done:
                if news is not None:
                    _tell_of(self, news)
                return answer

    def transfer(self, name, /, holder, successor):
        """Let `name`, if it means `holder`, mean `successor`; return whether it did.

        At no moment is the name free, or anything but one of the two.

        Raises `TypeError` if `name` is no str or one of the others no PID, `ValueError` if
        `name` is empty, and `NoProcess` if `successor` is known to have exited.

        >>> registry, old, new = Registry(), PID(), PID()
        >>> registry.register("kvstore", old)
        True
        >>> registry.transfer("kvstore", old, new), registry.transfer("kvstore", old, new)
        (True, False)
        """
        cdef str key = _name(name)
        cdef PID old = _pid(holder, "holder")
        cdef PID new = _pid(successor, "successor")
        cdef dict spare = None
        cdef News gone = None, come = None
        cdef Outcome outcome
        with _lock:
            outcome = _pass_on(self, key, old, new, spare, gone, come)
        while outcome is NEEDS_SPARE:
            if come is None and self._named is not None:
                gone, come = _news(False, None, old, None), _news(True, None, new, None)
            else:
                spare = {}
            with _lock:
                outcome = _pass_on(self, key, old, new, spare, gone, come)
        if outcome is DONE and come is not None:
            _tell_of(self, gone)
            _tell_of(self, come)
        return _answer(outcome, new)

    def watch(self, name, callback, /):
        """Call `callback(pid)` each time that `name` is registered, until `unwatch`.

        The call comes after the fact, in the thread that registered; by then, the name may
        mean another or nobody. An error of the callback is logged; what is more than an error,
        as a `KeyboardInterrupt`, goes to whoever registered, when all have been called.

        Raises `TypeError` if `name` is no str or `callback` cannot be called, `ValueError` if
        `name` is empty.

        >>> registry, seen = Registry(), []
        >>> registry.watch("kvstore", seen.append)
        >>> pid = PID()
        >>> registry.register("kvstore", pid), seen == [pid]
        (True, True)
        """
        cdef str key = _name(name)
        _callable(callback, "callback")
        self._watched = True
        with _left_by_nobody(_watch_lock):
            while _begin_watch(self._watchers, key, callback) is AGAIN:
                pass

    def unwatch(self, name, callback, /):
        """End a `watch` of `name` by `callback`; return False if there is none.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.

        >>> Registry().unwatch("kvstore", print)
        False
        """
        cdef str key = _name(name)
        with _left_by_nobody(_watch_lock):
            known = _watching(self._watchers, key)
            if known is None:
                return False
            number = _number(callback)
            other = fauxtp_get(known, number)
            if other is callback or other == callback:
                if _end_watch(self._watchers, key, known, number, other):
                    return True
            for number, other in list((<dict>known).items()):
                if other is callback or other == callback:  # which may run Python code
                    if _end_watch(self._watchers, key, known, number, other):
                        return True
        return False

    def follow_names(self, prefix, listener, /):
        """Call `listener(number)` once, after the next change of names that begin with `prefix`.

        Return the latest news of names: each change that comes stands in the `next` of the one
        before, whatever its names begin with, in the order in which they came to be, and none is
        missing, until `unfollow_names`. Who is called may ask again, by the same. The call comes
        after the fact, in the thread that made the change; `number` is that of the news. After
        each 1,000 other names it comes, too: so whoever does not take what comes can see how much
        that is. What a listener raises is treated as with `watch`. In a child after `fork`,
        nobody follows.

        Raises `TypeError` if `prefix` is no str or `listener` cannot be called.

        >>> registry, pid = Registry(), PID()
        >>> news = registry.follow_names("shard:", print)
        >>> registry.register("kvstore", pid), registry.register("shard:1", pid)
        2
        (True, True)
        >>> [one.names for one in (news.next, news.next.next)]
        [['kvstore'], ['shard:1']]
        >>> registry.unfollow_names(print)
        True
        """
        cdef _Follower follower = _Follower()
        cdef _Channel spare = _Channel("")
        cdef News last = None
        cdef Outcome outcome
        follower.prefix = _plain(prefix, "prefix")
        _callable(listener, "listener")
        follower.listener, follower.each, number = listener, EACH, id(listener)
        with _lock:
            outcome = _follow_names(self, number, follower, spare)
            if outcome is DONE:
                last = (<_Channel>self._named).last
        if outcome is NO_MEMORY:
            raise MemoryError()
        return last

    def unfollow_names(self, listener, /):
        """End what `follow_names` has begun for `listener`; return False if nothing was.

        Raises nothing, whatever `listener` is.

        >>> Registry().unfollow_names(print)
        False
        """
        cdef _Channel channel
        cdef PyObject *known = NULL
        number = id(listener)
        with _lock:
            channel = <_Channel>self._named
            if channel is not None:
                known = PyDict_GetItemWithError(channel.listeners, number)
            if known is NULL:
                return False
            follower = <_Follower>known  # which goes when the lock is released
            PyDict_DelItem(channel.listeners, number)
            if not channel.listeners:
                self._named = None
        return True

    def join(self, group, /, pid):
        """Let `pid` be in `group`, and return True; return False if it is already.

        One PID may be in any number of groups, once in each. It leaves them when it is told
        to, or its PID is retired. Groups have nothing to do with names: both may be called the
        same.

        Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is
        empty, and `NoProcess` if `pid` is known to have exited.

        >>> registry, pid = Registry(), PID()
        >>> registry.join("workers", pid), registry.join("workers", pid)
        (True, False)
        """
        cdef str key = _group(group)
        cdef PID owner = _pid(pid)
        cdef dict members = None, mine = None
        cdef _Notice notice = None
        cdef Outcome outcome = AGAIN
        fauxtp_make_shareable(<PyObject *>key, <PyObject *>owner)
        while outcome is AGAIN or outcome is NEEDS_SPARE:
            if outcome is NEEDS_SPARE:
                members, mine = {}, {}
            notice = _notice(self, True, key, owner) if self._channels else None
            with _lock:
                outcome = _join(self, key, owner, members, mine, notice)
        if outcome is DONE and notice is not None:
            _tell(notice.listeners)
        return _answer(outcome, owner)

    def leave(self, group, /, pid):
        """Take `pid` out of `group`, and return True; return False if it is not in it.

        Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is
        empty.

        >>> registry, pid = Registry(), PID()
        >>> registry.join("workers", pid)
        True
        >>> registry.leave("workers", pid), registry.leave("workers", pid)
        (True, False)
        """
        cdef str key = _group(group)
        cdef PID owner = _pid(pid)
        cdef _Notice notice = None
        cdef Outcome outcome = AGAIN
        while outcome is AGAIN:
            notice = _notice(self, False, key, owner) if self._channels else None
            with _lock:
                outcome = _part(self, key, owner, notice)
        if outcome is DONE and notice is not None:
            _tell(notice.listeners)
        return outcome is DONE

    def members(self, group, /):
        """Return who is in `group`, in order of joining.

        The tuple is a snapshot, and made once after each change. If there is one, this is a
        look-up, as `whereis` is.

        Raises `TypeError` if `group` is no str, `ValueError` if it is empty.

        >>> registry, one, other = Registry(), PID(), PID()
        >>> registry.join("workers", one), registry.join("workers", other)
        (True, True)
        >>> registry.members("workers") == (one, other), registry.members("nobody")
        (True, ())
        """
        cdef PyObject *found = fauxtp_find(<PyObject *>self._views, <PyObject *>group)
        view = fauxtp_owned(found) if found is not NULL else None
        return _view(self, _group(group)) if view is None else view

    def groups(self, prefix=""):
        """Return the groups that have members and begin with `prefix`.

        The oldest is the first: the list is in the order in which they got their first member.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for group in ("room:1", "room:2", "workers"):
        ...     assert registry.join(group, PID())
        >>> registry.groups("room:")
        ['room:1', 'room:2']
        """
        cdef str start = _plain(prefix, "prefix")
        cdef list groups = PyDict_Keys(self._groups)
        return _beginning_with(start, groups) if start else groups

    def follow(self, group, listener, /):
        """Call `listener()` after each change of `group`, until `unfollow`.

        Return who is in it, and the latest of its news: each change that comes stands in the
        `next` of the one before, in the order in which they came to be, and none is missing.
        The call comes after the fact, in the thread that made the change. What a listener
        raises is treated as with `watch`. To follow a group twice by the same object is to
        follow it once.

        Raises `TypeError` if `group` is no str or `listener` cannot be called, `ValueError` if
        `group` is empty.

        >>> registry, pid = Registry(), PID()
        >>> members, news = registry.follow("workers", print)
        >>> members, registry.join("workers", pid)
        <BLANKLINE>
        ((), True)
        >>> (news.next.came, news.next.pid == pid), registry.unfollow("workers", print)
        ((True, True), True)
        """
        cdef str key = _group(group)
        cdef Outcome outcome = AGAIN
        _callable(listener, "listener")
        cdef _Channel channel = _Channel(key)
        cdef News last = channel.last
        cdef tuple view = ()
        number = id(listener)
        while outcome is AGAIN:
            view = _view(self, key)
            with _lock:
                outcome = _follow(self, key, view, number, listener, channel)
                if outcome is DONE:
                    last = (<_Channel>PyDict_GetItemWithError(self._channels, key)).last
        if outcome is NO_MEMORY:
            raise MemoryError()
        return view, last

    def unfollow(self, group, listener, /):
        """End what `follow` has begun with that `listener`; return False if nothing was.

        Raises `TypeError` if `group` is no str, `ValueError` if it is empty.

        >>> Registry().unfollow("workers", print)
        False
        """
        cdef str key = _group(group)
        cdef PyObject *known
        cdef _Channel channel = None
        cdef bint follows = False
        number = id(listener)
        with _lock:
            known = PyDict_GetItemWithError(self._channels, key)
            if known is not NULL:
                channel = <_Channel>known  # which goes when the lock is released
                follows = PyDict_Contains(channel.listeners, number)
            if follows:
                PyDict_DelItem(channel.listeners, number)
                self._followings += 1
                if not channel.listeners:
                    PyDict_DelItem(self._channels, key)
        return follows

    def __len__(self):
        return len(self._table)

    def __contains__(self, name):
        return _whereis(<PyObject *>self._table, name) is not None

    def __iter__(self):
        return iter(_snapshot(self))

    def __repr__(self):
        count = len(self._table)
        return f"<{type(self).__name__} of {count} name{'' if count == 1 else 's'}>"

    def __reduce__(self):
        raise TypeError(f"cannot copy or pickle a {type(self).__name__}: its processes are here")


@cython.no_gc_clear
cdef class Lookup:
    """Names of more than one node, as a cluster has them.

    `known` is a dict of some, which others may change at any time. Of what is not in it, or means
    a process of here that has exited, `ask` is asked.

    >>> there = PID()
    >>> lookup = Lookup({"billing": there}, print)
    >>> lookup.whereis("billing") is there, lookup.whereis("nobody")
    nobody
    (True, None)
    """

    cdef dict _known
    cdef object _ask

    def __cinit__(self):
        self._known = {}

    def __init__(self, dict known not None, ask, /):
        self._known = known
        self._ask = ask

    def whereis(self, name, /):
        """Return the PID that `name` means, here or on another node, or None.

        It is looked up in what is known here; nobody elsewhere is asked. The process may have
        exited by the time the answer is used.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.
        """
        found = _whereis(<PyObject *>self._known, name)
        if type(found) is PID and not (<PID>found)._exited:
            return found
        return self._ask(_name(name))


def quick(cls, /):
    """Let `cls`, a subclass of `Lookup`, have `whereis` as a method of its own, and return it.

    The interpreter calls what is inherited from a compiled class in a slower way.

    Raises `TypeError` if `cls` is no such class.

    >>> @quick
    ... class Names(Lookup):
    ...     pass
    """
    if not isinstance(cls, type) or not issubclass(cls, Lookup):
        raise _unexpected("cls", "subclass of Lookup", cls)
    cls.whereis = fauxtp_method_of(cls, Lookup.__dict__["whereis"])
    return cls


default = Registry()
register = default.register
unregister = default.unregister
whereis = default.whereis
registered = default.registered
count = default.count
members = default.members
groups = default.groups


def retire(pid, /):
    """Note that the process behind `pid` has exited: it loses its names, in every registry.

    It leaves its groups, too. From now on no registry gives it a name: `register`, `transfer`
    and `join` raise `NoProcess`. This is for those who run processes; nothing here calls it.

    Raises `TypeError` if `pid` is no PID.

    >>> registry, pid = Registry(), PID()
    >>> registry.register("kvstore", pid)
    True
    >>> retire(pid)
    >>> registry.whereis("kvstore") is None
    True
    """
    cdef tuple told = _withdraw(_pid(pid), None)
    if told:
        _tell(told)


def withdraw(pid, /, reason=None):
    """Do as `retire`, but leave it to the caller to tell those who follow its names and groups.

    Return them: each is to be called. `reason` is what the news say why it left.

    Raises `TypeError` if `pid` is no PID.

    >>> withdraw(PID(), "shutdown")
    ()
    """
    return _withdraw(_pid(pid), reason)


cdef tuple _withdraw(PID owner, reason):
    cdef Registry registry
    cdef News named
    cdef Py_ssize_t at
    cdef uint64_t seen, followed
    cdef list living, notices = None  # nobody follows anything
    cdef tuple told = ()
    cdef bint done
    while True:
        with _lock:
            seen, followed = _created, _followed
        living = _living()  # before anything changes: it takes memory
        if followed:
            notices = _notices(living, owner, reason)
            told = _who_is_told(notices)
        with _lock:
            # Else a new registry may have named it meanwhile, or somebody follows what it has.
            done = _created == seen and _followed == followed and _are_right(living, notices)
            if done:
                owner._exited = True
                for at in range(len(living)):
                    registry = <Registry>living[at]
                    named = None if notices is None else (<_Notice>notices[at]).named
                    _take_all(registry, owner, named)
                    _leave_all(registry, owner)
                _post_all(notices)
        if done:
            _let_go_all(notices)
            return told


cdef _let_go_all(list notices):
    """Let go of the news that came before these."""
    if notices is not None:
        for notice in notices:
            if (<_Notice>notice).named is not None:
                (<_Notice>notice).named._before = None


cdef list _living():
    cdef list registries = []
    if len(_every) == 1:
        return [default]  # which always lives
    for reference in _registries.valuerefs():
        registry = reference()  # in a variable, as else Cython drops it twice if memory runs out
        if registry is not None:
            registries.append(registry)
    return registries


for _shared in (default, register, unregister, whereis, registered, members, groups):
    fauxtp_defer_refcount(<PyObject *>_shared)
del _shared


# Public classes say that they are imported from `fauxtp`, as those in Python do.
cdef extern from *:
    """
    static void fauxtp_named(PyObject *kind, const char *name) {
        ((PyTypeObject *)kind)->tp_name = name;
    }
    """
    void fauxtp_named(PyObject *, const char *)


fauxtp_named(<PyObject *>PID, "fauxtp.PID")
fauxtp_named(<PyObject *>Ref, "fauxtp.Ref")
fauxtp_named(<PyObject *>News, "fauxtp.registry.News")
fauxtp_named(<PyObject *>Registry, "fauxtp.Registry")


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
