"""The fixtures `fauxtp_registry` and `fauxtp_start`, as the tests of others use them."""

from __future__ import annotations

from textwrap import dedent

import pytest
from conftest import with_plugins

pytest_plugins = ["pytester"]


def run_tests(
    pytester: pytest.Pytester, *sources: str, plugins: tuple[str, ...] = ()
) -> pytest.RunResult:
    """Run tests in a pytest of their own, which finds the plugin as any does."""
    pytester.makepyfile("\n".join(map(dedent, (PREAMBLE, *sources))))
    if "asyncio" in plugins:  # which warns where this is not set
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    return pytester.runpytest_subprocess("-W", "error", *with_plugins("fauxtp", *plugins))


PREAMBLE = """
import asyncio
import anyio
import pytest
import fauxtp
from fauxtp import PID, groups, join, members, register, registered, unregister, whereis
from fauxtp.testing import TestActor
"""

# An event loop that stands still after `start`: its processes can neither run nor end.
LEAVES_A_PROCESS = """
loop = asyncio.new_event_loop()

async def host(name, started):
    async with anyio.create_task_group() as group:
        started.set_result(await TestActor.start(task_group=group, register_as=name))
        await anyio.sleep_forever()

def start(name):
    started = loop.create_future()
    loop.create_task(host(name, started))
    return loop.run_until_complete(started)

async def end_all():
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

@pytest.fixture(scope="module")
def old():
    yield start("old")
    loop.run_until_complete(end_all())
    loop.close()
"""


def test_the_registry_is_empty_before_the_test(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        """
        register("from before", PID())

        def test_it(fauxtp_registry):
            assert registered() == []
            assert fauxtp_registry.register("from before", PID())
            assert whereis("from before") is fauxtp_registry.whereis("from before")
        """,
    )
    done.assert_outcomes(passed=1)


def test_the_registry_is_restored_after_the_test(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        """
        pids = {name: PID() for name in ("b", "a", "c")}
        for name, pid in pids.items():
            register(name, pid)
            join("group", pid)

        def test_that_takes_names(fauxtp_registry):
            register("a", PID())
            register("of the test", PID())
            assert (groups(), join("group", PID()), join("other", PID())) == ([], True, True)

        def test_after_it():
            assert registered() == ["b", "a", "c"]
            assert {name: whereis(name) for name in registered()} == pids
            assert (groups(), members("group")) == (["group"], (*pids.values(),))
        """,
    )
    done.assert_outcomes(passed=2)


def test_the_registry_is_restored_after_a_test_that_fails(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        """
        pid = PID()
        register("a", pid)

        def test_that_fails(fauxtp_registry):
            register("of the test", PID())
            assert False

        def test_after_it():
            assert (registered(), whereis("a")) == (["a"], pid)
        """,
    )
    done.assert_outcomes(passed=1, failed=1)


def test_who_ended_during_the_test_does_not_get_its_name_back(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        """
        from fauxtp.registry import retire

        gone, lasting = PID(), PID()
        register("gone", gone)
        register("lasting", lasting)

        def test_during_which_a_process_ends(fauxtp_registry):
            retire(gone)

        def test_after_it():
            assert registered() == ["lasting"]
        """,
    )
    done.assert_outcomes(passed=2)


def test_a_test_that_leaves_a_process_running_fails_and_lists_it(
    pytester: pytest.Pytester,
) -> None:
    done = run_tests(
        pytester,
        LEAVES_A_PROCESS,
        """
        def test_that_leaves_one(old, fauxtp_registry):
            start("left:1")

        def test_that_does_not(old, fauxtp_registry):
            assert registered() == []
        """,
    )
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_that_leaves_one*",
            "the test left processes running:",
            "  TestActor 'left:1' <PID *>, running",
        ]
    )
    done.stdout.no_fnmatch_line("*'old'*")


def test_a_process_that_ended_within_the_test_is_none_that_is_left(
    pytester: pytest.Pytester,
) -> None:
    done = run_tests(
        pytester,
        """
        async def run_one():
            async with anyio.create_task_group() as group:
                pid = await TestActor.start(task_group=group, register_as="collector")
                fauxtp.exit(pid)

        @pytest.mark.parametrize("backend", ["asyncio", "trio"])
        def test_it(fauxtp_registry, backend):
            anyio.run(run_one, backend=backend)
            assert registered() == []
        """,
    )
    done.assert_outcomes(passed=2)


def test_a_name_is_not_taken_from_a_living_process(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        LEAVES_A_PROCESS,
        """
        stranger = PID()
        register("theirs", stranger)

        def test_during_which_an_old_process_takes_names(old, fauxtp_registry):
            assert registered() == []
            assert register("theirs", old) and register("new", old)

        def test_after_it(old):
            assert {name: whereis(name) for name in registered()} == {
                "old": old, "theirs": old, "new": old
            }
        """,
    )
    done.assert_outcomes(passed=2)


def test_the_fixture_explains_itself(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--fixtures", *with_plugins("fauxtp"))
    done.stdout.fnmatch_lines(["fauxtp_registry*", "*The default registry: empty before*"])


# Processes that live as long as a test

SERVERS = """
from fauxtp import ChildSpec, GenServer, Supervisor, call, cast, exit, processes, wait_exit

said = []

class Server(GenServer):
    def __init__(self, name="server"):
        self.name = name

    async def handle_call(self, request, from_, state):
        return f"{self.name}: {request}", state

    async def handle_cast(self, request, state):
        raise ValueError(request)

    async def terminate(self, reason, state):
        await anyio.sleep(0)
        said.append(f"{self.name} ends: {reason}")

@pytest.fixture
def anyio_backend():
    return BACKEND

async def test_all_have_ended():
    assert processes() == []
    assert said == SAID
"""

# Which plugin runs the tests, as what, and what marks them
RUNNERS = {
    "anyio on asyncio": (("anyio",), "asyncio", "pytest.mark.anyio"),
    "anyio on trio": (("anyio",), "trio", "pytest.mark.anyio"),
    "pytest-asyncio": (("asyncio",), "asyncio", "pytest.mark.asyncio"),
}


def run_hosted(
    pytester: pytest.Pytester, runner: str, said: list[str], tests: str
) -> pytest.RunResult:
    plugins, backend, mark = RUNNERS[runner]
    facts = f"BACKEND, SAID = {backend!r}, {said!r}\npytestmark = {mark}\n"
    own = "import pytest_asyncio\nfixture = pytest_asyncio.fixture\n"
    fixtures = own if "asyncio" in plugins else "fixture = pytest.fixture\n"
    servers = dedent(SERVERS).partition("async def test_all")
    sources = (facts, fixtures, servers[0], dedent(tests), "".join(servers[1:]))
    return run_tests(pytester, *sources, plugins=plugins)


each_runner = pytest.mark.parametrize("runner", RUNNERS)


@each_runner
def test_what_is_started_in_a_test_ends_in_order_with_it(
    pytester: pytest.Pytester, runner: str
) -> None:
    done = run_hosted(
        pytester,
        runner,
        ["second ends: shutdown", "first ends: shutdown"] * 2,
        """
        class TestSome:
            @pytest.mark.parametrize("greeting", ["hello"])
            async def test_it(self, greeting, fauxtp_start):
                first = await fauxtp_start(Server, "first", register_as="server")
                assert await call("server", greeting) == "first: hello"
                second = await fauxtp_start(Server, name="second")
                assert await call(second, greeting) == "second: hello"

        async def test_it_again(fauxtp_start):
            await fauxtp_start(Server, "first", register_as="server")
            await fauxtp_start(Server, "second")
        """,
    )
    done.assert_outcomes(passed=3)


@each_runner
def test_a_fixture_may_start_some(pytester: pytest.Pytester, runner: str) -> None:
    done = run_hosted(
        pytester,
        runner,
        ["server ends: shutdown"],
        """
        @fixture
        async def server(fauxtp_start):
            return await fauxtp_start(Server)

        async def test_it(server):
            assert await call(server, "hello") == "server: hello"
        """,
    )
    done.assert_outcomes(passed=2)


@each_runner
def test_a_test_fails_in_which_one_gives_up(pytester: pytest.Pytester, runner: str) -> None:
    done = run_hosted(
        pytester,
        runner,
        ["server ends: error: ValueError('of the test')", "other ends: shutdown"],
        """
        async def test_it(fauxtp_start):
            await fauxtp_start(Server, "other")
            server = await fauxtp_start(Server)
            await cast(server, "of the test")
            await wait_exit(server)
        """,
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*ValueError: of the test"])


@each_runner
def test_one_that_ends_by_itself_is_no_failure(pytester: pytest.Pytester, runner: str) -> None:
    done = run_hosted(
        pytester,
        runner,
        ["server ends: shutdown"],
        """
        async def test_it(fauxtp_start):
            server = await fauxtp_start(Server)
            exit(server)
            await wait_exit(server)
        """,
    )
    done.assert_outcomes(passed=2)


@each_runner
def test_a_start_in_vain_raises_what_it_raised(pytester: pytest.Pytester, runner: str) -> None:
    done = run_hosted(
        pytester,
        runner,
        [],
        """
        async def test_it(fauxtp_start):
            with pytest.raises(TypeError, match="expected application to be a class of actors"):
                await fauxtp_start(5)
            with pytest.raises(TypeError, match="unexpected keyword"):
                await fauxtp_start(Server, colour="red")
        """,
    )
    done.assert_outcomes(passed=2)


def test_a_test_that_is_no_async_function_is_refused(pytester: pytest.Pytester) -> None:
    done = run_tests(
        pytester,
        """
        def test_it(fauxtp_start):
            pass
        """,
    )
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fauxtp_start is for tests that are async functions*"])
