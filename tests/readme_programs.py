"""The programs in README.md, and what stands below them; `readme_programs PLACE` writes them out.

There they are checked as any program that somebody writes with fauxtp.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")

BLOCK = re.compile(
    r"^```python\n(?P<program>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Program(NamedTuple):
    """One block of README.md, under the heading above it."""

    heading: str
    text: str
    output: str


def programs() -> list[Program]:
    """Return all of them, as they stand there."""
    return [
        Program(
            re.findall(r"^#+ (.*)", README[: found.start()], re.MULTILINE)[-1],
            found["program"],
            found["output"] or "",
        )
        for found in BLOCK.finditer(README)
    ]


def write(place: Path) -> None:
    """Write each into a file of its own, and nothing else is there."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.py"):
        old.unlink()
    for number, program in enumerate(programs(), 1):
        name = re.sub(r"\W+", "_", program.heading.lower())
        (place / f"{name}_{number}.py").write_text(program.text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
