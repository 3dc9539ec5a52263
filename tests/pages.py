"""The programs in README.md and on the pages of docs; `pages PLACE` writes them out.

There they are checked as any program that somebody writes with fauxtp.

A block of Python is a program, and what stands below it is what it prints, log lines too. A first
line such as `# house.py` says that it is a file of that name, which what follows on the page may
import; one such as `# examples/services/flask_service.py`, that it stands in that file: each
piece between lines of `...`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

BLOCK = re.compile(
    r"^```python\n(?P<program>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# ([\w/]+\.py)\n")


def pages() -> dict[str, str]:
    """Return the text of each page by its name; beside an installation, docs may be missing."""
    texts = {
        path.relative_to(ROOT / "docs").as_posix(): path.read_text("utf-8")
        for path in sorted((ROOT / "docs").rglob("*.md"))
    }
    return {"README.md": README, **texts}


class Program(NamedTuple):
    """One block of a page, under the heading above it."""

    page: str
    name: str
    text: str
    output: str

    @property
    def file(self) -> str:
        """The name that it says it has, or one that is made for it."""
        said = FILE.match(self.text)
        return said[1] if said else f"{self.name}.py"

    @property
    def is_excerpt(self) -> bool:
        """Whether it stands in a file that is tested elsewhere."""
        return "/" in self.file

    @property
    def is_run(self) -> bool:
        """Whether it does something by itself."""
        return not self.is_excerpt and (bool(self.output) or not FILE.match(self.text))


def programs_of(page: str, text: str) -> Iterator[Program]:
    """Yield those of one page, as they stand there."""
    for number, found in enumerate(BLOCK.finditer(text), 1):
        heading = re.findall(r"^#+ (.*)", text[: found.start()], re.MULTILINE)[-1]
        name = re.sub(r"\W+", "_", f"{page.removesuffix('.md')} {heading} {number}".lower())
        yield Program(page, name, found["program"], found["output"] or "")


def programs() -> list[Program]:
    """Return those of all pages."""
    return [program for page, text in pages().items() for program in programs_of(page, text)]


def write(place: Path, found: list[Program]) -> None:
    """Write each into a file of its own, and nothing else is there."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.py"):
        old.unlink()
    for program in found:
        if not program.is_excerpt:
            (place / program.file).write_text(program.text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), programs())
