# cython: language_level=3
cimport cython
from cpython.object cimport PyObject

cdef extern from *:
    """
    #include "structmember.h"

    /* With the GIL, nobody else reads or writes meanwhile. */
    static inline PyObject *fauxtp_read(PyObject *it, PyMemberDef *member) {
    #ifndef Py_GIL_DISABLED
        PyObject *value = *(PyObject **)((char *)it + member->offset);
        if (value != NULL) {
            Py_INCREF(value);
            return value;
        }
    #endif
        return PyMember_GetOne((const char *)it, member);
    }

    static inline int fauxtp_write(PyObject *it, PyMemberDef *member, PyObject *value) {
    #ifndef Py_GIL_DISABLED
        PyObject **place = (PyObject **)((char *)it + member->offset);
        PyObject *before = *place;
        Py_INCREF(value);
        *place = value;
        Py_XDECREF(before);
        return 0;
    #else
        return PyMember_SetOne((char *)it, member, value);
    #endif
    }
    """
    ctypedef struct PyMemberDef:
        pass
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member
    object fauxtp_read(object it, PyMemberDef *member)
    int fauxtp_write(object it, PyMemberDef *member, object value) except -1


@cython.final
cdef class Slot:
    cdef type _owner
    cdef str _name
    cdef PyMemberDef *_member

    cdef inline object of(self, object it):
        if type(it) is self._owner:
            return fauxtp_read(it, self._member)
        return getattr(it, self._name)

    cdef inline int put(self, object it, object value) except -1:
        if type(it) is self._owner:
            return fauxtp_write(it, self._member, value)
        setattr(it, self._name, value)
        return 0
