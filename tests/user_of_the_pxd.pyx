# cython: language_level=3, freethreading_compatible=True
"""What another package's Cython module does with fauxtp's types; test_cimport.py builds it."""

from fauxtp._registry cimport PID, Ref, Registry


cdef class Session:
    cdef PID pid
    cdef Registry directory

    def __init__(self, Registry directory not None):
        self.pid = PID()
        self.directory = directory

    def announce(self, str name not None):
        return self.directory.register(name, self.pid)

    def owns(self, PID pid not None):
        return pid is self.pid


def kinds():
    return PID, Ref, Registry
