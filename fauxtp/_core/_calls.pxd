# The C side of a call, for the other extensions of fauxtp.

cdef class Call:
    cdef public object request
    cdef public object target
    cdef public object caller
    cdef public bint deferred
    cdef object _wake
    cdef object _value
    cdef object _error
    cdef int _outcome
    cdef int _taken

    cpdef bint has_answered(self, object value, object error=*)
