# The compiled module has the types of its twin.
from fauxtp._core._calls_py import Call as Call
from fauxtp._core._calls_py import Cast as Cast

__all__ = ["Call", "Cast"]
