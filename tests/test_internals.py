"""What asyncio, anyio and trio keep to themselves: fauxtp does without each of it as with it."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Run
from twins_of import FORMS

import fauxtp
from fauxtp import __main__
from fauxtp._loops import asyncio_examination, asyncio_internals, trio_internals
from fauxtp._loops.asyncio_examination import examine, failures, gives_turns
from fauxtp._loops.internals import NO_STEPS, PLAIN, Internal

PACKAGE = Path(fauxtp.__file__).parent
ALL = (*asyncio_internals.INTERNALS, *trio_internals.INTERNALS)
HERE = [row for row in ALL if row.is_here]
THEIR_FILES = {Path(module.__file__ or "") for module in (asyncio_internals, trio_internals)}

# What each twin is asked for by
CHOICES = ["never", "always"][: len(FORMS)]

# It breaks one of the internals, and leaves all else as it is: in the sources of asyncio, anyio
# and trio that have it, it gets another name. Where it is `changed`, something else has its name.
BROKEN = """
import re, sys
from importlib.machinery import PathFinder, SourceFileLoader
from pkgutil import resolve_name

owner, name, is_changed, also = {owner!r}, {name!r}, {is_changed!r}, {also!r}
sys.modules["_asyncio"] = None  # all of asyncio is in Python here

class Loader(SourceFileLoader):
    def get_code(self, fullname):
        there = self.get_source(fullname)
        source = re.sub(rf"(?<!\\w){{name}}(?!\\w)", f"{{name}}_by_now", there)
        if source == there:
            return super().get_code(fullname)
        for before, after in also:
            source = source.replace(before, after)
        return compile(source, self.path, "exec")

class Finder:
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in ("asyncio", "anyio", "trio"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(fullname, spec.origin)
        return spec

class Something:
    def __call__(self, *arguments, **options):
        return object()

sys.meta_path.insert(0, Finder())
if is_changed:
    holder, what = resolve_name(owner), Something()
    if isinstance(holder, type):
        what = property(lambda self: object(), lambda self, value: None)
    setattr(holder, name, what)
"""

# The same of what has no name of its own that could be another
BEHAVES = {
    "call_soon": """
import asyncio
import re

class Task(asyncio.Task):
    def __init__(self, coro, *, loop, **options):
        shadow = vars(loop).pop("call_soon", None)
        super().__init__(coro, loop=loop, **options)
        if shadow is not None:
            loop.call_soon = shadow

asyncio.Task = Task
""",
    "eager_start": """
import asyncio
import re

class Task(asyncio.Task):
    def __init__(self, coro, *, eager_start=False, **options):
        super().__init__(coro, **options)

asyncio.Task = Task
""",
    "_asyncio": """
import sys
import anyio, anyio._backends

anyio.run(anyio.sleep, 0)  # it has its own by now
del anyio._backends._asyncio
sys.modules["anyio._backends._asyncio"] = None
""",
}

# Arguments that have the name of an attribute
ALSO = {"_runner": [("runner=self,", "runner_by_now=self,")]}

# What a program has to do with fauxtp, and what comes of it
PROGRAM = """
import sys
from contextlib import suppress
import anyio
from fauxtp import *
from fauxtp._loops.asyncio_examination import gives_turns
from fauxtp.testing import explore

diary = []

class Server(GenServer):
    async def init(self):
        return 0

    async def handle_call(self, request, from_, state):
        if isinstance(request, PID):
            return await call(request, "next"), state
        if isinstance(request, anyio.CancelScope):
            request.cancel()
        elif request == "child":
            await self.spawn_child_actor(Server)
        elif request == "task":
            self.children.start_soon(anyio.sleep, 10)
        elif request == "wait":
            await anyio.sleep(0.001)
        elif request == "give way":
            await anyio.lowlevel.checkpoint()
        elif request == "scope":
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(10)
            return scope.cancelled_caught, state
        elif request == "later":
            reply(from_, "at once")
            return NO_REPLY, state
        elif request == "crash":
            raise ValueError(request)
        return state, state + 1

    async def handle_cast(self, request, state):
        return state + request

    async def terminate(self, reason, state):
        diary.append((str(reason), state))

class Top(Supervisor):
    def child_specs(self):
        return [ChildSpec(name, Server, register_as=name) for name in "ab"]

async def crash(name):
    before = whereis(name)
    with suppress(ProcessExited, ValueError):
        await call(name, "crash")
    diary.append(str(await wait_exit(before)))

async def main():
    async with anyio.create_task_group() as group:
        first = await Server.start(task_group=group, register_as="first")
        second = await Server.start(task_group=group, register_as="second")
        for request in ("next", "child", "task", "wait", "give way", "scope", "later", second):
            diary.append(await call(first, request))
        await cast(first, 40)
        diary.append(await call("first", "next"))
        with anyio.CancelScope() as scope:
            await call(first, scope)
            await anyio.lowlevel.checkpoint()
            diary.append("not reached")
        await crash("second")
        top = await Top.start(task_group=group)
        await crash("a")
        await wait_registered("a")
        diary.append(await call("a", "next"))
        for pid in (top, first):
            exit(pid)
            diary.append(str(await wait_exit(pid)))
        last = await Server.start(task_group=group)
        group.cancel_scope.cancel()
    diary.append((is_alive(last), processes()))

async def scenario():
    async with anyio.create_task_group() as group:
        pid = await Server.start(task_group=group)
        async with anyio.create_task_group() as callers:
            callers.start_soon(call, pid, "wait")
            callers.start_soon(call, pid, "scope")
        exit(pid)

if __name__ == "__main__":
    backend, word = sys.argv[1:]
    anyio.run(main, backend=backend)
    print(diary)
    try:
        explore(scenario, seeds=3)
    except RuntimeError as error:
        print(error)
    assert gives_turns() == (word == "turns")
"""


@pytest.fixture(scope="module")
def result() -> str:
    namespace: dict[str, Any] = {}
    exec(PROGRAM, namespace)
    anyio.run(namespace["main"])
    return f"{namespace['diary']}\n"


def breaking(row: Internal, is_changed: bool) -> str:
    if row.name in BEHAVES:
        return BEHAVES[row.name]
    assert row.name.startswith("_"), f"say in BEHAVES how {row} can be broken"
    return BROKEN.format(
        owner=row.owner, name=row.name, is_changed=is_changed, also=ALSO.get(row.name, [])
    )


@pytest.mark.twins
@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("is_changed", [False, True], ids=["gone", "changed"])
@pytest.mark.parametrize("row", HERE, ids=str)
def test_without_it_all_goes_as_with_it(
    row: Internal, is_changed: bool, choice: str, run: Run, result: str
) -> None:
    if is_changed and row.name in BEHAVES:
        pytest.skip("it has no name that something else could have")
    if choice != CHOICES[0] and (is_changed or row.otherwise == NO_STEPS):
        pytest.skip("what is compiled does not look whether it is gone or changed; nor steps")
    backend = "trio" if row in trio_internals.INTERNALS else "asyncio"
    word = "no turns" if row.otherwise == PLAIN else "turns"
    end = run(breaking(row, is_changed) + PROGRAM, backend, word, FAUXTP_EXTENSIONS=choice)
    told = end.stderr.count(f"{row}: {row.otherwise}")
    if row.otherwise == NO_STEPS:
        result += f"{row} is not as fauxtp knows it from {row.known}\n"
    assert (end.stdout, end.returncode) == (result, 0), end.stderr
    assert told == (backend == "asyncio" and row.otherwise != NO_STEPS)


@pytest.mark.parametrize("row", HERE, ids=str)
def test_who_wants_to_know_is_told(row: Internal, run: Run) -> None:
    if row in trio_internals.INTERNALS or row.otherwise == NO_STEPS:
        pytest.skip("it is tried where it is needed")
    program = "import runpy; runpy.run_module('fauxtp', run_name='__main__')"
    end = run(breaking(row, False) + program, FAUXTP_EXTENSIONS="never")
    assert f"\ndone without {row}: {row.otherwise}\n" in end.stdout, end.stderr


def test_where_all_is_as_known_nothing_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    __main__.main()
    assert "done without" not in capsys.readouterr().out


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"], indirect=True)
def test_all_of_them_work_here(loop: asyncio.AbstractEventLoop) -> None:
    async def in_a_task() -> list[Internal]:
        return failures(loop)

    assert loop.run_until_complete(in_a_task()) == []
    in_no_task: list[Any] = []
    loop.call_soon(lambda: in_no_task.append(failures(loop)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert in_no_task == [[]]


def test_all_of_them_work_on_trio() -> None:
    async def try_them() -> None:
        async with anyio.create_task_group() as group:
            assert all(row.works(group) for row in trio_internals.INTERNALS)

    anyio.run(try_them, backend="trio")


@pytest.mark.parametrize("row", [row for row in HERE if row.otherwise == NO_STEPS], ids=str)
def test_loops_can_be_stepped_here(row: Internal) -> None:
    assert row.works(None)


async def number_of_the_next_task() -> int:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    return int(task.get_name().removeprefix("Task-"))


def test_the_loop_does_not_come_to_know_that_they_are_tried() -> None:
    asked: list[str] = []

    async def tried() -> None:
        loop = asyncio.get_running_loop()
        before = asyncio.current_task(), asyncio.all_tasks()
        number = await number_of_the_next_task()
        for name in (
            "call_soon",
            "call_soon_threadsafe",
            "call_later",
            "call_at",
            "create_future",
        ):
            setattr(loop, name, lambda *_, name=name, **__: asked.append(name))
        assert failures(loop) == []
        for name in [name for name in vars(loop) if name.startswith(("call_", "create_"))]:
            delattr(loop, name)
        assert (asyncio.current_task(), asyncio.all_tasks()) == before
        assert await number_of_the_next_task() == number + 1

    asyncio.run(tried())
    assert not asked


@pytest.mark.parametrize("error", [MemoryError, RecursionError, KeyboardInterrupt])
def test_what_says_nothing_of_asyncio_is_raised(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> bool:
        raise error

    row = Internal("asyncio", "sleep", "", PLAIN, fails)
    monkeypatch.setattr(asyncio_examination, "INTERNALS", [row])
    monkeypatch.setattr(asyncio_examination, "_broken", None)

    async def tried() -> None:
        task = asyncio.current_task()
        with pytest.raises(error):
            examine(asyncio.get_running_loop())
        assert asyncio.current_task() is task

    asyncio.run(tried())
    assert gives_turns()


def named(path: Path) -> set[str]:
    """Return all that a file names in any way."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for field in ("attr", "name", "id", "value", "arg", "asname", "module"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                found.update(name.split("."))
    return found


THEIRS = {
    part for row in ALL for part in (*row.owner.split("."), row.name) if part.startswith("_")
}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_other_file_names_one(path: Path) -> None:
    names = named(path) & THEIRS
    assert bool(names) == (path in THEIR_FILES), names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.p[xy][dx]")), ids=lambda path: path.name)
def test_of_what_is_compiled_only_what_hosts_names_one(path: Path) -> None:
    names = set(re.findall(r"\w+", path.read_text("utf-8"))) & THEIRS
    assert not names or path.parent.name == "_hosting", names
