"""Metrics: what the program does, in numbers, for whoever collects such.

They are taken as they are asked for, from what the runtime knows and counts: nobody is asked, and
while nobody collects, they cost nothing. Labels are classes, never PIDs, and never too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final, Literal, NamedTuple

from fauxtp._base.events import MOST, OTHER
from fauxtp._core.ended_loops import living
from fauxtp.observe import durations
from fauxtp.observe.events import counts
from fauxtp.observe.loop_watch import blocked
from fauxtp.registry import default

__all__ = ["Histogram", "Metric", "collect"]

Labels = tuple[str, ...]


class Histogram(NamedTuple):
    """How many of what was measured were at most so many seconds, and all of them together.

    >>> Histogram({0.001: 2, 0.002: 3}, 4, 0.25).total
    4
    """

    buckets: dict[float, int]
    total: int
    seconds: float


class Metric(NamedTuple):
    """One metric: its name, kind, what it tells, its labels, and what there is for each of them.

    >>> Metric("fauxtp_names", "gauge", "Names that somebody has", (), {(): 3}).values[()]
    3
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: Labels
    values: dict[Labels, float] | dict[Labels, Histogram]


_CLASS: Final = ("class",)
_CHILD: Final = ("supervisor", "child")

# By the kind of events: the name, what it tells, the labels
_COUNTED: Final[dict[str, tuple[str, str, Labels]]] = {
    "started": ("processes_started", "Processes whose init was over", _CLASS),
    "ended": ("processes_ended", "Processes that have ended", ("class", "how")),
    "crashed": ("crashes", "Processes that an error of theirs has ended", ("class", "error_type")),
    "init_failed": ("inits_failed", "Processes that never ran", _CLASS),
    "terminate_failed": ("terminates_failed", "Errors in terminate", _CLASS),
    "restarted": ("restarts", "Children that were started again", _CHILD),
    "restarts_exceeded": ("restarts_exceeded", "Children that were given up", _CHILD),
    "handled": ("messages_handled", "Messages that handlers of servers have begun", _CLASS),
    "dead_letter": ("dead_letters", "Messages that nobody will read", ("reason",)),
    "call_timed_out": ("call_timeouts", "Calls without an answer in time", _CLASS),
    "call_cycle": ("call_cycles", "Calls that would have waited for themselves", _CLASS),
    "slow_handler": ("slow_handlers", "Warnings of slow handlers, while there is a watch", _CLASS),
    "mailbox_high": ("long_mailboxes", "Warnings of long mailboxes, while there is one", _CLASS),
    "mailbox_full": ("mailbox_full", "Messages refused, as there was no room", _CLASS),
}


def collect() -> list[Metric]:
    """Return all metrics, as they are now. Any thread may ask. It raises nothing.

    Counters begin anew in a forked process. Of how long handlers take there is a histogram while
    that is measured: see `fauxtp.observe.prometheus.register`.

    >>> from fauxtp import send_nowait
    >>> send_nowait("nobody", "hello")
    >>> letters = next(each for each in collect() if each.name == "fauxtp_dead_letters")
    >>> letters.kind, letters.labels, letters.values["noproc",] >= 1
    ('counter', ('reason',), True)
    """
    return [*_gauges(), *_counters(), *_histograms()]


def _gauges() -> Iterator[Metric]:
    now = monotonic()
    processes: dict[Labels, float] = {}
    waiting: dict[Labels, float] = {}
    longest: dict[Labels, float] = {}
    running: dict[Labels, float] = {}
    for process in living():
        key = (process.kind.__name__,)
        if key not in processes and len(processes) >= MOST:
            key = (OTHER,)
        messages = len(process.mailbox)
        since = 0.0 if process.handling is None else max(0.0, now - process.handled_since)
        processes[key] = processes.get(key, 0) + 1
        waiting[key] = waiting.get(key, 0) + messages
        longest[key] = max(longest.get(key, 0), messages)
        running[key] = max(running.get(key, 0.0), since)
    for name, text, values in (
        ("processes", "Processes that live", processes),
        ("mailbox_messages", "Messages that lie in mailboxes", waiting),
        ("mailbox_messages_max", "Messages that lie in the longest mailbox", longest),
        ("handler_running_seconds_max", "For how long the slowest handler runs now", running),
    ):
        yield Metric(f"fauxtp_{name}", "gauge", text, _CLASS, values)
    names: dict[Labels, float] = {(): len(default)}
    yield Metric("fauxtp_names", "gauge", "Names that somebody has", (), names)


def _counters() -> Iterator[Metric]:
    found: dict[str, dict[Labels, float]] = {kind: {} for kind in _COUNTED}
    for key, number in counts().items():
        if key[0] in found:
            found[key[0]][key[1:]] = number
    for kind, (name, text, labels) in _COUNTED.items():
        yield Metric(f"fauxtp_{name}", "counter", text, labels, found[kind])
    text = "For how long event loops stood still, as a watch has seen it"
    seconds: dict[Labels, float] = {(): blocked.value / 1e9}
    yield Metric("fauxtp_loop_blocked_seconds", "counter", text, (), seconds)


def _histograms() -> Iterator[Metric]:
    if durations.are_measured():
        text = "How long handlers of servers take"
        name = "fauxtp_handler_duration_seconds"
        yield Metric(name, "histogram", text, _CLASS, durations.histograms(Histogram))
