"""The ways in which other code comes in while an operation of the registry runs.

Each is made once, for something with `enter`, `dice` and a few places where it can be changed;
and is open for the time of one step.
"""

from __future__ import annotations

import gc
import signal
import sys
import weakref
from typing import Any


class Way:
    """How to open and close it for a step, and to end it for good."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def end(self) -> None:
        pass


class Tracing(Way):
    """A trace function is called on every line."""

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        self.inside.enter()
        return self.trace

    def __enter__(self) -> None:
        sys.settrace(self.trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


class Profiling(Way):
    """A profile function is called at every call and return."""

    def __enter__(self) -> None:
        sys.setprofile(lambda *_: self.inside.enter())

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


class Signals(Way):
    """A storm of signals, with a handler."""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)
        signal.signal(signal.SIGALRM, lambda *_: inside.enter())
        signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)

    def end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Cycle:
    """Garbage that says so when it is found."""

    def __init__(self, way: Way) -> None:
        self.cycle, self.way = self, way

    def __del__(self) -> None:
        self.way.inside.enter()


class Collections(Way):
    """A collection at every allocation, or at one of the next few; and what it finds."""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)
        gc.callbacks.append(lambda *_: inside.enter())

    def __enter__(self) -> None:
        Cycle(self)
        gc.set_threshold(self.inside.dice.choice([1, 1, 2, 3, 5, 8, 13]))

    def __exit__(self, *_: object) -> None:
        gc.set_threshold(700, 10, 10)


class WeakReferences(Way):
    """The last reference to a PID goes, and somebody watches it."""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)
        self.watched: set[Any] = set()
        make = inside.mortal

        def mortal() -> Any:
            pid = make()
            self.watched.add(weakref.ref(pid, self.gone))
            return pid

        inside.mortal = mortal

    def gone(self, reference: Any) -> None:
        self.watched.discard(reference)
        self.inside.enter()


class Letting(Way):
    """Python code that the registry is handed: called, compared, finalised."""

    by = ""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)
        inside.letting_in = self.by


class Callbacks(Letting):
    by = "called"


class Comparisons(Letting):
    by = "compared"


class Finalisers(Letting):
    by = "finalised"


class Audits(Letting):
    """An audit hook. A callback has something audited, and more is whether it wants or not."""

    by = "audited"

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)
        sys.addaudithook(lambda *_: inside.enter())


class Strings(Way):
    """Names with an opinion on what they are equal to. None of them is to be asked."""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside)

        def meddle(*_: Any) -> Any:
            inside.enter()
            raise AssertionError("a name was asked something")

        asked = ["__hash__", "__eq__", "__str__", "__len__", "__bool__", "startswith"]
        inside.spell = type("Hostile", (str,), dict.fromkeys(asked, meddle))


WAYS: dict[str, type[Way]] = {
    "tracing": Tracing,
    "profiling": Profiling,
    "signals": Signals,
    "collections": Collections,
    "weak references": WeakReferences,
    "callbacks": Callbacks,
    "comparisons": Comparisons,
    "finalisers": Finalisers,
    "audits": Audits,
    "strings": Strings,
}
