"""The fuzzer's judge: attempt a call with whatever arguments, and say what is wrong with it."""

from __future__ import annotations

import gc
import inspect
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from hypothesis import strategies as st

import fauxtp
from hostile.junk import (
    COROUTINE,
    DEEP,
    HOSTILE,
    JUNK,
    Nasty,
    Piece,
    coroutine_function,
    describe,
    junk,
    pieces,
)
from hostile.rules import PATTERN, Kind, Rule
from hostile.world import ROUNDS, World, world

# Words that tell what was expected, or which state of affairs forbids the call.
CLEAR = re.compile(
    r"expected .+ got |expected at least one |takes no arguments|Can't instantiate abstract"
    r"|call_blocking would block|work(s)? for actors|is not (started|active)|[Nn]ursery is closed"
    r"|has a child",
    re.DOTALL,
)
GOOD = object()  # in place of an argument: one of the good ones


class Returned:
    """What a call has returned."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return describe(self.value)


Attempt = tuple[Rule, tuple[Any, ...]]


def argument(kind: Kind) -> st.SearchStrategy[Any]:
    more = pieces(BAD_PATTERNS) if kind is PATTERN else st.nothing()
    return st.one_of(st.just(GOOD), junk, more)


def attempts(rules: list[Rule]) -> st.SearchStrategy[list[Attempt]]:
    """Draw calls with arguments of which any may be junk."""

    def of(rule: Rule) -> st.SearchStrategy[Attempt]:
        return st.tuples(st.just(rule), st.tuples(*map(argument, rule.kinds)))

    return st.lists(st.sampled_from(rules).flatmap(of), min_size=15, max_size=30)


def sweep(rules: Iterable[Rule]) -> Iterator[Attempt]:
    """Yield each rule with each piece of junk in each place, all else being good."""
    for rule in rules:
        yield rule, (GOOD,) * len(rule.kinds)
        for place, kind in enumerate(rule.kinds):
            for value in (*JUNK, *(BAD_PATTERNS if kind is PATTERN else ())):
                arguments = [GOOD] * len(rule.kinds)
                arguments[place] = value
                yield rule, tuple(arguments)


def _raise(_: object) -> bool:
    raise Nasty


def _keep(value: object) -> object:
    return value


BAD_PATTERNS: list[Any] = [
    (DEEP, _keep),
    (HOSTILE[0], _keep),
    (_raise, _keep),
    (object, _raise),
    (object, 5),
    (5, 5),
    (object, _keep, _keep),
    (object,),
    "ab",
    [object, _keep],
    (object, lambda: None),
]


async def outcome_of(made: World, rule: Rule, arguments: tuple[Any, ...]) -> Any:
    """Return what the call returns, the error that it raises, or that it waits."""
    outcome: Any = Returned("it waits")

    async def do() -> None:
        nonlocal outcome
        try:
            result = rule.call(made, *arguments)
            outcome = Returned(await result if inspect.isawaitable(result) else result)
        except Exception as error:
            outcome = error
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(do)
        if rule.in_thread:
            await anyio.sleep(60)
        for _ in range(ROUNDS):
            await checkpoint()
        group.cancel_scope.cancel()
    return outcome


def fine(kind: Kind, value: Any) -> bool:
    try:
        return kind.accepts(value)
    except Exception:  # a hostile object does not even answer that
        return False


def complaint(outcome: Any, wrong: bool, special: bool) -> str:
    """Return what is wrong with an outcome, or nothing.

    `wrong`: one of the arguments must not be accepted. `special`: one of them may raise
    whatever it likes.
    """
    if not isinstance(outcome, Exception):
        return "was accepted" if wrong else ""
    if special and (isinstance(outcome, Nasty) or not wrong):
        return ""
    if isinstance(outcome, (TypeError, ValueError, RuntimeError)):
        return "" if CLEAR.search(str(outcome)) else "raises an unclear error"
    if wrong or not isinstance(outcome, (fauxtp.FauxtpError, TimeoutError)):
        return "raises an error of the wrong kind"
    return ""


@contextmanager
def noise() -> Iterator[list[str]]:
    """Collect the errors that are logged, and the warnings of coroutines nobody awaits."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(self.format(record))

    ear = Ear(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("fauxtp", "asyncio")]
    for logger in loggers:
        logger.addHandler(ear)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", RuntimeWarning)
            warnings.simplefilter("always", ResourceWarning)
            yield heard
            gc.collect()
            heard += [str(warning.message) for warning in warned]
    finally:
        for logger in loggers:
            logger.removeHandler(ear)


async def judge(made: World, rule: Rule, given: tuple[Any, ...], heard: list[str]) -> None:
    """Make one attempt; raise if it ends otherwise than it may, or harms the world."""
    arguments, wrong, special = [], False, False
    for kind, value in zip(rule.kinds, given, strict=True):
        if value is GOOD:
            arguments.append(kind.choose(made))
            continue
        value = value.value if isinstance(value, Piece) else value  # noqa: PLW2901
        taken = coroutine_function() if value is COROUTINE else value
        arguments.append(taken)
        wrong = wrong or not fine(kind, taken)
        special = special or callable(taken) or inspect.isawaitable(taken)
        special = special or any(value is one for one in (*HOSTILE, *BAD_PATTERNS))
    try:
        outcome = await outcome_of(made, rule, tuple(arguments))
        trouble = complaint(outcome, wrong, special)
        if not special and heard and not trouble:
            trouble = f"makes noise: {heard}"
        if not wrong:
            await made.tidy()
        try:
            await made.check()
        except Exception as error:
            trouble = trouble or f"does harm: {type(error).__name__} {error}"
    finally:
        heard.clear()
        for taken in arguments:
            if inspect.iscoroutine(taken):
                taken.close()
    if trouble:
        called = f"{rule.name}({', '.join(map(describe, arguments))})"
        if isinstance(outcome, Exception):
            raise AssertionError(
                f"{called} {trouble}: {type(outcome).__name__} {outcome}"
            ) from outcome
        raise AssertionError(f"{called} {trouble}: {outcome}")


async def all_of(tries: Iterable[Attempt]) -> int:
    """Make all these attempts in one world; return how many they were."""
    count, trouble = 0, None
    with noise() as heard:
        async with world() as made:
            for rule, given in tries:
                try:
                    await judge(made, rule, given, heard)
                except AssertionError as error:
                    trouble = error
                    break
                count += 1
    if trouble is not None:
        raise trouble
    assert not heard, f"makes noise: {heard}"
    return count
