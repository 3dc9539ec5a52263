"""README.md is one screen, and says what somebody has to know who may never see another page."""

from __future__ import annotations

import tomllib

from pages import README, ROOT
from test_pages import links_of

SOURCES = "https://github.com/fizzAI/fauxtp/"
LINES = 80


def test_the_project_and_the_readme_name_one_place() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert f"{urls['Repository']}/" == SOURCES
    assert all(url.startswith(urls["Repository"]) for url in urls.values())
    assert all(link.startswith(SOURCES) for link in links_of(README))


def test_the_readme_links_to_what_is_there_for_everybody() -> None:
    """Also on PyPI, which shows the README without the files beside it."""
    links = links_of(README)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_readme_says_the_problem_first() -> None:
    assert "find each other, talk, and survive" in "\n".join(README.splitlines()[:10])


def test_the_readme_is_one_screen_with_one_program_and_two_commands() -> None:
    links = README.index("\n[Names]: ")
    assert len(README[:links].splitlines()) <= LINES
    assert README.count("```python") == 1
    commands = README[README.index("```sh") :].split("```")[1].splitlines()[1:]
    assert [line.split("#")[0].strip() for line in commands] == ["make demo", "make test"]


def test_the_readme_and_the_front_page_say_what_to_know_before() -> None:
    front = [(README, LINES)]
    if (ROOT / "docs").is_dir():
        front.append(((ROOT / "docs" / "index.md").read_text("utf-8"), 20))
    for text, lines in front:
        first = " ".join("\n".join(text.splitlines()[:lines]).split())
        for said in ("names are those of one OS process", "by SIGTERM", "keeps a core busy"):
            assert said.lower() in first.lower().replace("[", "").replace("]", ""), said
        for safe in ("`NoProcess`", "`MailboxFull`", "`taken_up`"):
            assert safe in first
