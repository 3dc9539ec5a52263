# The C side of fauxtp's identities and tables, for other Cython packages:
#
#     from fauxtp._registry cimport PID, Registry
#
# The fields are the registry's own; read and write them only through the methods.

cdef class _Identity:
    cdef unsigned long long _serial
    cdef object __weakref__


cdef class PID(_Identity):
    cdef unsigned long long _home
    cdef object _names
    cdef bint _exited


cdef class Ref(_Identity):
    pass


cdef class Registry:
    cdef unsigned long long _serial
    cdef dict _table
    cdef unsigned long long _changes
    cdef dict _guests
    cdef dict _groups
    cdef dict _memberships
    cdef dict _views
    cdef unsigned long long _moves
    cdef dict _channels
    cdef unsigned long long _followings
    cdef dict _watchers
    cdef bint _watched
    cdef list _touched
    cdef object _order
    cdef object _named
    cdef bint _noted
    cdef object __weakref__
