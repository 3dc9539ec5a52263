"""What is compared, and the figures of one peer."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.figures import median_ratio


@dataclass(frozen=True)
class Measure:
    """One column of the comparison."""

    name: str
    meaning: str
    count: int  # of operations in a turn, or of processes

    def text(self, value: float) -> str:
        """Return a value with its unit, to two digits."""
        if self.name == "memory":
            return f"{value / 1e3:.1f} kB"
        for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if value >= 0.9995 * unit:
                return f"{value / unit:.{1 if value < 9.95 * unit else 0}f} {name}"
        return f"{value / 1e-9:.0f} ns"


MEASURES = [
    Measure("look-up", "finding one of 1,000 processes by its name", 100_000),
    Measure("call", "a call and its answer, by one client", 5_000),
    Measure("100 clients", "the same while 100 clients call at once, for each call", 5_000),
    Measure("chain", "a call to a server that calls another one before it answers", 3_000),
    Measure("suspends", "a call whose handler lets the event loop go round once", 3_000),
    Measure("cast", "a message without an answer, its handling included", 10_000),
    Measure("start + stop", "starting a process, ending it, and hearing that it ended", 500),
    Measure("memory", "what one of 100,000 idle processes with names occupies, all in", 100_000),
]


@dataclass
class Row:
    """One peer: its version, what is known of each measure, or why it has none."""

    label: str
    version: str = ""
    state: str = ""  # why there are no figures; empty: there are
    notes: list[str] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)  # a value for each round

    def note(self, measure: str, value: float | str | None) -> None:
        """Take down one line that a script has printed."""
        if isinstance(value, str):
            self.version = value
        elif value is not None:
            self.values.setdefault(measure, []).append(value)

    def middle(self, measure: Measure) -> float | None:
        values = self.values.get(measure.name)
        return statistics.median(values) if values and not self.state else None

    def against(self, base: Row, measure: Measure) -> float | None:
        """Return how many times the figure of `base` this one's is."""
        if self.middle(measure) is None or base.middle(measure) is None:
            return None
        return median_ratio(self.values[measure.name], base.values[measure.name])

    def title(self) -> str:
        new = self.version and self.version not in self.label
        return f"{self.label} {self.version}" if new else self.label
