# The compiled module has the types of its twin.
from fauxtp._stepping_py import Suspended as Suspended
from fauxtp._stepping_py import advance as advance

__all__ = ["Suspended", "advance"]
