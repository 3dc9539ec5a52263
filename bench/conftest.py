"""One table in place of pytest-benchmark's own: operations down, contenders across."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from bench.figures import Row, aligned, interpreter, median_ratio

BASE = "dict"  # the contender that the others are measured by
Benchmark = dict[str, Any]  # as pytest-benchmark has it
finished = pytest.StashKey[list[Benchmark]]()


class Setting(NamedTuple):
    """What contenders must have in common to be compared."""

    operation: str
    names: int
    threads: int


Times = dict[Setting, dict[str, list[float]]]  # contender -> nanoseconds, turn by turn


def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: list[Benchmark]
) -> list[tuple[str, list[Benchmark]]]:
    config.stash[finished] = benchmarks
    return []  # without groups, pytest-benchmark shows nothing


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    benchmarks = config.stash.get(finished, [])
    if benchmarks:
        for line in table(collect(benchmarks)):
            terminalreporter.write_line(line)


def collect(benchmarks: list[Benchmark]) -> Times:
    times: Times = {}
    for benchmark in benchmarks:
        params = benchmark["params"]
        setting = Setting(params["operation"], params["names"], params["threads"])
        nanoseconds = benchmark["median"] / benchmark["extra_info"]["operations"] * 1e9
        times.setdefault(setting, {}).setdefault(params["contender"], []).append(nanoseconds)
    return times


def table(times: Times) -> Iterator[str]:
    """Yield the lines of the table: a median time, and the median ratio to the base."""
    contenders = list(dict.fromkeys(name for row in times.values() for name in row))
    yield ""
    yield f"{interpreter()}: nanoseconds an operation, all threads together; × {BASE}"
    yield f"(of PIDs, {BASE} means an object() in the place of a PID)"
    yield ""
    header = ["", "names", "threads"]
    for contender in contenders:
        header += [contender] if contender == BASE else [contender, ""]
    yield from aligned([tuple(header), *(line(*item, contenders) for item in times.items())])


def line(setting: Setting, times: dict[str, list[float]], contenders: list[str]) -> Row:
    cells = [setting.operation, f"{setting.names:,}", str(setting.threads)]
    base = times.get(BASE)
    for contender in contenders:
        ours = times.get(contender)
        cells.append(f"{statistics.median(ours):.0f}" if ours else "")
        if contender != BASE:
            cells.append(f"× {median_ratio(ours, base):.2f}" if ours and base else "")
    return tuple(cells)
