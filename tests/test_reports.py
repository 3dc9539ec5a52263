"""What is logged of processes: crashes and what was around them, contents, and who logs."""

from __future__ import annotations

import dataclasses
import gc
import io
import itertools
import json
import logging
import logging.config
import os
import threading
import traceback
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any

import anyio
import pytest
import sentry_sdk
import structlog
from conftest import Run, task_group
from crew import Boom, Puppet, boom, end_of, pid_of, process_of, supervisor
from sentry_sdk.integrations.logging import LoggingIntegration

from fauxtp import (
    NO_REPLY,
    PID,
    Actor,
    Call,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    Mailbox,
    ProcessExited,
    RestartType,
    call,
    cast,
    exit,
    link,
    monitor,
    send,
    start_call,
    start_child,
    wait_exit,
    wait_registered,
    which_children,
)
from fauxtp._base.own_frames import own_folders
from fauxtp._core import crash_circumstances, crash_storms, short_traceback
from fauxtp._core.crash_log import facts
from fauxtp._core.crash_storms import FEW, storms
from fauxtp._core.short_traceback import shortened
from fauxtp._core.shown_contents import Contents, contents
from fauxtp.observe import reports

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("as_at_first")]

SECRET = "hunter2"
MOST_KEYS = 10  # of a dict that Sentry keeps
UNSEEN = {"password": SECRET, "Api-Key": SECRET, "nested": [{"session_token": SECRET}]}


@pytest.fixture
def as_at_first() -> Iterator[None]:
    yield
    reports.configure()


class Login(GenServer[Any, Any]):
    """Keeps what nobody may see; crashes when it is told to."""

    def __init__(self, state: Any = UNSEEN, go_on: anyio.Event | None = None) -> None:
        self.first, self.go_on = state, go_on

    async def init(self) -> Any:
        return self.first

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        if request == "later":
            return NO_REPLY, state
        if self.go_on is not None:
            await self.go_on.wait()
        raise Boom

    async def handle_cast(self, request: Any, state: Any) -> Any:
        raise Boom


async def crash_of(server: PID, request: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """Let a server crash; return the one record of that."""
    caplog.clear()
    await cast(server, request)
    await wait_exit(server)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    return record


# What was around it


async def test_a_crash_tells_what_was_around_it(caplog: pytest.LogCaptureFixture) -> None:
    go_on = anyio.Event()
    once = RestartType.TEMPORARY
    spec = ChildSpec("login", Login, args=({}, go_on), restart=once, register_as="login")

    async def ask(request: Any) -> None:
        with pytest.raises(ProcessExited):
            await call("login", request, timeout=None)

    async with task_group() as group:
        chief = await supervisor(spec).start(task_group=group, register_as="chief")
        login = pid_of("login")
        puppet = await Puppet.start(outside=Mailbox(), task_group=group)
        await call(puppet, lambda: monitor(login))
        peer = await Puppet.start(task_group=group)
        await call(peer, lambda: link(login))
        async with anyio.create_task_group() as askers:
            askers.start_soon(ask, "later")
            given_up = start_call("login", "later")
            await anyio.wait_all_tasks_blocked()
            given_up.cancel()
            askers.start_soon(ask, ("begin", SECRET))
            await anyio.wait_all_tasks_blocked()
            await cast(puppet, lambda: ask(("in the mailbox", SECRET)))
            await anyio.wait_all_tasks_blocked()
            for number in range(9):
                await send(login, (f"number {number}", SECRET))
            go_on.set()
        await wait_exit(login)
        [record] = caplog.records
        facts = record.fauxtp  # type: ignore[attr-defined]
        around = facts["circumstances"]
        assert facts["supervisor"] == repr(chief)
        assert around["ancestors"] == [f"Chief {chief!r}"]
        assert facts["handling"] == "Call ('begin', …)"
        assert 0 < around["handling_for"] <= around["uptime"] < 60
        assert facts["mailbox_length"] == 10
        assert around["mailbox"] == [
            "Call ('in the mailbox', …)",
            *(f"('number {number}', …)" for number in range(4)),
        ]
        assert around["callers"] == ["no process", "no process", f"Puppet {puppet!r}"]
        assert around["links"] == [repr(peer)]
        assert around["watchers"] == 2  # its supervisor, and the puppet
        assert not {"message", "state"} & facts.keys()
        assert SECRET not in caplog.text + repr(facts)
        exit(puppet)


async def test_a_crash_of_who_handles_nothing_tells_so(caplog: pytest.LogCaptureFixture) -> None:
    class Runner(Actor):
        async def run(self, state: Any) -> Any:
            boom()

    async with task_group() as group:
        pid = await Runner.start(task_group=group)
        await wait_exit(pid)
    [record] = caplog.records
    assert record.getMessage().startswith(f"Runner {pid!r} crashed")
    facts = record.fauxtp  # type: ignore[attr-defined]
    around = facts["circumstances"]
    assert (facts["handling"], around["handled"], around["handling_for"]) == (None, 0, 0.0)


async def test_monitors_and_few_keys_are_in_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    reports.configure(contents=True)
    async with task_group() as group:
        watched = await Puppet.start(task_group=group)
        puppet = await Puppet.start(task_group=group)
        await call(puppet, lambda: monitor(watched))
        await cast(puppet, boom)
        await wait_exit(puppet)
    [record] = caplog.records
    facts = record.fauxtp  # type: ignore[attr-defined]
    assert facts["circumstances"]["monitors"] == [repr(watched)]
    assert len(facts) <= MOST_KEYS
    assert len(facts["circumstances"]) <= MOST_KEYS
    json.dumps(facts)


# Contents


async def test_contents_are_shown_where_that_is_wanted_but_for_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = ("log in", {"user": "anna", "password": SECRET, "IBAN": "DE00 1234"})
    for wants in (False, True):
        reports.configure(contents=wants, redact=["iban"])
        async with task_group() as group:
            record = await crash_of(await Login.start(task_group=group), request, caplog)
        told = caplog.text + repr(record.fauxtp)
        assert SECRET not in told
        assert "DE00" not in told
        assert ("anna" in record.fauxtp.get("message", "")) is wants
        assert ("nested" in record.fauxtp.get("state", "")) is wants
        assert ("'user': 'anna'" in caplog.text) is wants


async def test_contents_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    reports.configure(contents=True, limit=100)
    async with task_group() as group:
        login = await Login.start([*range(1000)], task_group=group)
        record = await crash_of(login, "x" * 1000, caplog)
    assert [len(record.fauxtp[key]) for key in ("message", "state")] == [101, 101]


async def test_before_anybody_says_what_is_shown_it_is_as_without_arguments() -> None:
    reports.configure()
    first, said = Contents(), contents
    assert all(getattr(first, name) == getattr(said, name) for name in Contents.__slots__)


async def test_what_a_class_says_of_its_state_has_no_secrets_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Says(Login):
        def format_state(self, state: Any) -> Any:
            return None if "password" not in state else {**state, "seen": True}

    for state, text in ((UNSEEN, "'seen': True"), ({}, None)):
        reports.configure(contents=True)
        async with task_group() as group:
            says = await Says.start(state, task_group=group)
            record = await crash_of(says, "crash", caplog)
        assert (text is None) is ("state" not in record.fauxtp)
        assert text is None or text in record.fauxtp["state"]
        assert SECRET not in caplog.text


@pytest.mark.parametrize("error", [SystemExit("no"), GeneratorExit(), ValueError("no")])
async def test_a_state_that_cannot_be_told_ends_nobody(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Ends(Login):
        def format_state(self, state: Any) -> Any:
            raise error

    async with task_group() as group:
        record = await crash_of(await Ends.start(task_group=group), "crash", caplog)
    assert record.fauxtp["state"].startswith(f"format_state failed: {type(error).__name__}(")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"contents": 1}, (TypeError, "expected contents to be a bool, got int")),
        ({"limit": "9"}, (TypeError, "expected limit to be an int, got str")),
        ({"limit": True}, (TypeError, "expected limit to be an int, got bool")),
        ({"limit": 0}, (ValueError, "expected limit to be from 1 to 8192, got 0")),
        ({"limit": 8193}, (ValueError, "from 1 to 8192, got 8193")),
        ({"redact": "iban"}, (TypeError, "redact to be an iterable of words, got str")),
        ({"redact": 5}, (TypeError, "redact to be an iterable of words, got int")),
        ({"redact": [5]}, (TypeError, "each of redact to be a str, got int")),
        ({"redact": ["iban", "-"]}, (ValueError, "each of redact to have a letter, got '-'")),
    ],
)
async def test_what_is_configured_wrongly_is_refused_and_changes_nothing(
    wrong: dict[str, Any], told: tuple[type[Exception], str], caplog: pytest.LogCaptureFixture
) -> None:
    reports.configure(contents=True, limit=100)
    with pytest.raises(told[0], match=told[1]):
        reports.configure(**wrong)
    async with task_group() as group:
        record = await crash_of(await Login.start(task_group=group), "x" * 1000, caplog)
    assert len(record.fauxtp["message"]) == 101


class Forgets(GenServer[Any, Any]):
    """Does with each request what a server should not."""

    async def init(self) -> Any:
        return "a state"

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return None

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return None

    async def handle_info(self, message: Any, state: Any) -> Any:
        return None


class Bare(GenServer[Any, Any]):
    """Has no handler."""


@pytest.mark.parametrize("kind", [Forgets, Bare])
async def test_errors_of_fauxtp_tell_nothing_of_messages(
    kind: type[GenServer[Any, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    message = ("log in", "anna", SECRET)
    async with task_group() as group:
        for how in (call, cast, send):
            server = await kind.start(task_group=group)
            process = process_of(server)
            with suppress(ProcessExited):
                await how(server, message)
            exit(server)
            reason = await end_of(process)
            assert SECRET not in str(reason) + str(reason.exception)
    assert caplog.records
    assert SECRET not in caplog.text


# Reports that cannot be made as others are


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Takes no notes."""

    number: int = 1


class Noted(Exception):
    """Has the notes that it is told to have."""

    def __init__(self, notes: Any) -> None:
        super().__init__()
        self.__notes__ = notes


class Unread(Exception):
    @property
    def __notes__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no notes")


class Nameless(type):
    """A metaclass whose classes tell of nothing."""

    @property
    def __name__(cls) -> Any:  # type: ignore[override]
        raise RuntimeError("no name")

    def __hash__(cls) -> int:
        raise RuntimeError("no hash")


class NamelessError(Exception, metaclass=Nameless):
    pass


class Proxy:
    """Is of no class, outside of a request."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")


class NamelessMessage(metaclass=Nameless):
    pass


class Row(tuple[Any, ...]):
    def __len__(self) -> int:
        raise RuntimeError("no length")

    __getitem__ = __iter__ = __bool__ = __len__  # type: ignore[assignment]


class Raises(GenServer[Any, Any]):
    """Crashes by the error that it is told, whatever comes."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_info(self, message: Any, state: Any) -> Any:
        raise self.error


async def restarted_after(error: Exception, message: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """Let a child crash; return the record of that, after it has been restarted."""
    spec = ChildSpec("raises", Raises, args=(error,), register_as="raises")
    async with task_group() as group:
        chief = await supervisor(spec).start(task_group=group)
        before = pid_of("raises")
        await send(before, message)
        await wait_exit(before)
        with anyio.fail_after(10):
            await wait_registered("raises")
        await which_children(chief)
        exit(chief)
    [record] = [record for record in caplog.records if record.msg == "%s crashed"]
    return record


BAD_ERRORS: list[Exception] = [
    Frozen(),
    Noted(["a", 5]),
    Noted(7),
    Noted("a text"),
    Noted(itertools.count()),
    Unread(),
    NamelessError(),
]
BAD_MESSAGES = [
    (Proxy(), "Proxy"),
    (NamelessMessage(), "NamelessMessage"),
    (Row(("put", SECRET)), "('put', …)"),
    (type("two\nlines", (), {})(), "'two\\nlines'"),
]


@pytest.mark.parametrize("contents", [False, True])
@pytest.mark.parametrize("error", BAD_ERRORS, ids=[str(i) for i in range(len(BAD_ERRORS))])
async def test_no_error_keeps_a_crash_from_being_told(
    error: Exception, contents: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports.configure(contents=contents)
    record = await restarted_after(error, "crash", caplog)
    assert record.fauxtp["class"] == "Raises"
    assert record.fauxtp["reason"].startswith("error: ")
    assert "raise self.error" in caplog.text  # the traceback


@pytest.mark.parametrize("contents", [False, True])
@pytest.mark.parametrize(("message", "text"), BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
async def test_no_message_keeps_a_crash_from_being_told(
    message: Any, text: str, contents: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports.configure(contents=contents)
    record = await restarted_after(Boom(), message, caplog)
    assert record.fauxtp["handling"] == text
    assert "circumstances" in record.fauxtp


async def test_no_message_is_asked_of_what_class_it_says_it_is() -> None:
    async with task_group() as group:
        puppet = await Puppet.start(task_group=group)
        process = process_of(puppet)
        process.handling = Proxy()
        told = facts(process)["fauxtp"], crash_circumstances.circumstances(process)
        process.handling = None
        exit(puppet)
    assert (told[0]["handling"], told[1]["callers"]) == ("Proxy", [])


async def test_notes_that_an_error_has_stay(caplog: pytest.LogCaptureFixture) -> None:
    error: Any = Noted(["a", 5])
    await restarted_after(error, "crash", caplog)
    assert error.__notes__ == ["a", 5, "the message that was handled: 'crash'"]
    for notes in (7, "a text"):
        error = Noted(notes)
        caplog.clear()
        await restarted_after(error, "crash", caplog)
        assert error.__notes__ == notes


def down(left: int) -> None:
    if left:
        down(left - 1)
    raise Boom


class Deep(GenServer[Any, Any]):
    """Crashes as many calls deep as it is told."""

    async def handle_cast(self, depth: int, state: Any) -> None:
        down(depth)


@pytest.mark.parametrize(("depth", "has_gap"), [(90, False), (300, True)])
async def test_a_crash_at_the_end_of_the_stack_has_a_short_traceback(
    depth: int, has_gap: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand frames take seconds to print, in which the event loop would stand still."""
    async with task_group() as group:
        pid = await Deep.start(task_group=group)
        await cast(pid, depth)
        reason = await wait_exit(pid)
    [record] = [record for record in caplog.records if "crashed" in record.message]
    _, error, logged = record.exc_info  # type: ignore[misc]
    assert error is reason.exception
    assert error is not None
    frames = traceback.extract_tb(logged)
    own, *whole = traceback.extract_tb(error.__traceback__)
    while whole[0].filename != __file__:
        own, *whole = whole
    assert "fauxtp" in own.filename  # it has all of its own: those of fauxtp, that none is told of
    assert len(whole) > depth
    assert frames == ([*whole[:50], *whole[-50:]] if has_gap else whole)
    gaps = [note for note in getattr(error, "__notes__", ()) if "left out" in note]
    assert [f"{len(whole) - 100} frames" in note for note in gaps] == [True] * has_gap


class Behind(Exception):
    """Has its own words for its causes, which no log asks for a context."""

    @property
    def __suppress_context__(self) -> bool:  # type: ignore[override]
        raise KeyError("planted")


def deep(depth: int, kind: type[Exception] = Boom) -> Exception:
    def go(left: int) -> None:
        if left:
            on(left - 1)
        raise kind(str(depth))

    def on(left: int) -> None:  # as one that calls itself is printed in few lines
        if left:
            go(left - 1)
        raise kind(str(depth))

    try:
        go(depth)
    except Exception as error:
        return error
    raise AssertionError


def behind(how: str, far: Exception) -> Exception:
    """Return an error that has another behind it."""
    error = raised(Boom())
    match how:
        case "cause":
            error.__cause__ = far
        case "context":
            error.__context__ = far
        case "suppressed":
            error.__context__, error.__suppress_context__ = far, True
        case "circle":
            error.__cause__ = Boom()
            error.__cause__.__context__, far.__cause__ = far, error
        case "group":
            error = raised(ExceptionGroup("some", [ValueError("near"), far]))
        case "group within":
            error = raised(ExceptionGroup("some", [ExceptionGroup("others", [far])]))
    return error


def raised(error: Exception) -> Exception:
    with suppress(Exception):
        raise error
    return error


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What a log of a program shows."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("fauxtp").addHandler(handler)
    yield stream
    logging.getLogger("fauxtp").removeHandler(handler)


@pytest.mark.parametrize("how", ["cause", "context", "group", "group within", "circle"])
@pytest.mark.parametrize("depth", [90, 300])
async def test_what_is_behind_a_crash_has_a_short_traceback_too(
    how: str, depth: int, caplog: pytest.LogCaptureFixture, printed: io.StringIO
) -> None:
    far = deep(depth)
    error = behind(how, far)
    before = traceback.extract_tb(far.__traceback__)
    await restarted_after(error, "crash", caplog)
    shown = printed.getvalue()
    told = sum(line.lstrip(" |").startswith("File ") for line in shown.splitlines())
    if depth < 100:
        assert depth < told < depth + 20
        assert "left out" not in shown
    else:
        assert told < 120
        assert f"are left out: {len(before) - 100} frames" in shown
    assert traceback.extract_tb(far.__traceback__)[-depth:] == before[-depth:]  # it has its own


async def test_what_nobody_is_told_of_behind_a_crash_stays_as_it_is(
    caplog: pytest.LogCaptureFixture, printed: io.StringIO
) -> None:
    far = deep(300)
    await restarted_after(behind("suppressed", far), "crash", caplog)
    assert " in go" not in printed.getvalue()
    assert not getattr(far, "__notes__", ())


async def test_many_errors_behind_a_crash_have_few_frames_each(
    caplog: pytest.LogCaptureFixture, printed: io.StringIO
) -> None:
    error = deep(1)
    for _ in range(50):
        error = behind("cause", error)
        error.__traceback__ = deep(200).__traceback__
    await restarted_after(error, "crash", caplog)
    told = sum(line.startswith("  File ") for line in printed.getvalue().splitlines())
    assert 500 <= told < 700


async def test_no_error_is_asked_by_its_own_words_for_what_is_behind_it() -> None:
    far = deep(300)
    error = Behind()
    error.__cause__ = far
    left_out: list[tuple[BaseException, int]] = []
    with shortened(error, lambda *those: left_out.append(those)) as short:
        assert short is None
        assert len(traceback.extract_tb(far.__traceback__)) == 100
    assert left_out == [(far, len(traceback.extract_tb(far.__traceback__)) - 100)]


class Liar(Exception):
    """Has no notes that can be read, and says that its traceback is none."""

    __traceback__ = 5  # type: ignore[assignment]

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise KeyError("planted")


async def test_an_error_that_lies_about_its_notes_and_traceback_ends_its_process_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = await restarted_after(Liar(), "crash", caplog)
    kind, shown, logged = record.exc_info
    assert kind is Liar
    assert shown.__traceback__ is logged
    assert traceback.extract_tb(logged)[-1].filename == __file__


async def test_an_error_that_is_raised_again_while_it_is_told_keeps_where_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    far = deep(300)

    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with suppress(Boom):
                raise far

    handler = Raises()
    logging.getLogger("fauxtp").addHandler(handler)
    try:
        await restarted_after(behind("cause", far), "crash", caplog)
    finally:
        logging.getLogger("fauxtp").removeHandler(handler)
    assert traceback.extract_tb(far.__traceback__)[0].name == "emit"


def nobody(error: BaseException, number: int) -> None:
    """Be told of how many frames are left out."""


async def test_errors_that_are_told_with_one_cause_at_once_leave_it_as_it_was() -> None:
    """As two threads may, of which the first ends first."""
    far, other = deep(300), ExceptionGroup("", [deep(300) for _ in range(10)])
    before = far.__traceback__
    other.exceptions[-1].__cause__ = far
    with ExitStack() as second:
        with shortened(behind("cause", far), nobody):
            short = far.__traceback__
            second.enter_context(shortened(other, nobody))
        assert short is not before
        assert far.__traceback__ is short  # the second still tells of it
    assert far.__traceback__ is before


async def test_one_that_is_raised_again_between_the_two_keeps_where_from() -> None:
    far, again = deep(300), deep(200).__traceback__
    with ExitStack() as second, shortened(behind("cause", far), nobody):
        far.__traceback__ = again
        second.enter_context(shortened(behind("context", far), nobody))
        assert len(traceback.extract_tb(far.__traceback__)) == 100
    assert far.__traceback__ is again


async def test_an_error_that_has_a_short_traceback_is_told_by_its_whole_one() -> None:
    far = deep(300)
    left_out: list[int] = []
    with shortened(far, lambda _, number: left_out.append(number)) as alone:
        pass
    with (
        shortened(behind("cause", far), lambda _, number: left_out.append(number)),
        shortened(behind("context", far), lambda _, number: left_out.append(number)),
        shortened(far, lambda _, number: left_out.append(number)) as short,
    ):
        assert traceback.extract_tb(short) == traceback.extract_tb(alone)
    assert len(set(left_out)) == 1
    assert len(left_out) == 4


async def test_of_a_group_of_very_many_the_first_thousand_have_short_tracebacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = deep(10).__traceback__
    times: list[int] = []

    def folders() -> tuple[str, ...]:
        times.append(1)
        return own_folders()

    monkeypatch.setattr(short_traceback, "own_folders", folders)
    parts = [ValueError(number) for number in range(3000)]
    for each in parts:
        each.__traceback__ = whole
    with shortened(ExceptionGroup("many", parts), nobody):
        short = [each for each in parts if each.__traceback__ is not whole]
        assert short == parts[1000 - len(short) : 1000]
        assert len(short) > 900  # but for the first, of which all is shown
    assert {each.__traceback__ for each in parts} == {whole}
    assert times == [1]  # and not for each


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_what_another_thread_tells_of_is_whole_in_a_forked_process(run: Run) -> None:
    program = """
import os, threading
from fauxtp._core.short_traceback import shortened
def deep(left):
    if left:
        deep(left - 1)
    raise KeyError
try:
    deep(300)
except KeyError as error:
    far, top = error, ValueError()
top.__cause__ = far
whole = far.__traceback__
begun, ends = threading.Event(), threading.Event()
def tell():
    with shortened(top, lambda *_: None):
        begun.set()
        ends.wait()
teller = threading.Thread(target=tell)
teller.start()
begun.wait()
assert far.__traceback__ is not whole
child = os.fork()
if child == 0:
    os._exit(far.__traceback__ is whole)
ends.set()
teller.join()
assert far.__traceback__ is whole
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
"""
    done = run(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["terminate", "on_exit"])
async def test_what_fails_at_an_end_has_a_short_traceback(
    what: str, caplog: pytest.LogCaptureFixture, printed: io.StringIO
) -> None:
    error = behind("cause", deep(300))

    class Ends(GenServer[Any, Any]):
        async def terminate(self, reason: ExitReason, state: Any) -> None:
            if what == "terminate":
                raise error

    async def on_exit(pid: PID, reason: ExitReason) -> None:
        if what == "on_exit":
            raise error

    async with task_group() as group:
        handle = await Ends.start_link(task_group=group, on_exit=on_exit)
        exit(handle.pid)
    told = sum(line.startswith("  File ") for line in printed.getvalue().splitlines())
    assert 100 <= told < 120
    assert f"{what} of " in printed.getvalue()


async def test_a_crash_whose_report_fails_is_told_in_few_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> Any:
        raise KeyError("planted")

    monkeypatch.setattr(crash_circumstances, "circumstances", fails)
    record = await restarted_after(Boom(), "crash", caplog)
    assert record.fauxtp == {
        "pid": record.args[0],
        "reason": "error: Boom()",
        "report_failed": "KeyError",
    }
    assert record.getMessage() == f"{record.args[0]} crashed"
    assert record.exc_info[0] is Boom


# Restarts


async def test_a_restart_by_a_dynamic_supervisor_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "fauxtp")
    async with task_group() as group:
        chief = await DynamicSupervisor.start(task_group=group)
        await start_child(chief, ChildSpec("a", Puppet, register_as="a"))
        before = pid_of("a")
        await cast(before, boom)
        await wait_exit(before)
        await wait_registered("a")
        await which_children(chief)
        exit(chief)
    *_, started, restarted = caplog.records
    assert (started.name, started.levelno) == ("fauxtp.progress", logging.DEBUG)
    assert (restarted.name, restarted.levelno) == ("fauxtp.supervisor", logging.INFO)
    facts = restarted.fauxtp  # type: ignore[attr-defined]
    assert facts["child_pid"] == started.fauxtp["child_pid"]  # type: ignore[attr-defined]
    assert restarted.getMessage().endswith("which ended by error: Boom(): restart 1 of 3 in 5 s")
    assert len(facts) <= MOST_KEYS


# Storms


async def crash_times(times: int) -> None:
    async with task_group() as group:
        for _ in range(times):
            login = await Login.start(task_group=group)
            await cast(login, "crash")
            await wait_exit(login)


async def test_a_storm_is_the_first_few_and_then_a_line_and_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await crash_times(5 * FEW)
    whole = [record for record in caplog.records if record.msg == "%s crashed"]
    assert len(caplog.records) == len(whole) == FEW

    caplog.clear()
    storms.tell()
    [line] = caplog.records
    assert (line.name, line.levelno) == ("fauxtp", logging.ERROR)
    assert line.getMessage().startswith(f"Login crashed {4 * FEW} times more within ")
    assert line.getMessage().endswith(" s, at last by error: Boom()")
    facts = line.fauxtp  # type: ignore[attr-defined]
    assert (facts["class"], facts["crashes"], facts["reason"]) == (
        "Login",
        4 * FEW,
        "error: Boom()",
    )

    caplog.clear()  # as long as it lasts, one of each interval is told whole
    await crash_times(FEW)
    storms.tell()
    whole, [line] = caplog.records[:-1], caplog.records[-1:]
    assert [record.msg for record in whole] == ["%s crashed"]
    assert line.fauxtp["crashes"] == FEW - 1  # type: ignore[attr-defined]
    storms.tell()
    assert len(caplog.records) == 2  # nothing is told twice


async def test_each_class_and_each_kind_of_error_has_its_own_storm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Other(Login):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            raise KeyError(request)

    await crash_times(FEW + 1)
    caplog.clear()
    async with task_group() as group:
        for kind, request in ((Puppet, boom), (Other, "x")):
            server = await kind.start(task_group=group)
            await cast(server, request)
            await wait_exit(server)
    assert [record.msg for record in caplog.records] == ["%s crashed"] * 2


def crash_by(name: str) -> ExitReason:
    return ExitReason.error(type(name, (Exception,), {})())


@pytest.fixture
def a_storm() -> Iterator[crash_storms.Storms]:
    a_storm = crash_storms.Storms()
    yield a_storm
    a_storm.forget()


def told_of(a_storm: crash_storms.Storms, reasons: Iterable[ExitReason]) -> int:
    return sum(a_storm.lets_through(Login, reason) for reason in reasons)


def test_kinds_without_end_are_told_as_few(
    a_storm: crash_storms.Storms,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []
    forget_old = a_storm._forget_old

    def look(now: float) -> None:
        looks.append(now)
        forget_old(now)

    monkeypatch.setattr(a_storm, "_forget_old", look)
    reasons = [crash_by(f"E{number}") for number in range(1_000)]
    assert told_of(a_storm, reasons) == crash_storms.KINDS + FEW
    assert len(looks) <= 1  # for an interval, and not for each crash
    a_storm.tell()
    [line] = caplog.records
    count = 1_000 - crash_storms.KINDS - FEW
    start = f"One of many other kinds crashed {count} times more within "
    assert line.getMessage().startswith(start)
    assert line.getMessage().endswith("at last by error: E999()")

    now = monotonic() + 2 * crash_storms.SECONDS
    monkeypatch.setattr(crash_storms, "monotonic", lambda: now)
    assert told_of(a_storm, reasons[:1]) == 1  # those that are over make room


def test_a_storm_keeps_no_error(a_storm: crash_storms.Storms) -> None:
    reasons = [crash_by("E") for _ in range(FEW + 5)]
    assert told_of(a_storm, reasons) == FEW
    errors: list[Any] = [
        weakref.ref(reason.exception) for reason in reasons if reason.exception is not None
    ]
    kinds: list[Any] = [weakref.ref(type(reason.exception)) for reason in reasons]
    reasons.clear()
    gc.collect()
    assert len(errors) == FEW + 5
    assert not [each for each in (*errors, *kinds) if each() is not None]


def test_a_storm_without_a_thread_is_told_as_soon_as_there_is_one(
    a_storm: crash_storms.Storms,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none:
        none.setattr(threading.Timer, "start", fails)
        assert told_of(a_storm, [crash_by("E") for _ in range(FEW + 2)]) == FEW
    monkeypatch.setattr(crash_storms, "SECONDS", 0.0)
    told = threading.Event()
    tell = a_storm.tell

    def tell_and_say_so() -> None:
        tell()
        told.set()

    monkeypatch.setattr(a_storm, "tell", tell_and_say_so)
    assert told_of(a_storm, [crash_by("E")]) == 0
    assert told.wait(60)
    assert "Login crashed 3 times more" in caplog.text


async def test_a_storm_that_is_over_is_told_by_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_storms, "SECONDS", 0.01)
    monkeypatch.setattr(storms, "few", 0)
    await crash_times(1)
    with anyio.fail_after(60):
        while not caplog.records:
            await anyio.sleep(0.001)
    assert "Login crashed 1 times more" in caplog.text


# What others show of it


class Transport(sentry_sdk.transport.Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(json.loads(json.dumps(event)))


async def test_sentry_shows_the_facts_and_groups_by_what_does_not_change() -> None:
    reports.configure(contents=True)
    transport = Transport()
    client = sentry_sdk.Client(
        dsn="http://public@localhost/1",
        transport=transport,
        default_integrations=False,
        integrations=[LoggingIntegration()],
    )
    scope = sentry_sdk.get_global_scope()
    before = scope.client
    scope.set_client(client)
    try:
        async with task_group() as group:
            for _ in range(2):
                login = await Login.start({"user": "anna"}, task_group=group)
                await cast(login, ("log in", {"password": SECRET}))
                await wait_exit(login)
    finally:
        client.close()
        scope.set_client(before)
    first, second = transport.events
    assert first["logentry"]["message"] == second["logentry"]["message"] == "%s crashed"
    facts = first["extra"]["fauxtp"]
    assert facts["class"] == "Login"
    assert facts["state"] == "{'user': 'anna'}"
    assert facts["message"] == "Cast(('log in', {'password': <hidden>}))"
    assert {"ancestors", "uptime", "callers", "links", "watchers"} <= facts["circumstances"].keys()
    assert first["exception"]["values"][0]["type"] == "Boom"
    logged = {key: first[key] for key in ("extra", "logentry")}
    assert SECRET not in json.dumps(logged)


def with_structlog(text: io.StringIO) -> logging.Handler:
    """Return a handler as structlog's documents tell to make one for the records of others."""
    handler = logging.StreamHandler(text)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                reports.add_process,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    return handler


async def test_structlog_shows_the_facts() -> None:
    text = io.StringIO()
    handler = with_structlog(text)
    logging.getLogger("fauxtp").addHandler(handler)
    try:
        async with task_group() as group:
            login = await Login.start(task_group=group, register_as="login")
            await cast(login, "crash")
            await wait_exit(login)
    finally:
        logging.getLogger("fauxtp").removeHandler(handler)
    [line] = text.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == f"Login 'login' {login!r} crashed"
    assert (event["fauxtp"]["class"], event["fauxtp"]["names"]) == ("Login", ["login"])
    assert (event["fauxtp_pid"], event["fauxtp_name"]) == (repr(login), "login")
    assert "Boom" in event["exception"]
    assert SECRET not in line


# Who logs


class Logs(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        logging.getLogger("shop").error("from within")
        structlog.get_logger().error("from within")
        return None, state


@pytest.mark.usefixtures("either_way")
async def test_records_know_which_process_has_logged_them() -> None:
    kept: list[Any] = []
    handler = logging.Handler()
    handler.addFilter(reports.ProcessFilter())
    handler.emit = kept.append  # type: ignore[assignment,method-assign]
    logging.getLogger("shop").addHandler(handler)
    try:
        with structlog.testing.capture_logs(processors=[reports.add_process]) as events:
            async with task_group() as group:
                logs = await Logs.start(task_group=group, register_as="logs")
                await call(logs, "log")
                logging.getLogger("shop").error("from outside")
                structlog.get_logger().error("from outside")
                exit(logs)
    finally:
        logging.getLogger("shop").removeHandler(handler)
    within, outside = (
        (record.fauxtp_class, record.fauxtp_name, record.fauxtp_pid) for record in kept
    )
    assert within == ("Logs", "logs", repr(logs))
    assert outside == (None, None, None)
    assert [event.get("fauxtp_name") for event in events] == ["logs", None]
    assert (events[0]["fauxtp_class"], events[0]["fauxtp_pid"]) == ("Logs", repr(logs))
