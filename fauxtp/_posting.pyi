# The compiled module has the types of its twin.
from fauxtp._posting_py import post as post

__all__ = ["post"]
