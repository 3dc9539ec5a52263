# The compiled module has the types of its twin.
from fauxtp._base._stack_py import has_room as has_room
from fauxtp._base._stack_py import insist_on_room as insist_on_room
from fauxtp._base._stack_py import is_free as is_free

__all__ = ["has_room", "insist_on_room", "is_free"]
