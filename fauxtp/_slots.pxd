# cython: language_level=3
from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef struct PyMemberDef:
        pass
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member

cdef class Slot:
    cdef type _owner
    cdef str _name
    cdef PyMemberDef *_member

    cdef object of(self, object it)
    cdef int put(self, object it, object value) except -1
