# cython: language_level=3, freethreading_compatible=True
# cython: binding=False
"""How much of the stack of Python calls is left. `_stack_py.py` finds it in another way."""

__all__ = ["has_room"]

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


cpdef bint has_room(int calls):
    """Return whether so many calls, one within the other, are still to be had."""
    return fauxtp_left(PyThreadState_Get()) > calls
