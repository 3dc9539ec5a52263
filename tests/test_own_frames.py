"""Which frames of a stack are the user's, and which handler somebody's code is called by."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType, ModuleType
from typing import Any

import anyio
import pytest
from conftest import task_group

import fauxtp
from fauxtp import GenServer, call
from fauxtp._base.own_frames import handler_of, own_ends
from fauxtp.observe.process_text import stack

LEFT_OUT = "    (1 frame of fauxtp and the event loop)"
OURS, LOOP, COMPILED, USERS = fauxtp.__file__, asyncio.__file__, "fauxtp/_a/_b.pyx", __file__


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ([], (0, 0)),
        ([USERS], (0, 0)),
        ([OURS, COMPILED, USERS, USERS, anyio.__file__, LOOP], (2, 2)),
        ([USERS, OURS, USERS, LOOP], (0, 1)),  # what is between two of the user's stays
        ([OURS, LOOP], (2, 0)),
        (["/app/fauxtp_shop.py", OURS], (0, 1)),
    ],
)
def test_frames_at_the_ends_are_told_apart(files: list[str], ends: tuple[int, int]) -> None:
    assert own_ends(files) == ends


@pytest.mark.parametrize("name", ["outcome", "trio"])
def test_a_module_of_the_users_by_the_name_of_a_library_is_the_users(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType(name)
    module.__file__ = f"/app/{name}.py"
    monkeypatch.setitem(sys.modules, name, module)
    assert own_ends([LOOP, "/app/shop.py", module.__file__, OURS]) == (1, 1)


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ([1, 2], [LEFT_OUT, "    b:2 in b", "    c:3 in c", LEFT_OUT]),  # what the last awaits
        ([1, 1], [LEFT_OUT, "    b:2 in b", "    c:3 in c", "    d:4 in d"]),
        ([4, 0], ["    (4 frames of fauxtp and the event loop)"]),
        (None, ["    a:1 in a", "    b:2 in b", "    c:3 in c", "    d:4 in d"]),
        ([0, -1], ["    a:1 in a", "    b:2 in b", "    c:3 in c", "    d:4 in d"]),
        (["x", 1], ["    a:1 in a", "    b:2 in b", "    c:3 in c", "    d:4 in d"]),
    ],
)
def test_it_is_said_how_many_are_left_out(own: Any, shown: list[str]) -> None:
    lines = stack({"stack": [["abcd"[n], n + 1, "abcd"[n]] for n in range(4)], "own_frames": own})
    assert len(lines) == len(shown)
    assert all(line.startswith(part) for line, part in zip(lines, shown, strict=True))


class Asked(GenServer[None, None]):
    """Tells which handler its helper finds itself in."""

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[Any, None]:
        return self.helper(), None

    def helper(self) -> FrameType | None:
        return handler_of(sys._getframe())


@pytest.mark.anyio
async def test_the_handler_is_found_that_called_something() -> None:
    assert handler_of(sys._getframe()) is None
    async with task_group() as group:
        frame = await call(await Asked.start(task_group=group), 1)
        assert frame.f_code is Asked.handle_call.__code__
