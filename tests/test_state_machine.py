"""State machines: which event comes when, and what becomes of timeouts and of answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest
from conftest import ASYNCIO
from crew import Boom, end_of, process_of, running, supervisor
from in_simulated_time import Scenario, each_loop

from fauxtp import (
    POSTPONE,
    Call,
    Cast,
    ChildSpec,
    Continue,
    EventTimeout,
    NamedTimeout,
    NextEvent,
    ProcessExited,
    Raise,
    ReceiveTimeout,
    Reply,
    StateMachine,
    StateTimeout,
    Stop,
    Transition,
    call,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    get_state,
    process_info,
    process_infos,
    replace_state,
    reply,
    resume,
    send,
    send_nowait,
    start_call,
    suspend,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Plays(StateMachine[str, list[Any]]):
    """Does with an event what that says, and notes in which state it came.

    An event is `(name, next state or "", actions)`, cast or sent; other events are noted only.
    """

    begins: tuple[Any, ...] = ()
    enters: ClassVar[dict[str, tuple[Any, ...]]] = {}

    async def init(self) -> Transition[str, list[Any]]:
        return "a", [], *self.begins

    async def handle_event(
        self, event: Any, state: str, notes: list[Any]
    ) -> Transition[str, list[Any]]:
        match event:
            case Call("notes"):
                return state, notes, Reply(event, notes)
            case Cast((name, after, *actions)) | (name, after, *actions):
                pass
            case NextEvent((name, after, *actions)):
                pass
            case Call((name, after, *actions)):
                actions = [
                    Reply(event, (name, state)) if action is Reply else action
                    for action in actions
                ]
            case StateTimeout(name) | EventTimeout(name) | NamedTimeout(_, name) | NextEvent(name):
                after, actions = "", []
            case _:
                name, after, actions = event, "", []
        return after or state, [*notes, (state, name)], *actions

    async def handle_enter(
        self, old: str | None, state: str, notes: list[Any]
    ) -> Transition[str, list[Any]]:
        return state, [*notes, (old, state)], *self.enters.get(state, ())


Play = tuple[Any, ...]


async def played(*events: Play, kind: type[Plays] = Plays, after: float = 0) -> list[Any]:
    """Return what a machine has noted that was cast the events, all of them at once."""
    async with running() as group:
        machine = await kind.start(task_group=group)
        for event in events:
            cast_nowait(machine, event)
        if after:
            await anyio.sleep(after)
        notes: list[Any] = await call(machine, "notes")
        exit(machine)
    assert notes[0] == (None, "a")
    return notes[1:]


# What comes first


async def test_an_event_is_what_came() -> None:
    class Sees(StateMachine[str, list[Any]]):
        async def init(self) -> Transition[str, list[Any]]:
            return "a", []

        async def handle_event(self, event: Any, state: str, seen: list[Any]) -> Any:
            if event == "ask":
                reply(seen[0], seen)
            return state, [*seen, event]

    async with running() as group:
        machine = await Sees.start(task_group=group)
        pending = start_call(machine, "later")
        await cast(machine, "soon")
        await send(machine, ("a", "tuple"))
        await send(machine, "ask")
        [first, second, third] = await pending
        assert isinstance(first, Call)
        assert first.request == "later"
        assert isinstance(second, Cast)
        assert second.request == "soon"
        assert third == ("a", "tuple")
        exit(machine)


async def test_what_was_postponed_comes_again_when_the_state_has_changed_and_not_before() -> None:
    assert await played(
        ("one", "", POSTPONE),
        ("two", "", POSTPONE),
        ("same state", "a"),
        ("go", "b"),
        ("last", ""),
    ) == [
        *[("a", "one"), ("a", "two"), ("a", "same state"), ("a", "go"), ("a", "b")],
        *[("b", "one"), ("b", "two"), ("b", "last")],
    ]


async def test_what_is_postponed_as_the_state_changes_comes_again_at_once() -> None:
    class Twice(Plays):
        async def handle_event(self, event: Any, state: str, notes: list[Any]) -> Any:
            if event == "turn":
                after, *more = ("b", POSTPONE) if state == "a" else ("b",)
                return after, [*notes, (state, event)], *more
            return await super().handle_event(event, state, notes)

    async with running() as group:
        machine = await Twice.start(task_group=group)
        await send(machine, "turn")
        assert await call(machine, "notes") == [
            *[(None, "a"), ("a", "turn"), ("a", "b"), ("b", "turn")],
        ]
        exit(machine)


async def test_what_was_postponed_may_be_postponed_again() -> None:
    again = ("again", "", POSTPONE)
    assert await played(again, ("go", "b"), ("on", "c"), ("end", "")) == [
        *[("a", "again"), ("a", "go"), ("a", "b"), ("b", "again"), ("b", "on"), ("b", "c")],
        *[("c", "again"), ("c", "end")],
    ]


async def test_an_inserted_event_comes_before_what_was_postponed_and_before_messages() -> None:
    inserted = NextEvent(("first", "", NextEvent("third"), NextEvent("fourth")))
    assert await played(
        ("one", "", POSTPONE), ("go", "b", inserted, NextEvent("second")), ("last", "")
    ) == [
        *[("a", "one"), ("a", "go"), ("a", "b")],
        *[("b", "first"), ("b", "third"), ("b", "fourth"), ("b", "second"), ("b", "one")],
        ("b", "last"),
    ]


async def test_what_is_due_at_once_comes_behind_events_and_before_messages() -> None:
    now = (StateTimeout(0, "state"), NamedTimeout("x", 0, "named"), EventTimeout(0, "event"))
    assert await played(("one", "", *now, NextEvent("inserted")), ("last", "")) == [
        *[("a", "one"), ("a", "inserted"), ("a", "state"), ("a", "named"), ("a", "last")],
    ]
    assert await played(("one", "", EventTimeout(0, "event")), ("last", "")) == [
        *[("a", "one"), ("a", "event"), ("a", "last")],
    ]


async def test_a_change_of_state_ends_what_is_due_at_once_for_the_state() -> None:
    turn = NextEvent(("turn", "b"))
    assert await played(("one", "", StateTimeout(0, "no"), NamedTimeout("x", 0, "yes"), turn)) == [
        *[("a", "one"), ("a", "turn"), ("a", "b"), ("b", "yes")],
    ]


async def test_a_state_is_entered_before_anything_comes_in_it() -> None:
    class Enters(Plays):
        enters: ClassVar[dict[str, tuple[Any, ...]]] = {"b": (StateTimeout(0, "entered"),)}

    assert await played(
        ("one", "", POSTPONE), ("go", "b", NextEvent("inserted")), ("last", ""), kind=Enters
    ) == [
        *[
            ("a", "one"),
            ("a", "go"),
            ("a", "b"),
            ("b", "inserted"),
            ("b", "one"),
            ("b", "entered"),
        ],
        ("b", "last"),
    ]


async def test_the_first_state_is_entered_and_what_init_says_is_done_before_any_message() -> None:
    class Begins(Plays):
        begins = (NextEvent("inserted"), StateTimeout(0, "due"))

    assert await played(("one", ""), kind=Begins) == [
        ("a", "inserted"),
        ("a", "due"),
        ("a", "one"),
    ]


async def test_what_goes_on_and_on_lets_others_run_and_can_be_ended() -> None:
    class Tireless(Plays):
        async def handle_event(self, event: Any, state: str, notes: list[Any]) -> Any:
            return state, notes, NextEvent("again")

    async with running() as group:
        machine = await Tireless.start(task_group=group)
        await cast(machine, "begin")
        for _ in range(3):
            await anyio.sleep(0)
        assert process_info(machine).handling == NextEvent("again")
        process = process_of(machine)
        exit(machine)
        assert await end_of(process) == "shutdown"


# Answers


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "more",
    [(), (NextEvent("inserted"),), (StateTimeout(0),), (NamedTimeout("x", 60),)],
    ids=["alone", "with an event", "with one that is due", "with one that is not"],
)
@pytest.mark.parametrize("after", ["", "b"])
async def test_a_call_has_its_answer_whatever_else_is_to_be_done(
    more: tuple[Any, ...], after: str
) -> None:
    async with running() as group:
        machine = await Plays.start(task_group=group)
        for name in ("one", "two"):
            assert await call(machine, (name, "", Reply, *more)) == (name, "a")
        assert await call(machine, ("three", after, *more, Reply)) == ("three", "a")
        assert process_info(machine).handling is None
        exit(machine)


@pytest.mark.usefixtures("either_way")
async def test_a_call_that_is_postponed_is_answered_when_it_comes_again() -> None:
    class Door(StateMachine[str, None]):
        async def init(self) -> Transition[str, None]:
            return "locked", None

        async def in_locked(self, event: Any, data: None) -> Transition[str, None]:
            return ("open", data) if event == "unlock" else ("locked", data, POSTPONE)

        async def in_open(self, event: Any, data: None) -> Transition[str, None]:
            match event:
                case Call("refuse"):
                    return "open", data, Reply(event, Raise(Boom("refused")))
                case Call("slowly"):
                    await anyio.sleep(0.001)
            return "open", data, Reply(event, "come in")

    async with running() as group:
        door = await Door.start(task_group=group)
        pending = [start_call(door, request) for request in ("quickly", "slowly", "refuse")]
        await anyio.wait_all_tasks_blocked()
        assert not any(one.done for one in pending)
        send_nowait(door, "unlock")
        assert [await one for one in pending[:2]] == ["come in", "come in"]
        with pytest.raises(Boom, match="refused"):
            await pending[2]
        assert await call(door, "slowly") == "come in"
        exit(door)


async def test_a_call_that_was_given_up_while_it_was_postponed_does_not_come_again() -> None:
    async with running() as group:
        machine = await Plays.start(task_group=group)
        for number in range(100):
            with pytest.raises(ReceiveTimeout):
                await call(machine, (number, "", POSTPONE), timeout=1e-9)
            await get_state(machine)
        behaviour: Any = process_of(machine).actor
        assert len(behaviour._postponed) <= 17
        await cast(machine, ("go", "b"))
        notes = await call(machine, "notes")
        assert not [name for state, name in notes if state == "b" and name != "go"]
        exit(machine)


async def test_who_waits_for_a_machine_that_ends_is_told() -> None:
    async with running() as group:
        machine = await Plays.start(task_group=group)
        postponed = start_call(machine, ("one", "", POSTPONE))
        crashes = start_call(machine, ("two", "", NextEvent(("then", "", 5))))
        with pytest.raises(ProcessExited):
            await crashes
        with pytest.raises(ProcessExited):
            await postponed


async def test_a_reply_to_an_older_call_or_to_nobody() -> None:
    class Holds(StateMachine[str, Any]):
        async def init(self) -> Transition[str, Any]:
            return "holding", None

        async def handle_event(self, event: Any, state: str, held: Any) -> Any:
            match event:
                case Call("hold"):
                    return state, event
                case Call("release"):
                    return state, None, Reply(held, "released"), Reply(event, "done")
                case Call("twice"):
                    return state, held, Reply(event, 1), Reply(event, 2)

    letters: list[Any] = []
    async with running() as group:
        machine = await Holds.start(task_group=group)
        pending = start_call(machine, "hold")
        assert await call(machine, "release") == "done"
        assert await pending == "released"
        with dead_letters.observed_by(lambda letter: letters.append(letter.message)):
            assert await call(machine, "twice") in {1, 2}
            await get_state(machine)
        assert letters in ([1], [2])
        exit(machine)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("how", ["raise", "return", "later"])
async def test_a_machine_may_stop_with_an_answer(how: str) -> None:
    class Stops(StateMachine[str, None]):
        async def init(self) -> Transition[str, None]:
            return "on", None

        async def handle_event(self, event: Any, state: str, data: None) -> Any:
            match event:
                case Call("raise"):
                    raise Stop("enough", "bye")
                case Call("return"):
                    return Stop("enough", "bye")
                case Call("later") if state == "on":
                    return "off", data, POSTPONE
                case Call("later"):
                    return Stop("enough", "bye")

        async def terminate(self, reason: str, state: Any) -> None:
            ended.append((reason, state))

    ended: list[Any] = []
    async with running() as group:
        machine = await Stops.start(task_group=group)
        process = process_of(machine)
        assert await call(machine, how) == "bye"
        assert await end_of(process) == "enough"
    assert ended == [("enough", ("off" if how == "later" else "on", None))]


async def test_a_task_may_find_the_answer() -> None:
    class Asks(StateMachine[str, None]):
        async def init(self) -> Transition[str, None]:
            return "on", None

        async def in_on(self, event: Any, data: None) -> Transition[str, None]:
            self.reply_later(event, self.found, event.request)
            return "on", data

        async def found(self, number: int) -> float:
            return 1 / number

    async with running() as group:
        machine = await Asks.start(task_group=group)
        assert await call(machine, 2) == 0.5
        with pytest.raises(ZeroDivisionError):
            await call(machine, 0)
        exit(machine)


async def test_what_was_postponed_and_never_came_again_is_a_dead_letter() -> None:
    letters: list[Any] = []
    async with running() as group:
        machine = await Plays.start(task_group=group)
        with dead_letters.observed_by(letters.append):
            await cast(machine, ("one", "", POSTPONE))
            await send(machine, ("two", "", POSTPONE))
            await cast(machine, ("three", "", NextEvent(("inserted", "", 5))))
            await wait_exit(machine)
    assert [letter.reason for letter in letters] == ["exited", "exited"]
    assert isinstance(letters[0].message, Cast)


# Timeouts, in simulated time


async def timeline() -> None:
    """Timeouts come in their time, unless something ends them before."""
    setting = (StateTimeout(3, "state"), NamedTimeout("x", 4, "named"), EventTimeout(2, "event"))
    both = [("a", "one"), ("a", "event"), ("a", "state"), ("a", "named")]
    assert await played(("one", "", *setting), after=10) == both
    assert (await played(("one", "", *setting), after=3.5)) == both[:3]
    assert await played(("one", "", *setting), ("two", ""), after=10) == [
        *[("a", "one"), ("a", "two"), ("a", "state"), ("a", "named")],
    ]
    assert await played(("one", "", *setting), ("go", "b"), after=10) == [
        *[("a", "one"), ("a", "go"), ("a", "b"), ("b", "named")],
    ]
    again = (
        "two",
        "",
        StateTimeout(9, "later"),
        NamedTimeout("x", None),
        NamedTimeout("y", 1, "y"),
    )
    assert await played(("one", "", *setting), again, after=8) == [
        *[("a", "one"), ("a", "two"), ("a", "y")],
    ]
    kept = ("go", "b", StateTimeout(2, "of b"))
    assert await played(("one", "", StateTimeout(1, "of a")), kept, after=5) == [
        *[("a", "one"), ("a", "go"), ("a", "b"), ("b", "of b")],
    ]


@each_loop
def test_timeouts_come_in_their_time(simulated: Callable[[Scenario], None]) -> None:
    simulated(timeline)


async def late() -> None:
    """A timeout whose message lies in the mailbox as it is ended does not come."""
    async with running() as group:
        machine = await Plays.start(task_group=group)
        await cast(machine, ("one", "", StateTimeout(1, "state"), NamedTimeout("x", 1, "named")))
        await get_state(machine)
        await suspend(machine)
        await anyio.sleep(0.5)
        await cast(machine, ("go", "b", NamedTimeout("x", 1, "anew")))
        await anyio.sleep(5)
        assert process_info(machine).mailbox_length == 3
        await resume(machine)
        await anyio.sleep(5)
        assert (await call(machine, "notes"))[1:] == [
            *[("a", "one"), ("a", "go"), ("a", "b"), ("b", "anew")],
        ]
        exit(machine)


@each_loop
def test_what_is_ended_while_it_lies_in_the_mailbox_does_not_come(
    simulated: Callable[[Scenario], None],
) -> None:
    simulated(late)


async def none_is_left() -> None:
    """Timeouts end with their machine, and leave nothing behind."""
    letters: list[Any] = []
    async with running() as group:
        machine = await Plays.start(task_group=group)
        await cast(machine, ("one", "", StateTimeout(1), NamedTimeout("x", 1), EventTimeout(1)))
        await get_state(machine)
        exit(machine)
        await wait_exit(machine)
        with dead_letters.observed_by(letters.append):
            await anyio.sleep(5)
    assert letters == []


@each_loop
def test_timeouts_end_with_their_machine(simulated: Callable[[Scenario], None]) -> None:
    simulated(none_is_left)


# As any server


class Light(Enum):
    RED = 1
    GREEN = 2


class Lights(StateMachine[Light, int]):
    async def init(self) -> Transition[Light, int]:
        return Light.RED, 0

    async def in_red(self, event: Any, count: int) -> Transition[Light, int]:
        match event:
            case Cast("crash"):
                raise Boom
            case Call():
                return Light.RED, count, Reply(event, ("red", count))
        return Light.GREEN, count

    async def enter_green(self, old: Light | None, count: int) -> Transition[Light, int]:
        assert old is Light.RED
        return Light.GREEN, count + 1

    async def in_green(self, event: Any, count: int) -> Transition[Light, int]:
        match event:
            case Call():
                return Light.GREEN, count, Reply(event, ("green", count))
        return Light.RED, count


@pytest.mark.usefixtures("either_way")
async def test_each_state_may_have_methods_of_its_own() -> None:
    async with running() as group:
        lights = await Lights.start(task_group=group)
        for number in range(3):
            assert await call(lights, "which?") == ("red", number)
            await cast(lights, "next")
            assert await call(lights, "which?") == ("green", number + 1)
            await send(lights, "next")
        exit(lights)


async def test_supervisors_names_and_who_looks_in_find_a_server_as_any_other() -> None:
    async with running() as group:
        chief = await supervisor(ChildSpec("lights", Lights, register_as="lights")).start(
            task_group=group
        )
        first = await wait_registered("lights")
        assert await get_state("lights") == (Light.RED, 0)
        assert await replace_state("lights", lambda pair: (Light.GREEN, 5)) == (Light.GREEN, 5)
        assert await call("lights", "which?") == ("green", 5)
        await cast("lights", "next")
        await cast("lights", "crash")
        await wait_exit(first)
        assert await wait_registered("lights") is not first
        assert await call("lights", "which?") == ("red", 0)
        [info] = [info for info in process_infos() if info.names == ["lights"]]
        assert info.actor_class is Lights
        assert info.supervisor is chief
        exit(chief)
    assert whereis("lights") is None


class Wrong(Plays):
    result: Any = None

    async def handle_event(self, event: Any, state: str, notes: list[Any]) -> Any:
        return self.result


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, r"Wrong.handle_event to return \(state, data, \*actions\) or Stop, got None"),
        ("b", "got 'b'"),
        (("b",), r"got \('b',\)"),
        (["b", 1], "got"),
        (("b", 1, 5), "behind state and data to be actions, got 5"),
        (("b", 1, StateTimeout), "to be actions, got <class"),
        (("b", 1, Continue("x")), "got Continue.*: a machine has NextEvent for that"),
        ((Raise(Boom()), 1), r"got a Raise: an action does so, Reply\(event, Raise\(error\)\)"),
        ((Raise(Boom()), "b", 1), r"an action does so, Reply\(event, Raise\(error\)\)"),
        (Raise(Boom()), r"an action does so, Reply\(event, Raise\(error\)\)"),
    ],
)
async def test_what_is_no_transition_is_an_error_that_names_it(result: Any, text: str) -> None:
    kind: type[Wrong] = type("Wrong", (Wrong,), {"result": result})
    async with running() as group:
        machine = await kind.start(task_group=group)
        process = process_of(machine)
        await cast(machine, 1)
        error = (await end_of(process)).exception
        assert isinstance(error, TypeError)
        with pytest.raises(TypeError, match=text):
            raise error


async def failure_of(kind: type[StateMachine[Any, Any]], *events: Any) -> str:
    async with running() as group:
        machine = await kind.start(task_group=group)
        process = process_of(machine)
        for event in events:
            await cast(machine, event)
        error = (await end_of(process)).exception
    assert isinstance(error, TypeError)
    return str(error)


async def refusal_of(kind: type[StateMachine[Any, Any]]) -> str:
    async with running() as group:
        with pytest.raises(TypeError) as caught:
            await kind.start(task_group=group)
    return str(caught.value)


class Typing(StateMachine[Any, Any]):
    """Goes where it is told to; there are states `a` and `b`, and `end`."""

    async def init(self) -> Any:
        return "a", None

    async def in_a(self, event: Any, data: Any) -> Any:
        return (event.request, data, Reply(event, "done")) if type(event) is Call else ("a", data)

    async def in_b(self, event: Any, data: Any) -> Any:
        return "b", data

    async def enter_end(self, old: Any, data: Any) -> Any:
        return Stop("the end")

    async def terminate(self, reason: str, state: Any) -> None:
        self.last = state


async def test_who_leads_to_a_state_that_is_none_gets_the_error() -> None:
    """And not who sends the next event, who could not help it; its state stays what it was."""
    async with running() as group:
        machine = await Typing.start(task_group=group)
        owner: Any = process_of(machine).actor
        with pytest.raises(ProcessExited) as caught:
            await call(machine, "bb")
        text = str(caught.value.__cause__)
        assert text == "expected Typing to have a method in_bb for the state 'bb'"
        assert owner._owner.last == ("a", None)


async def test_a_state_that_is_entered_need_have_no_events() -> None:
    async with running() as group:
        machine = await Typing.start(task_group=group)
        assert await call(machine, "end") == "done"
        assert await wait_exit(machine) in {"the end", "noproc"}

    class Enters(Typing):
        async def handle_enter(self, old: Any, state: Any, data: Any) -> Any:
            return Stop("of c") if state == "c" else (state, data)

    async with running() as group:
        machine = await Enters.start(task_group=group)
        process = process_of(machine)
        await call(machine, "c")
        assert await end_of(process) == "of c"


async def test_what_is_wrong_with_a_class_is_told_by_name() -> None:
    class Nowhere(Lights):
        in_red = None  # type: ignore[assignment]

    assert "expected Nowhere.in_red to be a method, got NoneType" in await failure_of(Nowhere, 1)

    class Missing(StateMachine[Any, Any]):
        first: Any = "x"

        async def init(self) -> Any:
            return self.first, None

    assert "Missing to have a method in_x for the state 'x'" in await refusal_of(Missing)

    class Numbers(Missing):
        first = 5

    assert "Numbers to have a handle_event for the state 5" in await refusal_of(Numbers)

    class Plain(Missing):
        def in_x(self, event: Any, data: Any) -> Any:
            return "x", data

    assert "Plain.in_x to be async" in await failure_of(Plain, 1)

    class Forgets(Missing):
        async def in_x(self, event: Any, data: Any) -> Any:
            pass

    assert "Forgets.in_x to return (state, data, *actions)" in await failure_of(Forgets, 1)

    class Leaves(Missing):
        async def enter_x(self, old: Any, data: Any) -> Any:
            return "y", data

    assert "Leaves.handle_enter to stay in 'x', got 'y'" in await failure_of(Leaves)

    class Inserts(Missing):
        async def enter_x(self, old: Any, data: Any) -> Any:
            return "x", data, NextEvent(1)

    assert "Inserts.handle_enter to return other actions" in await failure_of(Inserts)

    class Replaced(Lights):
        pass

    async with running() as group:
        machine = await Replaced.start(task_group=group)
        process = process_of(machine)
        await replace_state(machine, lambda pair: 5)
        await cast(machine, 1)
        assert "to be (state, data), got 5" in str((await end_of(process)).exception)


@pytest.mark.parametrize(
    ("init", "text"),
    [
        (dict, "init to return"),
        (lambda: ("a", 1, POSTPONE), "other actions, got POSTPONE"),
        (lambda: ("a", 1, 5), "to be actions"),
    ],
)
async def test_a_machine_that_begins_with_nothing_does_not_start(init: Any, text: str) -> None:
    class Begins(StateMachine[Any, Any]):
        async def init(self) -> Any:
            return init()

    async with running() as group:
        with pytest.raises(TypeError, match=text):
            await Begins.start(task_group=group)
        with pytest.raises(NotImplementedError, match="has no init"):
            await StateMachine.start(task_group=group)


def test_actions_are_checked_as_they_are_made() -> None:
    kinds: list[Any] = [StateTimeout, EventTimeout, partial(NamedTimeout, "x")]
    for kind in kinds:
        with pytest.raises(TypeError, match="seconds to be a number"):
            kind("soon")
        with pytest.raises(ValueError, match="at least 0"):
            kind(-1)
        assert kind(None).seconds is None
    with pytest.raises(TypeError, match="expected name to be hashable, got list"):
        NamedTimeout([], 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected to to be a Call"):
        Reply(5, 1)  # type: ignore[arg-type]
    assert repr(POSTPONE) == "POSTPONE"
    with pytest.raises(TypeError, match="not to define 'run'"):
        type("Own", (StateMachine,), {"run": None})


# Under any schedule


async def _turnstile() -> None:
    """Coins and pushes in any order: each push gets through by a coin of its own, in order."""

    class Turnstile(StateMachine[str, list[int]]):
        async def init(self) -> Transition[str, list[int]]:
            return "locked", []

        async def in_locked(self, event: Any, through: list[int]) -> Transition[str, list[int]]:
            match event:
                case Cast("coin"):
                    return "open", through
            return "locked", through, POSTPONE

        async def in_open(self, event: Any, through: list[int]) -> Transition[str, list[int]]:
            match event:
                case Call("all"):
                    return "open", through, Reply(event, through)
                case Call(number):
                    await anyio.sleep(0)
                    return "locked", [*through, number], Reply(event, len(through))
            return "open", through, POSTPONE  # a coin too many waits for its turn

    async def push(number: int) -> None:
        places.append(await call(turnstile, number))

    places: list[int] = []
    async with anyio.create_task_group() as group:
        turnstile = await Turnstile.start(task_group=group)
        async with anyio.create_task_group() as people:
            for number in range(4):
                people.start_soon(push, number)
                people.start_soon(cast, turnstile, "coin")
        assert sorted(places) == [0, 1, 2, 3]
        await cast(turnstile, "coin")
        assert sorted(await call(turnstile, "all")) == [0, 1, 2, 3]
        exit(turnstile)


@pytest.mark.usefixtures("either_way")
def test_each_event_comes_once_under_any_schedule() -> None:
    explore(_turnstile, range(150))


@pytest.mark.usefixtures("either_way")
def test_a_machine_that_forgets_what_it_postponed_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fauxtp._actors.state_machine_events import Machine  # noqa: PLC0415

    postpone = Machine._postpone

    def forgets(self: Machine, event: Any) -> None:
        postpone(self, event)
        del self._postponed[1:]

    monkeypatch.setattr(Machine, "_postpone", forgets)
    with pytest.raises(Exception, match="seed"):
        explore(_turnstile, range(150))


async def _patience() -> None:
    """A timeout of the state never comes in another, whoever is quicker."""

    class Waits(StateMachine[str, None]):
        async def init(self) -> Transition[str, None]:
            return "waiting", None, StateTimeout(1)

        async def in_waiting(self, event: Any, data: None) -> Transition[str, None]:
            return "over", data

        async def in_over(self, event: Any, data: None) -> Transition[str, None]:
            assert not isinstance(event, StateTimeout), "too late"
            return (
                ("over", data, Reply(event, "over")) if isinstance(event, Call) else ("over", data)
            )

    async with anyio.create_task_group() as group:
        waits = await Waits.start(task_group=group)
        await anyio.sleep(1)
        await cast(waits, "enough")
        assert await call(waits, "what?") == "over"
        await anyio.sleep(1)
        exit(waits)


def test_a_timeout_of_a_state_comes_in_no_other_under_any_schedule() -> None:
    explore(_patience, range(150))


def test_one_that_does_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from fauxtp._actors.timeouts import Elapsed, Timeouts  # noqa: PLC0415

    def has_come(self: Timeouts, elapsed: Elapsed) -> Any:
        self._running.pop(elapsed.key, None)
        return elapsed.timeout

    monkeypatch.setattr(Timeouts, "has_come", has_come)
    with pytest.raises(Exception, match=r"too late|crash|exited"):
        explore(_patience, range(150))
