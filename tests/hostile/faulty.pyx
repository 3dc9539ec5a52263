# cython: language_level=3
"""Two faults in C, which the sanitizers have to see. sanitize.py builds and runs it."""

from libc.stdlib cimport free, malloc


def use_after_free(int at):
    """Read from a block of memory that was given back."""
    cdef char *block = <char *>malloc(16)
    block[at] = 1
    free(block)
    return block[at]


def overflow(int most):
    """Add one to the largest int there is."""
    cdef int more = most + 1
    return more
