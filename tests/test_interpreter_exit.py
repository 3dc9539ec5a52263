"""The end of the interpreter: threads are frozen then, with whatever locks they held."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any

import pytest
from conftest import Run

# From the first thread on, such a CPython keeps all modules. At its end they are cleared, the
# last that came first: the main program, and what finalises with it, has no others any more.
pytestmark = pytest.mark.skipif(
    sysconfig.get_config_var("Py_GIL_DISABLED") == 1 and sys.version_info < (3, 14),
    reason="CPython 3.13 without the GIL finalises nothing before its modules are cleared",
)

FROZEN = """
import importlib, os, sys, threading
twin = importlib.import_module(f"fauxtp.{sys.argv[1]}")
PID, Registry, retire = twin.PID, twin.Registry, twin.retire
class Late:
    def __init__(self):
        self.pid, self.registry, self.retire, self.write = PID(), Registry(), retire, os.write

    def __del__(self):
        self.registry.watch("late", repr)
        self.registry.register("late", self.pid)
        self.registry.transfer("late", self.pid, type(self.pid)())
        self.registry.unwatch("late", repr)
        self.retire(self.pid)
        self.write(1, f"{self.registry.registered()}".encode())

for lock in (getattr(twin, "_lock", None), twin._watch_lock):
    if lock is not None:  # whoever took it is gone, and never gives it back
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        thread.join()
late = Late()
"""


def test_finalisers_do_not_wait_for_writers_that_are_gone(twin: Any, run: Run) -> None:
    done = run(FROZEN, twin.__name__.rpartition(".")[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "['late']", "")


LETTERS = """
import os, sys, threading
import fauxtp

class Late:
    def __init__(self):
        self.box, self.send, self.letters = fauxtp.Mailbox(), fauxtp.send_nowait, letters
        self.write = os.write
        self.box.put_nowait("a message that nobody reads")

    def __del__(self):
        self.send("nobody", 1)
        self.write(1, f"{self.letters.counts()}".encode())

letters = fauxtp.dead_letters
lock = sys.modules["fauxtp._core.dead_letters"]._lock
thread = threading.Thread(target=lock.acquire)  # it is gone, and never gives it back
thread.start()
thread.join()
late = Late()
"""


def test_finalisers_do_not_wait_for_who_counted_dead_letters(run: Run) -> None:
    done = run(LETTERS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'noproc': 1}", "")
