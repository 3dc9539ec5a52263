"""The states of servers under many schedules: one follows another only as the table tells.

    python -m hostile.server_states SEED SCHEDULES [FAULT]

runs the scenarios of `explore` on the twins in Python, whose every change of a field can be seen,
and prints what was against the table, and which rows of it nobody has used.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from typing import Any

from fauxtp._actors.genserver import GenServer
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.server_state import NEXT, ServerState, state_of
from fauxtp.testing import SeedFailed, explore
from hostile import lives, talk

SCENARIOS = talk.calls, talk.circles, talk.messages, lives.deaths, lives.restarts
Row = tuple[str, str]


class Watch:
    """Sees each change of a field, and counts which state has followed which."""

    def __init__(self) -> None:
        self.states: dict[Process, ServerState] = {}
        self.rows: Counter[Row] = Counter()
        for kind in (Process, Queue):
            kind.__setattr__ = self.noting(kind)  # type: ignore[method-assign]

    def noting(self, kind: type) -> Any:
        set_as_before: Any = kind.__setattr__

        def set_and_look(it: Any, name: str, value: object) -> None:
            set_as_before(it, name, value)
            if name in {"idle", "handling", "handed_over", "waiting"}:
                process = it if kind is Process else find_process(it.pid)
                if process is not None and getattr(process, "step", None) is not None:
                    self.look(process)

        return set_and_look

    def look(self, process: Process) -> None:
        if not issubclass(process.kind, GenServer):
            return
        before = self.states.get(process, ServerState.BETWEEN)
        self.states[process] = after = state_of(process)
        if after is not before:
            self.rows[before.name, after.name] += 1


def plant() -> None:
    """Let a server be stepped again while it is."""
    hosting: Any = importlib.import_module("fauxtp._hosting.group_keeper")
    step = hosting.step

    def again(process: Process, *arguments: Any) -> Any:
        answer = step(process, *arguments)
        process.idle = True
        return answer

    hosting.step = again


def main() -> None:
    first, number = int(sys.argv[1]), int(sys.argv[2])
    watch = Watch()
    if sys.argv[3:]:
        plant()
    for scenario in SCENARIOS:
        try:
            explore(scenario, range(first, first + number))
        except SeedFailed:
            if not sys.argv[3:]:
                raise
        watch.states.clear()
    table = {(before.name, after.name) for before, nexts in NEXT.items() for after in nexts}
    against = {f"{before} -> {after}" for before, after in watch.rows.keys() - table}
    unused = {f"{before} -> {after}" for before, after in table - watch.rows.keys()}
    print(json.dumps({"against": sorted(against), "unused": sorted(unused)}))  # noqa: T201


if __name__ == "__main__":
    main()
