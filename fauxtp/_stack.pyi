# The compiled module has the types of its twin.
from fauxtp._stack_py import has_room as has_room

__all__ = ["has_room"]
