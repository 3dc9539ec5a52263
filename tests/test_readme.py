"""Every program in README.md runs as it stands there, and prints what stands below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import PATIENCE, with_plugins
from readme_programs import README, programs

SOURCES = "https://github.com/fizzAI/fauxtp/blob/main/"

PROGRAMS = [
    pytest.param(program.text, program.output, id=program.heading.replace(" ", "-"))
    for program in programs()
]


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_a_program_runs_and_prints_what_stands_below_it(
    program: str, output: str, tmp_path: Path
) -> None:
    file = tmp_path / "test_block.py"
    file.write_text(program, "utf-8")
    tests = "def test_" in program
    how = ["-m", "pytest", "-q", *with_plugins("anyio", "fauxtp")] if tests else []
    done = subprocess.run(
        [sys.executable, "-W", "error", *how, file.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    if tests:
        assert re.search(r"^[1-9]\d* passed", done.stdout, re.MULTILINE)
    else:
        assert done.stdout == output


def test_every_python_block_is_run() -> None:
    assert len(PROGRAMS) == README.count("```python\n") > 0
    assert README.count("```text\n") == sum(bool(block.values[1]) for block in PROGRAMS)


def test_what_the_readme_links_to_is_there() -> None:
    """Also on PyPI, which shows the README without the files beside it."""
    here = Path(__file__).parent.parent
    found = re.findall(r"^\[[^]]+\]: (\S+)$|\]\(([^)]+)\)", README, re.MULTILINE)
    targets = [inside or below for below, inside in found]
    links = [target for target in targets if not target.startswith(SOURCES)]
    assert len(links) < len(targets)
    assert all(link.startswith("https://") for link in links), links
    for target in targets:
        path = here / target.removeprefix(SOURCES)
        is_here = "examples/" in target or (here / "setup.py").exists()
        if target not in links and is_here:  # beside an installation are examples only
            assert path.is_file(), target


def test_the_project_and_the_readme_name_one_place() -> None:
    project = Path(__file__).parent.parent / "pyproject.toml"
    urls = tomllib.loads(project.read_text("utf-8"))["project"]["urls"]
    assert f"{urls['Repository']}/blob/main/" == SOURCES
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


def test_the_readme_says_the_problem_first() -> None:
    assert "find each other, talk, and survive" in "\n".join(README.splitlines()[:10])
