# The compiled module has the types of its twin.
from fauxtp._hosting._direct_py import Suspended as Suspended
from fauxtp._hosting._direct_py import advance as advance
from fauxtp._hosting._direct_py import step as step

__all__ = ["Suspended", "advance", "step"]
