"""What the consoles on the pages show is what the commands print, but for figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import agrees, can_be_played, commands_of, console
from pages import pages, programs, write

SESSIONS = [page for page, text in pages().items() if "```console\n" in text]


@pytest.mark.skipif(not can_be_played, reason="there is no bash")
@pytest.mark.parametrize("page", SESSIONS)
def test_a_console_shows_what_commands_print(page: str, tmp_path: Path) -> None:
    write(tmp_path, [one for one in programs() if one.page == page])
    with console(tmp_path) as terminal:
        for command in commands_of(pages()[page]):
            printed = terminal.type(command)
            assert agrees(command.output, printed), f"$ {command.line}\n{printed}"


def test_what_a_console_would_not_show_is_found(tmp_path: Path) -> None:
    assert agrees("PID 12  0.5 s\n…\nend …\n", "PID 345 1.25 s\none\ntwo\nend 7 of it\n")
    assert agrees("  12 and 3\n", " 123  and  45\n")
    assert not agrees("  below\n", "below\n")
    assert not agrees("PID 12\n", "PID twelve\n")
    assert not agrees("one\n", "one\ntwo\n")
