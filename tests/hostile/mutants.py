"""Whether the tests notice faults: `python mutants.py [--count N] [--seed N] [FILE ...]`.

From the files, or all of those that have tests here, a seed chooses mutants (see mutation.py).
For each, the tests of its file run in a copy of the sources, in pure Python, until one fails. It
is killed if one does, or if they take far longer than without it. Who survives is printed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import with_plugins

from hostile.mutation import Mutant, mutants

ROOT = Path(__file__).parents[2]
COPIED = ("fauxtp", "tests", "examples", "README.md", "pyproject.toml")
FLOOR = 0.80  # of the mutants, so many are killed
PATIENCE = 10.0  # seconds, beside three times what the tests take without a fault
MEMORY = 4_000_000  # KB of addresses: a loop without an end may fill a list

TESTS = {
    "_core/await_chain.py": "await_chain children_that_hang questions",
    "_core/bounded_queue.py": "bounded_mailboxes fair_room given_up threads",
    "_core/calls.py": "calls genserver taken_up dead_letters threads requests travelling growth"
    " carrying states_from_outside",
    "_core/control.py": "states_from_outside",
    "_core/crowd.py": "mailbox mailbox_races threads",
    "_core/shown_contents.py": "reports states_from_outside",
    "_core/crash_circumstances.py": "reports",
    "_core/dead_letters.py": "dead_letters bad_listeners fork",
    "_core/death.py": "exits ending ended_loops bad_listeners",
    "_core/elsewhere.py": "elsewhere",
    "_core/ended_loops.py": "ended_loops losing_loops",
    "_core/given_up.py": "given_up taken_up",
    "_core/request.py": "types",
    "_core/room_line.py": "bounded_mailboxes fair_room given_up",
    "_core/mailbox.py": "mailbox bounded_mailboxes messaging inspection dead_letters elsewhere",
    "_core/patterns.py": "patterns mailbox",
    "_core/phase.py": "actor exits inspection",
    "_core/process.py": "actor exits ending inspection actor_errors bad_listeners fork",
    "_core/wait_for_room.py": "bounded_mailboxes fair_room threads given_up circles_of_room"
    " pending_calls timers checkpoints",
    "_core/queue.py": "mailbox bounded_mailboxes given_up dead_letters mailbox_races",
    "_core/receiving.py": "mailbox actor messaging mailbox_races deadlines",
    "_core/crash_log.py": "actor_errors what_is_told reports events told_once",
    "_core/running_process.py": "actor exits contexts starting",
    "_core/crash_storms.py": "reports",
    "_core/succession.py": "on_demand idle_timeout fork hostile/explore",
    "_core/server_state.py": "hostile/server_states genserver handoff",
    "_core/short_traceback.py": "reports",
    "_core/told_handlers.py": "events",
    "_core/carried_handlers.py": "carrying",
    "_core/carried_messages.py": "carrying",
    "_core/continuing.py": "continuing carrying",
    "_messaging/told.py": "events",
    "_messaging/addresses.py": "messaging names calls on_demand elsewhere events"
    " carrying opentelemetry",
    "_messaging/call_blocking.py": "calls threads safe_retry imports_under_way",
    "_messaging/carry.py": "carrying",
    "_messaging/delivery.py": "delivery messaging names calls handoff exits",
    "_messaging/exits.py": "exits ending bad_listeners elsewhere checkpoints",
    "_messaging/links.py": "exits bad_listeners elsewhere",
    "_messaging/monitors.py": "exits groups bad_listeners elsewhere",
    "_messaging/groups.py": "groups",
    "_messaging/wait_registered.py": "names messaging safe_retry",
    "_messaging/watch_names.py": "watch_names",
    "_messaging/call_circles.py": "calls circles_of_room",
    "_messaging/outcome.py": "calls messaging safe_retry taken_up given_up circles_of_room",
    "_messaging/pending_call.py": "pending_calls cancelled_calls states_from_outside",
    "_messaging/safe_retry.py": "safe_retry",
    "_messaging/sending.py": "messaging calls safe_retry taken_up given_up "
    "bounded_mailboxes deadlines circles_of_room",
    "_messaging/timers.py": "timers",
    "_supervision/any_supervisor.py": "supervisor_changes dynamic_supervisor",
    "_supervision/backoff.py": "backoff",
    "_supervision/beside.py": "supervisor supervisor_changes dynamic_supervisor",
    "_supervision/on_demand_source.py": "on_demand idle_timeout",
    "_supervision/start_or_find.py": "names taken_names",
    "_supervision/supervision.py": "supervisor supervisor_changes supervisor_stop"
    " supervisor_lines auto_shutdown",
    "_supervision/changes.py": "supervisor_changes supervisor_lines",
    "_supervision/child.py": "supervisor supervisor_changes backoff auto_shutdown",
    "_supervision/child_spec.py": "supervisor supervisor_changes backoff travelling",
    "_supervision/children.py": "supervisor supervisor_changes supervisor_lines backoff"
    " children_that_hang dynamic_supervisor",
    "_supervision/dynamic_supervision.py": "dynamic_supervisor backoff",
    "_supervision/dynamic_supervisor.py": "dynamic_supervisor",
    "_supervision/expecting.py": "on_demand tasks ends_in_order",
    "_supervision/hooks.py": "backoff auto_shutdown dynamic_supervisor",
    "_supervision/intensity.py": "supervisor backoff dynamic_supervisor",
    "_supervision/on_demand.py": "on_demand",
    "_supervision/partition_supervisor.py": "partitions",
    "_supervision/supervisor_log.py": "supervisor supervisor_lines dynamic_supervisor reports"
    " auto_shutdown children_that_hang",
    "_supervision/restarts.py": "supervisor backoff taken_names",
    "_supervision/tasks.py": "tasks",
    "_supervision/supervisor.py": "supervisor supervisor_changes auto_shutdown reserved_names",
}


def tests_of(file: str) -> list[str]:
    """Return the files with the tests of a file."""
    paths = [f"tests/{test}".rpartition("/") for test in TESTS[file].split()]
    return [f"{folder}/test_{name}.py" for folder, _, name in paths]


class Sources:
    """A copy of the sources, in which one fault at a time is planted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._moments = count(1)
        self._times: dict[str, float] = {}
        for name in COPIED:
            if (ROOT / name).is_dir():
                leave = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
                shutil.copytree(ROOT / name, path / name, ignore=leave)
            else:
                shutil.copy(ROOT / name, path / name)

    def survives(self, file: str, mutant: Mutant) -> bool:
        """Return whether no test notices the fault."""
        path, tests = self.path / "fauxtp" / file, tests_of(file)
        patience, text = PATIENCE + 3 * sum(map(self._how_long, tests)), path.read_text("utf-8")
        self._write(path, mutant.of(text))
        try:
            return self._passes(tests, patience)
        finally:
            self._write(path, text)

    def _how_long(self, test: str) -> float:
        """Return how many seconds a file of tests takes without a fault."""
        if test not in self._times:
            began = perf_counter()
            if not self._passes([test], None):
                sys.exit(f"there is a failure without a fault: {test}")
            self._times[test] = perf_counter() - began
        return self._times[test]

    def _write(self, path: Path, text: str) -> None:
        """Write a file, of another time than all before: bytecode that was kept is of no use."""
        path.write_text(text, "utf-8")
        moment = next(self._moments)
        os.utime(path, (moment, moment))

    def _passes(self, tests: list[str], patience: float | None) -> bool:
        """Return whether the tests pass, in time."""
        options = ["-qx", "--no-header", *with_plugins("anyio", "benchmark", "fauxtp")]
        limited = ["sh", "-c", f'ulimit -v {MEMORY}; exec "$@"', "sh"]
        child = subprocess.Popen(
            [*limited, sys.executable, "-m", "pytest", *options, *tests],
            cwd=self.path,
            env={**os.environ, "FAUXTP_EXTENSIONS": "never", "PYTHONPATH": str(self.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return child.wait(patience) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and what the tests have started
            child.wait()


def choose(files: list[str], number: int, seed: int) -> list[tuple[str, Mutant]]:
    """Return so many mutants of the files; the same for the same seed."""
    known = [
        (file, mutant)
        for file in files
        for mutant in mutants((ROOT / "fauxtp" / file).read_text("utf-8"))
    ]
    chosen = random.Random(seed).sample(known, min(number, len(known)))
    print(f"{len(chosen)} of {len(known)} mutants, --seed {seed}", flush=True)
    return chosen


def main() -> None:
    parser = ArgumentParser(description="See whether the tests notice faults.")
    parser.add_argument("files", nargs="*", default=list(TESTS), help="below fauxtp/")
    parser.add_argument("--count", type=int, default=200, help="how many are tried")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    chosen, alive = choose(asked.files, asked.count, asked.seed), 0
    with tempfile.TemporaryDirectory() as scratch:
        sources = Sources(Path(scratch))
        for file, mutant in chosen:
            if sources.survives(file, mutant):
                alive += 1
                print(f"fauxtp/{file}:{mutant}", flush=True)
    score = 1 - alive / max(len(chosen), 1)
    print(f"{len(chosen) - alive} of {len(chosen)} are killed: {score:.1%}, at least {FLOOR:.0%}")
    sys.exit(score < FLOOR)


if __name__ == "__main__":
    main()
