# The compiled module has the types of its twin.
from fauxtp._messaging._delivery_py import Attempt as Attempt
from fauxtp._messaging._delivery_py import attempt as attempt
from fauxtp._messaging._delivery_py import post as post

__all__ = ["Attempt", "attempt", "post"]
