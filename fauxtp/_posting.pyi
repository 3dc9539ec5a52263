# The compiled module has the types of its twin.
from fauxtp._posting_py import Attempt as Attempt
from fauxtp._posting_py import attempt as attempt
from fauxtp._posting_py import post as post

__all__ = ["Attempt", "attempt", "post"]
