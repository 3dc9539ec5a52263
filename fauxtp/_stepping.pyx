# cython: language_level=3, freethreading_compatible=True
"""One step of a coroutine in another context; `fauxtp._stepping_py` is its twin in Python.

The C API tells the end of a coroutine without raising StopIteration for it, which takes more
time than all else that a short handler does.
"""

from cpython.ref cimport Py_DECREF, PyObject

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef extern from *:
    """
    #define fauxtp_raise() NULL
    """
    object fauxtp_raise()  # what PyIter_Send has set

__all__ = ["Suspended", "advance"]


cdef class Suspended:
    """In place of a result: the coroutine waits for `on`, what it has yielded."""

    cdef readonly object on

    def __init__(self, on):
        self.on = on


def advance(context, coroutine, /):
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
