"""Every program in README.md and on the pages of docs runs, and prints what stands below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import PATIENCE, with_plugins
from consoles import looks_like
from pages import ROOT, Program, pages, programs, write
from site_links import dead_links

SOURCES = re.compile(r"https://github\.com/fizzAI/fauxtp/(blob|tree)/main/(.*)")
PROGRAMS = programs()
RUN = [pytest.param(program, id=program.name) for program in PROGRAMS if program.is_run]
EXCERPTS = [pytest.param(program, id=program.name) for program in PROGRAMS if program.is_excerpt]
HAS_DOCS = (ROOT / "docs").is_dir()


@pytest.mark.parametrize("program", RUN)
def test_a_program_runs_and_prints_what_stands_below_it(program: Program, tmp_path: Path) -> None:
    write(tmp_path, [one for one in PROGRAMS if one.page == program.page])
    file = program.file
    tests = "def test_" in program.text
    if tests:
        file = f"test_{file}"
        (tmp_path / program.file).rename(tmp_path / file)
    how = ["-m", "pytest", "-q", *with_plugins("anyio", "fauxtp")] if tests else []
    done = subprocess.run(
        [sys.executable, "-W", "error", *how, file],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        env={
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "1",
        },
        check=False,
    )
    assert done.returncode == 0, done.stdout
    if tests:
        assert re.search(r"^[1-9]\d* passed", done.stdout, re.MULTILINE)
    elif "…" in program.output:
        assert re.fullmatch(looks_like(program.output), done.stdout), done.stdout
    else:
        assert done.stdout == program.output


@pytest.mark.parametrize("program", EXCERPTS)
def test_an_excerpt_stands_in_the_file_that_it_names(program: Program) -> None:
    whole = (ROOT / program.file).read_text("utf-8")
    pieces = program.text.partition("\n")[2].split("...\n")
    assert [piece for piece in pieces if piece.strip("\n") not in whole] == []


def test_every_python_block_is_run() -> None:
    text = "".join(pages().values())
    assert len(PROGRAMS) == text.count("```python\n") > 0
    shown = sum(bool(program.output) for program in PROGRAMS)
    assert text.count("```text\n") == shown
    files = Counter(program.file for program in PROGRAMS if not program.is_excerpt)
    assert [file for file, times in files.items() if times > 1] == []
    assert "README.md" in {program.page for program in PROGRAMS if program.is_run}


def test_a_page_says_that_a_block_is_python() -> None:
    """So that none is left out: what looks like fauxtp is in a block that is run."""
    for page, text in pages().items():
        others = re.findall(r"^```(?!python)\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert [block for block in others if re.search(r"^\s*(import|from) ", block)] == [], page


def test_a_page_that_leads_to_others_says_what_they_are() -> None:
    for page, text in pages().items():
        for found in re.findall(
            r"^```{toctree}\n:hidden:\n\n(.*?)^```", text, re.MULTILINE | re.DOTALL
        ):
            listed = {link.removesuffix(".md") for link in links_of(text)}
            assert page == "index.md" or {*found.split()} <= listed, page


@pytest.mark.skipif(not HAS_DOCS, reason="these are not the sources")
def test_the_figures_on_performance_are_those_of_the_comparison() -> None:
    row = re.search(r"^\| fauxtp [^|]*\|(.*)\|$", pages()["comparison.md"], re.MULTILINE)
    assert row is not None
    measured = {cell.strip().replace("\xa0", " ") for cell in row[1].split("|")}
    told = re.findall(r"^\| .* \| (\d.*) \|$", pages()["performance.md"], re.MULTILINE)
    assert len(told) == 6
    assert [figure for figure in told if figure not in measured] == []


def links_of(text: str) -> list[str]:
    found = re.findall(r"^\[[^]]+\]: (\S+)$|\]\(([^)\s]+)\)", text, re.MULTILINE)
    return [inside or below for below, inside in found]


def test_what_the_pages_link_to_is_there() -> None:
    """What is on other pages, `make docs` looks up."""
    for page, text in pages().items():
        for link in links_of(text):
            ours = SOURCES.fullmatch(link)
            if ours and HAS_DOCS and (ROOT / "setup.py").exists():
                path = ROOT / ours[2]
                assert path.is_file() if ours[1] == "blob" else path.is_dir(), (page, link)


def test_a_dead_link_of_the_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="below/page.html#there"></a><a href="#top"></a>'
        '<a href="https://elsewhere.example/x"></a><a href="gone.html"></a>'
        '<img src="gone.png"><a href="below/page.html#gone"></a><a href="#gone"></a>'
    )
    (tmp_path / "below" / "page.html").write_text('<p id="there"></p><a href="../index.html"></a>')
    assert dead_links(tmp_path) == [
        "index.html: #gone",
        "index.html: below/page.html#gone",
        "index.html: gone.html",
        "index.html: gone.png",
    ]
