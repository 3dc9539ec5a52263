"""Threads may do all they can while another imports asyncio or trio for the first time."""

from __future__ import annotations

import pytest
from conftest import Run

# What a thread without an event loop may do, to nobody and to a mailbox of its own
EVERYTHING = """
from contextlib import suppress
from fauxtp import *

def do_everything():
    mailbox = Mailbox()
    for to in ("nobody", mailbox.pid):
        send_nowait(to, 1)
        cast_nowait(to, 2)
        exit(to), is_alive(to)
    for ask in (lambda: call_blocking("nobody", 3), lambda: process_info("nobody")):
        with suppress(NoProcess):
            ask()
    with suppress(ReceiveTimeout):
        call_blocking(mailbox.pid, 3, timeout=0)
    register("me", mailbox.pid), whereis("me"), unregister("me")
    processes(), process_infos(), tree()
    mailbox.close()
"""

# The module as another thread sees it that has only begun: each name comes a little later.
PARTS = """
import sys
from types import ModuleType
parts = {part_of!r}

def nothing_runs():
    if {module!r} == "trio":
        return False
    raise RuntimeError

for number in range(len(parts) + 1):
    for name in [*sys.modules]:
        if name.partition(".")[0] == {module!r}:
            del sys.modules[name]
    begun = sys.modules[{module!r}] = ModuleType({module!r})
    for part in parts[:number]:
        owner, _, last = part.rpartition(".")
        value = ModuleType(part) if last == "lowlevel" else nothing_runs
        setattr(getattr(begun, owner) if owner else begun, last, value)
    do_everything()
print("all right")
"""


@pytest.mark.parametrize(
    ("module", "parts"),
    [
        ("asyncio", []),
        ("asyncio", ["get_running_loop"]),
        ("trio", ["lowlevel", "lowlevel.in_trio_run"]),
    ],
)
def test_a_module_that_has_only_begun_is_not_used(run: Run, module: str, parts: list[str]) -> None:
    end = run(EVERYTHING + PARTS.format(module=module, part_of=parts))
    assert (end.stdout, end.stderr) == ("all right\n", "")


RACE = """
import threading
errors, over = [], threading.Event()

def keep_on():
    while not over.is_set():
        try:
            do_everything()
        except BaseException as error:
            errors.append(repr(error))
            raise

threads = [threading.Thread(target=keep_on) for _ in range(4)]
for thread in threads:
    thread.start()
import asyncio
import trio
import fauxtp._loops.asyncio_loop, fauxtp._loops.trio_loop
over.set()
for thread in threads:
    thread.join()
print(errors[:3])
"""


def test_threads_call_while_the_event_loops_are_imported(run: Run) -> None:
    end = run(EVERYTHING + RACE)
    assert (end.stdout, end.stderr) == ("[]\n", "")
