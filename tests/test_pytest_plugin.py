"""The fixture `fauxtp_registry`, as the tests of others use it."""

from __future__ import annotations

from textwrap import dedent

import pytest
from conftest import with_plugins

pytest_plugins = ["pytester"]


def run_tests(pytester: pytest.Pytester, *sources: str) -> pytest.RunResult:
    """Run tests in a pytest of their own, which finds the plugin as any does."""
    pytester.makepyfile("\n".join(map(dedent, (PREAMBLE, *sources))))
    return pytester.runpytest_subprocess("-W", "error", *with_plugins("fauxtp"))


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
