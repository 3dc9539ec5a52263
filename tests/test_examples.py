"""Each example runs by itself, ends by itself, and shows what it says it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE

EXAMPLES = Path(__file__).parent.parent / "examples"

# Runs an example in the other kind of event loop. It is imported, as what `runpy` executes has no
# loader in its `__spec__`, which CPython 3.15 warns of when it looks for lines of a traceback.
ON_TRIO = """
import sys, anyio
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("example", sys.argv[1])
module = sys.modules["example"] = module_from_spec(spec)
spec.loader.exec_module(module)
anyio.run(module.main, backend="trio")
"""


def shows(*command: str) -> tuple[list[str], str]:
    """Run a program; return the lines that it prints, and what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def example(name: str, loop: str = "asyncio") -> tuple[list[str], str]:
    path = str(EXAMPLES / name)
    return shows(path) if loop == "asyncio" else shows("-c", ON_TRIO, path)


def quiet_example(name: str, loop: str = "asyncio") -> list[str]:
    lines, errors = example(name, loop)
    assert errors == ""
    return lines


def test_every_example_is_tested_here() -> None:
    tested = set(re.findall(r'example\("(\w+\.py)"', Path(__file__).read_text("utf-8")))
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_the_store_is_found_by_its_name_and_says_what_it_holds(loop: str) -> None:
    lines = quiet_example("01_concurrent_kvstore.py", loop)
    tree = [line.split(" <PID")[0] for line in lines[1:6]]
    assert tree == [
        "Everybody",
        "  KVStore 'kvstore'",
        "  Reader 'reader:1'",
        "  Reader 'reader:2'",
        "  Reader 'reader:3'",
    ]
    assert lines[6:] == [
        "all readers have read what they were told of",
        "the store says: {'keys': 300, 'reads': 300}",
        "after the end: None",
    ]


def test_the_pipeline_keeps_to_the_pace_of_its_consumer(loop: str) -> None:
    lines = quiet_example("02_pipeline_processing.py", loop)
    made = [int(line.split()[1]) for line in lines if line.startswith("made")]
    used = [int(line.split()[1]) for line in lines if line.split()[0] == "used"]
    assert made == sorted(used) == list(range(1, 25))
    # What was made before anything was used fits into mailboxes and hands: three processors
    # with one in hand and room for two, the consumer likewise, and one on the way.
    assert sum(line.startswith("made") for line in lines[: lines.index(first_use(lines))]) <= 13
    assert lines[-2:] == [
        "sum of the squares of 1 to 24: 4900",
        "waiting for the consumer, at most: 2 (it has room for 2)",
    ]


def first_use(lines: list[str]) -> str:
    return next(line for line in lines if line.split()[0] == "used")


def test_the_queue_hands_each_job_to_one_worker(loop: str) -> None:
    lines = quiet_example("03_task_queue.py", loop)
    answers = [line.split(", says worker ")[0] for line in lines[:9]]
    assert answers == [f"{number} squared is {number**2}" for number in range(1, 10)]
    assert lines[9] == "jobs done: 9"
    assert sum(map(int, re.findall(r"'worker \d': (\d+)", lines[10]))) == 9


def test_what_is_published_reaches_whoever_subscribes_to_it(loop: str) -> None:
    lines = quiet_example("04_pubsub.py", loop)
    assert [line for line in lines if line.startswith("Anna")] == [
        "Anna hears of weather: rain",
        "Anna hears of sport: a draw",
        "Anna hears of sport: extra time",
    ]
    assert [line for line in lines if line.startswith("Ben hears")] == [
        "Ben hears of sport: a draw",
    ]
    assert [line for line in lines if "subscribers" in line] == [
        "subscribers of sport: 2",
        "Ben has left; subscribers of sport: 1",
        "subscribers of weather: 0",
    ]


def test_a_server_that_is_killed_under_load_stays_reachable(loop: str) -> None:
    lines, errors = example("05_crash_and_restart.py", loop)
    repeated = lines.pop(4)
    assert lines == [
        "the first greeter ended: kill",
        "the second greeter ended: error: RuntimeError(\"what is 'this'?\")",
        "a third one has the name: True",
        "answers: 1000 of 1000",
        "still the third: True",
    ]
    assert re.fullmatch(r"failures that were repeated: [1-9]\d*", repeated)
    assert re.match(r"(ERROR fauxtp: )?Greeter 'greeter' <PID \d+> crashed\nTraceback", errors)
    assert "\nRuntimeError: what is 'this'?\n" in errors
    assert errors.count("Traceback") == 1  # logged once
    assert errors.endswith("\nthe message that was handled: Cast 'this'\n")  # and nothing else


def test_threads_without_an_event_loop_get_answers() -> None:
    lines = quiet_example("06_threads.py")
    assert lines == [
        "requests: 400 in 8 threads",
        "different answers for each page: 100",
        "visits: {'/page/0': 100, '/page/1': 100, '/page/2': 100, '/page/3': 100}",
        "after the end: None",
    ]


def test_a_connection_comes_back_by_itself(loop: str) -> None:
    lines = quiet_example("07_reconnecting.py", loop)
    assert [line for line in lines if not line.startswith("  ")] == [
        "nobody is there yet: away",
        "but an answer comes: HELLO",
        "the far end goes away, and nobody says so",
        "an answer comes all the same: AND NOW?",
        "we hang up ourselves",
        "['STILL THERE?', 'STILL THERE?'] {}",
    ]
    assert lines.count("  connected") == 3
    assert "  nobody there; again in 0.01 s" in lines
