"""A test that passes in one thread, and must fail in four. It is run by test_linear.py only."""

from __future__ import annotations

import threading

from fauxtp._registry_py import PID
from hostile.broken import Racy

THREADS = 4
answered = threading.Barrier(THREADS)
answers: list[bool] = []


class Met(Racy):
    """All threads have looked before one of them acts."""

    __slots__ = ()
    looked = threading.Barrier(THREADS)

    def between(self) -> object:
        return self.looked.wait()


registry = Met()


def test_one_of_the_threads_gets_the_name() -> None:
    answers.append(registry.register("kvstore", PID()))
    answered.wait()
    assert sum(answers) == 1
