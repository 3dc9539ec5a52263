"""Request: what a call is to ask, with the type of its answer."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Request"]

A_co = TypeVar("A_co", covariant=True)


class Request(Generic[A_co]):
    """The base of requests that say which type their answer has: `class Get(Request[int])`.

    Type checkers then know what `call` returns. It is for them alone: a request needs no such
    base, and nobody looks whether the answer is of that type.

    >>> import anyio
    >>> from dataclasses import dataclass
    >>> from fauxtp import GenServer, call, exit
    >>> @dataclass(frozen=True)
    ... class Length(Request[int]):
    ...     of: str
    >>> class Measure(GenServer):
    ...     async def handle_call(self, request, from_, state):
    ...         match request:
    ...             case Length(text):
    ...                 return len(text), state
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         measure = await Measure.start(task_group=task_group)
    ...         length = await call(measure, Length("four"))  # an int, to type checkers
    ...         print(length + 1)
    ...         exit(measure)
    >>> anyio.run(main)
    5
    """

    __slots__ = ()
