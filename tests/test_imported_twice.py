"""There is one fauxtp in an interpreter, however often it is imported."""

from __future__ import annotations

import pkgutil

import pytest
from conftest import Run

import fauxtp
from fauxtp._base.implementation import EXTENSIONS

MODULES = sorted({f"fauxtp.{module.name}" for module in pkgutil.walk_packages(fauxtp.__path__)})

# What a program does with fauxtp, and with which one it does it.
BEFORE = """
import importlib, sys
from unittest import mock

def ours():
    return {name: it for name, it in sys.modules.items() if name.partition(".")[0] == "fauxtp"}

def talk():
    import anyio, fauxtp
    class Echo(fauxtp.GenServer):
        async def handle_call(self, request, from_, state):
            return request, state
    class App(fauxtp.Supervisor):
        def child_specs(self):
            return [fauxtp.ChildSpec("echo", Echo, register_as="echo")]
    async def main():
        async with anyio.create_task_group() as group:
            await App.start(task_group=group, register_as="app")
            echo = fauxtp.whereis("echo")
            assert await fauxtp.call(echo, 1) == await fauxtp.call("echo", 1) == 1
            fauxtp.exit("app")
            await fauxtp.wait_exit(echo)
            try:
                await fauxtp.call(echo, 1)
            except fauxtp.NoProcess:
                pass
    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
"""


@pytest.fixture(params=["always", "never"])
def implementation(request: pytest.FixtureRequest) -> str:
    if request.param == "always":
        request.getfixturevalue("compiled")
    return str(request.param)


def check(run: Run, program: str, word: str, before: str = "import anyio, asyncio, trio") -> None:
    done = run(before + BEFORE + program, options=("-W", "error"), FAUXTP_EXTENSIONS=word)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_after_its_modules_were_taken_out_it_is_the_same(run: Run, implementation: str) -> None:
    check(
        run,
        """
with mock.patch.dict(sys.modules):
    import fauxtp as first
    pid = first.PID()
    assert first.register("kept", pid)
assert not ours()
import fauxtp
assert fauxtp is first and fauxtp.whereis("kept") is pid
talk()
""",
        implementation,
    )


def test_also_what_was_imported_later_is_the_same(run: Run, implementation: str) -> None:
    check(
        run,
        """
import fauxtp
with mock.patch.dict(sys.modules):
    talk()
    before = ours()
talk()
import fauxtp._supervision.supervisor, fauxtp._hosting.handover
after = ours()
assert set(before) <= set(after)
assert all(after[name] is before[name] for name in before)
""",
        implementation,
    )


ANOTHER_ANYIO = """
with mock.patch.dict(sys.modules):
    import anyio, fauxtp as first
    assert first.register("kept", first.PID())
import anyio
"""
REFUSED = "fauxtp._registry serves a fauxtp that was imported before, and cannot serve two"


def test_with_another_anyio_it_is_another_on_the_twins(run: Run, compiled: object) -> None:
    check(
        run,
        f"""{ANOTHER_ANYIO}
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fauxtp
assert fauxtp is not first and fauxtp.registry.implementation == "python"
warning, = caught
assert str(warning.message) == "{REFUSED}; the twins in Python are used", warning
talk()
assert first.registered() == ["kept"] and fauxtp.registered() == []
second, modules = fauxtp, ours()
with mock.patch.dict(sys.modules):
    for name in modules:
        del sys.modules[name]
    import fauxtp
    assert fauxtp is second and ours() == modules
""",
        "auto",
        before="",
    )


def test_always_refuses_another_on_the_twins(run: Run, compiled: object) -> None:
    check(
        run,
        f"""{ANOTHER_ANYIO}
try:
    import fauxtp
except ImportError as error:
    assert error.name == "fauxtp._registry"
    assert str(error) == "FAUXTP_EXTENSIONS is always, but {REFUSED}", error
else:
    raise AssertionError(fauxtp)
""",
        "always",
        before="",
    )


def test_with_another_anyio_the_twins_are_others(run: Run) -> None:
    check(run, f"{ANOTHER_ANYIO}\ntalk()", "never", before="")


def test_with_another_event_loop_its_modules_are_refused(run: Run, implementation: str) -> None:
    check(
        run,
        """
talk()
for name in list(sys.modules):
    if name.partition(".")[0] == "asyncio" or name == "fauxtp._hosting.group_keeper":
        del sys.modules[name]
import asyncio
try:
    import fauxtp._hosting.group_keeper
except ImportError as error:
    told = "fauxtp._hosting.group_keeper was imported with another asyncio than this"
    assert str(error) == told, error
else:
    raise AssertionError
""",
        implementation,
    )


def test_every_module_is_the_same(run: Run, implementation: str) -> None:
    compiled = {f"fauxtp.{name}" for name in EXTENSIONS}
    names = [name for name in MODULES if implementation == "always" or name not in compiled]
    names.remove("fauxtp.__main__")
    check(
        run,
        f"""
import fauxtp
for name in {names}:
    importlib.import_module(name)
before = ours()
specs = {{name: module.__spec__ for name, module in before.items()}}
for name in before:
    for gone in before:
        del sys.modules[gone]
    assert importlib.import_module(name) is before[name], name
    assert ours() == before, set(before) ^ set(ours())
assert {{name: module.__spec__ for name, module in before.items()}} == specs
talk()
""",
        implementation,
    )


def test_what_is_reloaded_is_executed_again(run: Run, implementation: str) -> None:
    check(
        run,
        """
import fauxtp, fauxtp._core.patterns
old = fauxtp._core.patterns.match_pattern
importlib.reload(fauxtp._core.patterns)
assert fauxtp._core.patterns.match_pattern is not old
importlib.reload(fauxtp)
talk()
""",
        implementation,
    )


def test_after_an_import_that_failed_the_next_is_as_any(run: Run, implementation: str) -> None:
    check(
        run,
        """
import os
word = os.environ["FAUXTP_EXTENSIONS"]
for broken in ({"FAUXTP_EXTENSIONS": "off"}, {"FAUXTP_HANDOFF": "off"}):
    with mock.patch.dict(os.environ, broken), mock.patch.dict(sys.modules):
        try:
            import fauxtp
        except ImportError:
            pass
with mock.patch.dict(sys.modules, {"anyio": None}):
    try:
        import fauxtp
    except ImportError:
        pass
talk()
""",
        implementation,
    )


def test_others_are_found_as_before(run: Run, implementation: str) -> None:
    check(
        run,
        """
import fauxtp
try:
    import fauxtp.nothing
except ModuleNotFoundError as error:
    assert error.name == "fauxtp.nothing"
try:
    import fauxtp_nothing
except ModuleNotFoundError as error:
    assert error.name == "fauxtp_nothing"
with mock.patch.dict(sys.modules):
    import csv
import csv as another
assert csv is not another
with mock.patch.dict(sys.modules, {"fauxtp": None}):  # as a test of what can do without it
    try:
        import fauxtp
    except ImportError:
        pass
    else:
        raise AssertionError
""",
        implementation,
    )
