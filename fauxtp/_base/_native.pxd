# cython: language_level=3
# The C side of it, for the other compiled modules of fauxtp.

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include "structmember.h"

    /* In a large module, compilers call small functions too, if they are called often. */
    #ifdef __GNUC__
    #define FAUXTP_IN_PLACE inline __attribute__((always_inline))
    #else
    #define FAUXTP_IN_PLACE CYTHON_INLINE
    #endif

    /* An attribute in the `__slots__` of `owner`: it lies at a fixed place in its object. Of any
       other object, it is found as usual. */
    typedef struct {
        PyTypeObject *owner;
        PyObject *name;
        PyMemberDef *member;
    } fauxtp_slot;

    /* Without the GIL, the interpreter's own functions are safe beside other threads. */
    CYTHON_UNUSED static PyObject *fauxtp_read_slowly(PyObject *it, fauxtp_slot *slot) {
        if (Py_TYPE(it) == slot->owner)
            return PyMember_GetOne((const char *)it, slot->member);
        return PyObject_GetAttr(it, slot->name);
    }

    CYTHON_UNUSED static int fauxtp_write_slowly(
            PyObject *it, fauxtp_slot *slot, PyObject *value) {
        if (Py_TYPE(it) == slot->owner)
            return PyMember_SetOne((char *)it, slot->member, value);
        return PyObject_SetAttr(it, slot->name, value);
    }

    /* With it, nobody else reads or writes meanwhile. */
    static FAUXTP_IN_PLACE PyObject *fauxtp_read(PyObject *it, fauxtp_slot *slot) {
    #ifndef Py_GIL_DISABLED
        if (Py_TYPE(it) == slot->owner) {
            PyObject *value = *(PyObject **)((char *)it + slot->member->offset);
            if (value != NULL) {
                Py_INCREF(value);
                return value;
            }
        }
    #endif
        return fauxtp_read_slowly(it, slot);
    }

    static FAUXTP_IN_PLACE int fauxtp_write(PyObject *it, fauxtp_slot *slot, PyObject *value) {
    #ifndef Py_GIL_DISABLED
        if (Py_TYPE(it) == slot->owner) {
            PyObject **place = (PyObject **)((char *)it + slot->member->offset);
            PyObject *before = *place;
            Py_INCREF(value);
            *place = value;
            Py_XDECREF(before);
            return 0;
        }
    #endif
        return fauxtp_write_slowly(it, slot, value);
    }

    /* A slot that is made late, while other threads look whether it is there: `owner` says so. */
    static CYTHON_INLINE int fauxtp_is_made(fauxtp_slot *slot) {
    #ifndef Py_GIL_DISABLED
        return slot->owner != NULL;
    #else
        return _Py_atomic_load_ptr_acquire(&slot->owner) != NULL;
    #endif
    }

    static CYTHON_INLINE void fauxtp_make(fauxtp_slot *slot, fauxtp_slot made) {
        slot->name = made.name;
        slot->member = made.member;
    #ifndef Py_GIL_DISABLED
        slot->owner = made.owner;
    #else
        _Py_atomic_store_ptr_release(&slot->owner, made.owner);
    #endif
    }

    /* A number that any thread may add to. */
    #ifdef Py_GIL_DISABLED
    #define fauxtp_add(place, number) ((void)_Py_atomic_add_int64((place), (number)))
    #define fauxtp_value(place) _Py_atomic_load_int64_relaxed(place)
    #else
    #define fauxtp_add(place, number) ((void)(*(place) += (number)))
    #define fauxtp_value(place) (*(place))
    #endif

    #ifdef Py_GIL_DISABLED
    #define fauxtp_load(those) _Py_atomic_load_int_relaxed(those)
    #define fauxtp_store(those, kinds) _Py_atomic_store_int_relaxed((those), (kinds))
    #else
    #define fauxtp_load(those) (*(those))
    #define fauxtp_store(those, kinds) (*(those) = (kinds))
    #endif
    #define fauxtp_name_of(kind) PyType_GetName((PyTypeObject *)(kind))
    #define fauxtp_wants(those, kinds) ((fauxtp_load(those) & (kinds)) != 0)

    #define fauxtp_get(it, slot) fauxtp_read(it, &(slot))
    #define fauxtp_put(it, slot, value) fauxtp_write(it, &(slot), value)
    """
    ctypedef struct PyMemberDef:
        pass
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member
    ctypedef struct Slot "fauxtp_slot":
        PyTypeObject *owner
        PyObject *name
        PyMemberDef *member
    object get "fauxtp_get"(object it, Slot slot)
    int put "fauxtp_put"(object it, Slot slot, object value) except -1
    bint is_made "fauxtp_is_made"(Slot *slot) noexcept
    void make "fauxtp_make"(Slot *slot, Slot made) noexcept


cdef Slot slot_of(type owner, str name) except *


# What `fauxtp._base.events` names so.
cdef enum:
    CALLS = 1
    SENT = 2
    HANDLED = 4
    LISTENING = 8  # to anything
    CARRYING = 16
    TIMED = 32
    ROOTS = 64

cdef int listened_to  # by any thread, while another may change it

cdef extern from *:
    bint wants "fauxtp_wants"(int *those, int kinds) noexcept
    int load "fauxtp_load"(int *those) noexcept
    object name_of "fauxtp_name_of"(object kind)  # `kind.__name__` takes ten times as long


cdef bint hears(int kinds) noexcept
cdef bint nothing_here() except -1


cdef double now() except? -1


cpdef bint has_room(int calls)
cpdef bint is_free()


cdef class Counter:
    cdef int64_t number


cdef extern from *:
    void add "fauxtp_add"(int64_t *place, int64_t number) noexcept
    int64_t value_of "fauxtp_value"(int64_t *place) noexcept


cpdef tell(key, pid=*, details=*)

# How an event was made: of what is told again and again, with what it is to have for details
cdef enum:
    BEGUN  # to, request
    ENDED  # to, request, seconds, error
    SENDING  # to, message
    WAS_HANDLED  # message, seconds, waited, error
    BY_KEY, IN_FULL

cdef tell_often(int how, name, pid, first, second, double seconds, double waited, error)
cdef has_handled(kind, pid, message, double began, double sent_at, int wanted, error)


cdef bint makes_coroutines(handler) noexcept
cdef object within_it(handler, tuple arguments)


cdef class Told:
    """What a server does with one message, while somebody listens to what is handled."""

    cdef object handlers, kind, pid, message, handling
    cdef double began
    cdef double sent_at
    cdef int wanted
    cdef bint has_begun
    cdef object carried, before, ways

    cdef Told kept(self, ways)
    cdef Told begun(self, handling, bint has_begun=*)
    cdef over(self, error)


cdef Told told_of(kind, pid, message, handlers, double began, double sent_at)


cdef bint brings_nothing(Call call) except -1


cdef class Call:
    cdef public object request
    cdef public object target
    cdef public object caller
    cdef public double sent_at
    cdef public bint deferred
    cdef object _wake
    cdef object _value
    cdef object _error
    cdef int _outcome
    cdef int _taken

    cpdef note_sender(self)

    cpdef bint has_answered(self, object value, object error=*)
