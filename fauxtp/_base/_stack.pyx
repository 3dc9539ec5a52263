# cython: language_level=3, freethreading_compatible=True
# cython: binding=False
"""How much of the stack of Python calls is left. `_stack_py.py` finds it in another way."""

from fauxtp._base._build cimport fauxtp_build

__all__ = ["has_room", "insist_on_room", "is_free"]

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


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
