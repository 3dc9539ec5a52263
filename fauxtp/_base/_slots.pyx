# cython: language_level=3, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The attributes in the `__slots__` of a class, for compiled code that is in a hurry.

Each lies at a fixed place in its object, which a `Slot` knows. Where there is a GIL, it reads
and writes there itself; else by the interpreter's own functions, which are safe beside other
threads. Python code finds them as it finds all attributes.
"""

cimport cython
from cpython.object cimport PyObject

from types import MemberDescriptorType

from fauxtp._base._build cimport fauxtp_build

__all__ = ["Slot"]


@cython.final
cdef class Slot:
    """An attribute in the `__slots__` of `owner`; of any other object, as usual."""

    def __cinit__(self, type owner, str name):
        descriptor = owner.__dict__[name]
        if type(descriptor) is not MemberDescriptorType:
            raise TypeError(f"{owner.__name__}.{name} is no slot")
        self._owner, self._name = owner, name
        self._member = (<PyMemberDescrObject *><PyObject *>descriptor).d_member


cpdef object _build():
    """Return of which version and build this is. It is called before the module is executed."""
    return fauxtp_build()
