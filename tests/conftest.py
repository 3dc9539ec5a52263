"""What all tests share: the twins, and programs that run beside the test."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import nats_server as nats
import pytest
from anyio.abc import TaskGroup
from hostile import effort
from twins_of import FORMS, form_of

import fauxtp
from fauxtp._base import carrying, ordered_names, switches
from fauxtp._core.crash_storms import storms
from fauxtp.testing.simulation import COUNTS

PATIENCE = 60.0  # seconds until a test's own process counts as hung
AT_FIRST = [(module, name, getattr(module, name)) for module, name in COUNTS]

# The event loops on which calls are handed off
ASYNCIO = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


def eager_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop whose tasks all begin where they are made."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
    return loop


# uvloop cannot have such tasks, nor can asyncio before CPython 3.12.
EAGER = [pytest.param(("asyncio", {"loop_factory": eager_loop}), id="eager")]
if sys.version_info < (3, 12):
    EAGER = []


# Where coverage is measured, there is more at work than the test.
unmeasured = pytest.mark.skipif("COVERAGE_RUN" in os.environ, reason="coverage is measured")


def pytest_report_header() -> str:
    """Say how the hostile tests can be replayed."""
    return f"hostile tests: FAUXTP_SEED={effort.SEED} replays them"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those that try both twins by the fixture of each form."""
    for item in items:
        if "form" in getattr(item, "fixturenames", ()):
            item.add_marker("twins")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collect nothing while a failure is put into words.

    What an earlier one has left may fail as it is collected. Shown in the middle of parsing for
    this one, it would end the whole run: CPython 3.11 cannot parse within a parse.
    """
    if call.excinfo is None or not gc.isenabled():
        return (yield)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what was counted in one of several processes that share the tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = effort.figures


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """Return twice as many as there are processors: some tests wait for servers mostly."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Take what was counted in one of them; one that has crashed has handed on nothing."""
    effort.figures += getattr(node, "workeroutput", {}).get("figures", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the hostile tests counted, and where."""
    if effort.figures:
        terminalreporter.section("hostile tests")
        terminalreporter.line(effort.where())
        for figure in effort.figures:
            terminalreporter.line(figure)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """Each form in which something is there that is there twice."""
    return str(request.param)


@pytest.fixture
def twin(form: str) -> Any:
    """Each implementation of the registry: a module with PID, Ref, Registry, …"""
    return form_of("registry", form)


@pytest.fixture
def registry(twin: Any) -> Any:
    """An empty registry of its own, of each implementation."""
    return twin.Registry()


@pytest.fixture
def compiled() -> ModuleType:
    """The compiled implementation; where it is not asked for, the test does not apply."""
    if "compiled" not in FORMS:
        pytest.skip("FAUXTP_EXTENSIONS is never")
    return importlib.import_module("fauxtp._registry")


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few names are kept in order, too, as those of a large table are when they are asked for."""
    for form in FORMS:
        monkeypatch.setattr(form_of("registry", form), "FEW", 0)
    monkeypatch.setattr(ordered_names, "SCARCE", 1)
    monkeypatch.setattr(ordered_names, "SIZE", 4)


Call = Callable[[], object]


def calls(*attempts: Call) -> tuple[Call, ...]:
    """Return the calls that a test will make, as what they are to the type checker."""
    return attempts


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """Run a program in a fresh interpreter, and return how it ended."""

    def run_program(
        program: str, *arguments: str, options: tuple[str, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *options, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
            check=False,
        )

    return run_program


def with_plugins(*names: str) -> list[str]:
    """Return what a pytest beside the test is told, so that it loads those plugins and no other.

    To import Hypothesis, or what traces programs, takes longer than all that it has to do.
    """
    others = sorted({plugin.name for plugin in entry_points(group="pytest11")} - {*names})
    return ["-pno:cacheprovider", *(f"-pno:{other}" for other in others)]


@pytest.fixture(
    params=[pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Both kinds of event loop; a file that is marked `anyio` runs on each of them."""
    return request.param


@pytest.fixture(params=[True, False], ids=["on the spot", "in the mailbox"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are handled on the spot where that can be done; and then none is."""
    monkeypatch.setattr(switches, "hand_off", request.param)


def turns() -> list[int]:
    """Count how often the running asyncio loop comes round, from now on."""
    count = [0]
    loop = asyncio.get_running_loop()

    def turn() -> None:
        count[0] += 1
        if count[0] < 10_000:
            loop.call_soon(turn)

    loop.call_soon(turn)
    return count


@pytest.fixture(autouse=True, scope="session")
def hypothesis_has_begun(request: pytest.FixtureRequest) -> None:
    """Let it make its generators, and look who holds them, before anything is frozen.

    What holds one would not be found among what is frozen, and of one that nobody holds it warns.
    """
    if not request.config.pluginmanager.hasplugin("hypothesispytest"):
        return
    from hypothesis import given, settings, strategies  # noqa: PLC0415

    @settings(max_examples=1, database=None)
    @given(strategies.none())
    def begin(_: None) -> None:
        pass

    begin()


@pytest.fixture(autouse=True, scope="module")
def quick_collections(hypothesis_has_begun: None) -> None:
    """Collections do not look through what is there before the tests of a file: it takes long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Any]:
    """A NATS server, for all tests; each has a cluster of its own there."""
    for module in ("nats", "ormsgpack"):
        pytest.importorskip(module, reason="fauxtp[cluster] is not installed")
    if nats.binary() is None:
        pytest.skip(nats.ABSENT)
    with nats.running() as server:
        yield server


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that a test closes; nobody may live in it then, or have a name."""
    loop: asyncio.AbstractEventLoop = importlib.import_module(request.param).new_event_loop()
    yield loop
    loop.close()
    assert (fauxtp.processes(), fauxtp.registered()) == ([], [])


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that is cancelled at the end; a test that hangs fails."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            yield group
            group.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def nothing_sent_so_far() -> None:
    """Let no test give way where another has sent or received as much as may be at a time."""
    for module, name, number in AT_FIRST:
        setattr(module, name, number)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets of programs are that can be looked into; the path of one must be short."""
    folder = Path(tempfile.mkdtemp(prefix="fx", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def served(place: Path) -> Iterator[Any]:
    """An agent, by which this process can be looked into."""
    with importlib.import_module("fauxtp.observe").serve() as one:
        yield one


@pytest.fixture(params=["asyncio", "trio"])
def application(request: pytest.FixtureRequest) -> Iterator[None]:
    """An application to look into, in a thread with either kind of event loop."""
    kind = importlib.import_module("agents").Application
    with fauxtp.in_thread(kind, register_as="app", backend=request.param):
        yield


@pytest.fixture(autouse=True)
def no_storm_so_far() -> Iterator[None]:
    """Let no test miss the report of a crash because there were many in another."""
    storms.forget()
    yield
    storms.forget()


@pytest.fixture(autouse=True)
def nothing_carried_so_far() -> Iterator[None]:
    """Let no test carry what another has named."""
    yield
    for variable in carrying._variables:
        carrying.carry_no_more(variable)


@pytest.fixture(autouse=True)
def measured_to_the_end() -> Iterator[None]:
    """A test that traces by itself ends no measurement of coverage."""
    tracing = sys.gettrace()
    yield
    if sys.gettrace() is not tracing:
        sys.settrace(tracing)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test with an event loop that leaves a process or a registered name behind."""
    if request.node.get_closest_marker("anyio") is None:
        yield
        return
    names_before, before = set(fauxtp.registered()), set(fauxtp.processes())
    yield
    left = [pid for pid in fauxtp.processes() if pid not in before]
    names = sorted(set(fauxtp.registered()) - names_before)
    for name in names:
        fauxtp.unregister(name)
    assert not left, f"the test left processes running: {left}"
    assert not names, f"the test left names registered: {names}"
