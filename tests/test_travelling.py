"""Errors and exit reasons travel: by copies, and by pickle to other OS processes."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from conftest import PATIENCE, Run

import fauxtp
from fauxtp import (
    ANY,
    IGNORE,
    NO_REPLY,
    PID,
    AlreadyStarted,
    CallCycle,
    ExitReason,
    MailboxClosed,
    MailboxFull,
    MaxRestartsExceeded,
    NameTaken,
    NoChild,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    Ref,
    Stop,
    TooManyChildren,
    errors,
)
from fauxtp._actors.verdicts import ActorExit
from fauxtp._commands import web
from fauxtp._commands.client import OtherProtocol, Unreachable
from fauxtp.cluster import NoConnection, NodeTaken, Refused, RemoteError
from fauxtp.cluster._engines import nats_keys
from fauxtp.cluster._engines.engine import Superseded, Taken
from fauxtp.cluster._messages.shard_address import Moved
from fauxtp.cluster._wire.wire import BadMessage
from fauxtp.testing import SeedFailed
from fauxtp.testing.simulated_loop import Stuck

PIDS = PID(), PID()
CRASH = ExitReason.error(ValueError("bad"))


class Refuses:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")

    def __repr__(self) -> str:
        return "Refuses()"


class Lost(Exception):
    """Can be pickled, and not loaded: what every error is that takes more than its text."""

    def __init__(self, what: str, *, of: str) -> None:
        super().__init__(f"{what} of {of}")


class Unprintable(Refuses):
    def __repr__(self) -> str:
        raise RuntimeError


class Own(errors.FauxtpError):
    """One of a user's own, with a fact of its own."""

    def __init__(self, code: int, *, item: object) -> None:
        super().__init__(code, item)
        self.item = item


EXAMPLES: dict[str, list[BaseException]] = {
    "ActorExit": [ActorExit(CRASH)],
    "BadMessage": [BadMessage("it is empty")],
    "CallCycle": [CallCycle([PIDS[0], PIDS[1], PIDS[0]])],
    "FauxtpError": [errors.FauxtpError(), errors.FauxtpError("a", 1)],
    "MailboxClosed": [MailboxClosed(PIDS[0])],
    "MailboxFull": [MailboxFull(PIDS[0], 3)],
    "MaxRestartsExceeded": [MaxRestartsExceeded("child", 3, 5.0)],
    "NameTaken": [NameTaken("name", PIDS[0]), NameTaken("name", None)],
    "AlreadyStarted": [
        AlreadyStarted(PIDS[0], "id", PIDS[1]),
        AlreadyStarted(PIDS[0], "id", None),
    ],
    "TooManyChildren": [TooManyChildren(PIDS[0], 3)],
    "NoChild": [NoChild(PIDS[0], "id"), NoChild("boss", "id")],
    "NoConnection": [NoConnection("the server is away")],
    "NodeTaken": [NodeTaken("a")],
    "NoProcess": [NoProcess(PIDS[0]), NoProcess("name")],
    "OtherProtocol": [OtherProtocol("it speaks protocol 2")],
    "ProcessExited": [ProcessExited(PIDS[0], CRASH)],
    "ReceiveTimeout": [ReceiveTimeout("no answer"), ReceiveTimeout()],
    "Refused": [Refused("it forbids it")],
    "RemoteError": [RemoteError("shop.OutOfStock", "no apples")],
    "SeedFailed": [SeedFailed(7, "it failed")],
    "Stop": [Stop("done"), Stop("done", reply=42)],
    "Stuck": [Stuck("it is")],
    "Superseded": [Superseded("name.a", 7)],
    "Taken": [Taken("name.a")],
    "Unreachable": [Unreachable("no such program")],
    "Moved": [Moved()],
    "_Problem": [nats_keys._Problem(10059, "no stream")],
    "_Refused": [web._Refused(404, "there is nothing here")],
}
ALL = [
    pytest.param(error, id=f"{name}-{error!r}") for name in EXAMPLES for error in EXAMPLES[name]
]

Way = Callable[[Any], Any]


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WAYS: list[Way] = [copy.copy, copy.deepcopy, pickled]


def test_there_is_an_example_of_each_error() -> None:
    kinds = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    for module in pkgutil.walk_packages(fauxtp.__path__, "fauxtp."):
        if module.name == "fauxtp.__main__":
            continue
        for name, found in vars(import_module(module.name)).items():
            if not inspect.isclass(found) or not issubclass(found, BaseException):
                continue
            if found.__module__.partition(".")[0] == "fauxtp":
                kinds.add(name)
    assert kinds == EXAMPLES.keys()


def texts(value: Any) -> Any:
    """Return what another OS process is to see of it."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(texts, value))
    return repr(value) if isinstance(value, (PID, Ref, BaseException)) else value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ALL)
def test_an_error_arrives_as_it_was(error: BaseException, way: Way) -> None:
    error.__cause__ = ValueError("the cause")
    error.__dict__.pop("__notes__", None)
    error.add_note("a note")
    came = way(error)
    assert type(came) is type(error)
    assert came is not error
    assert (str(came), came.args) == (str(error), error.args)
    assert repr(came.__cause__) == repr(error.__cause__)
    assert came.__suppress_context__
    assert came.__notes__ == ["a note"]
    for name, value in vars(error).items():
        there = getattr(came, name)
        assert there == (texts(value) if way is pickled else value), name
        assert texts(there) == texts(value), name


@pytest.mark.parametrize("way", WAYS)
def test_an_exit_reason_keeps_what_happened(way: Way) -> None:
    for abnormal in (False, True):
        reason = way(ExitReason("why", abnormal=abnormal))
        assert (type(reason), reason) == (ExitReason, "why")
        assert (reason.abnormal, reason.exception) == (abnormal, None)
    reason = way(CRASH)
    assert (reason, reason.abnormal) == (CRASH, True)
    assert repr(reason.exception) == "ValueError('bad')"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [Refuses(), Unprintable(), lambda: 1, Lost("a", of="b")])
def test_what_cannot_be_pickled_arrives_as_its_text(value: Any, way: Way) -> None:
    error = Own(3, item=value)
    error.__cause__ = Lost("cause", of="it")
    came = way(error)
    assert type(came) is Own
    assert came.args[0] == 3
    if way is pickled:
        assert came.item is not value
        assert repr(came.__cause__) == "Exception(\"Lost('cause of it')\")"
        if isinstance(value, BaseException):
            assert repr(came.item) == "Exception(\"Lost('a of b')\")"
        else:
            assert isinstance(came.item, str)
    else:
        assert came.item is value or way is copy.deepcopy


def test_the_error_in_a_reason_may_be_one_that_cannot_be_pickled() -> None:
    reason = pickled(ExitReason.error(Lost("a", of="b")))
    assert (reason, reason.abnormal) == ("error: Lost('a of b')", True)
    assert repr(reason.exception) == "Exception(\"Lost('a of b')\")"


def test_a_chain_of_causes_travels_and_takes_no_age() -> None:
    error: BaseException = ValueError("first")
    for number in range(40):
        after = MaxRestartsExceeded(f"child {number}", 3, 5.0)
        after.__cause__ = error
        error = after
    came = pickled(error)
    for _ in range(40):
        came = came.__cause__
    assert repr(came) == "ValueError('first')"


@pytest.mark.parametrize("way", WAYS)
def test_what_there_is_once_stays_itself(way: Way) -> None:
    for value in (ANY, IGNORE, NO_REPLY, Stop("done").reply):
        assert way(value) is value
    assert way(Stop("done")).reply is NO_REPLY


# In other OS processes


def fail(index: int) -> None:
    """What a worker does: raise one of the errors, made there."""
    raise flat()[index]


def flat() -> list[Exception]:
    found = [error for name in EXAMPLES for error in EXAMPLES[name]]
    for error in found:
        vars(error).pop("__notes__", None)
        error.__cause__ = Lost("cause", of="it")
        error.add_note("a note")
    plain = [error for error in found if isinstance(error, Exception)]
    return [*plain, Own(1, item=Refuses()), Own(2, item=(PIDS[0], [PIDS[1]]))]


def test_a_worker_of_a_pool_may_raise_each_of_them() -> None:
    expected = flat()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = [pool.apply_async(fail, (index,)) for index in range(len(expected))]
        for error, answer in zip(expected, answers, strict=True):
            with pytest.raises(type(error)) as caught:
                answer.get(PATIENCE)
            assert type(caught.value) is type(error)
            # The worker has made these errors, with PIDs of its own
            assert _numberless(caught.value) == _numberless(error)
            assert getattr(caught.value, "__notes__", None) == getattr(error, "__notes__", None)


def _numberless(error: BaseException) -> str:
    return re.sub(r"<PID \d+>", "<PID>", str(texts(error.args)[:1]))


def test_importing_fauxtp_imports_no_pickle(run: Run) -> None:
    end = run("import sys, fauxtp; print('fauxtp._base.travelling' in sys.modules)")
    assert (end.stdout, end.stderr) == ("False\n", "")
