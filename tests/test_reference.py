"""The reference has each public name once, and each of its methods that is for users."""

from __future__ import annotations

import argparse
import inspect
import re
from collections import Counter
from enum import Enum
from types import GetSetDescriptorType, MemberDescriptorType

import pytest
from reference import REFERENCE, public, shown

import fauxtp
from fauxtp._commands.cluster_commands import add_cluster_commands
from fauxtp._commands.look_commands import add_commands
from fauxtp._supervision.any_supervisor import AnySupervisor
from fauxtp.testing import pytest_plugin

# What is public only for fauxtp itself: users get such an object, and leave these alone.
OF_THE_RUNTIME = {
    "Actor": set[str](),
    "Agent": {"leave", "path"},
    "Call": {
        *(
            "answer",
            "carried",
            "deferred",
            "fail",
            "note_sender",
            "give_up",
            "has_answered",
            "pass_by",
            "result",
        ),
        *("sent_at", "settled", "take", "taken", "wake"),
    },
    "Cast": {"sent_at"},
    "ClusterName": {"noting", "of"},
    "ChildSpec": {"intensity", "must_restart", "stands_alone"},
    "GenServer": {"run"},
    "OnDemand": {"key", "source"},
    "PartitionSupervisor": {"child_specs"},
    "PendingCall": {"put_into"},
    "ProcessExited": {"called"},
    "Raise": {"refuse"},
    "StateMachine": {"run"},
    "ProcessFilter": {"filter"},
    "Supervisor": {"handle_call"},
    "Task": {"run"},
    "TestActor": {"run"},
    "Timer": {"end", "go_off", "keep", "kept", "take"},
    "Watch": {"begin"},
}

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="these are not the sources")


def members_of(kind: type) -> set[str]:
    """Return what a class has for its users beside fields, its own and that of bases of ours."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("fauxtp")]
    own = [base for base in bases if base is kind or not hasattr(fauxtp, base.__name__)]
    if issubclass(kind, AnySupervisor) and kind is not fauxtp.Supervisor:
        own = [kind]  # what all supervisors have is shown there
    return {
        name
        for base in own
        for name, value in vars(base).items()
        if not name.startswith("_")
        and not isinstance(value, MemberDescriptorType | GetSetDescriptorType | Enum)
        and name not in getattr(kind, "_fields", ())  # of a NamedTuple
        and not (hasattr(kind, "__dataclass_fields__") and name in kind.__dataclass_fields__)
    }


def test_each_public_name_is_in_the_reference_once() -> None:
    assert Counter(each.name for each in shown()) == Counter(list(public()))


@pytest.mark.parametrize(("name", "listed"), [each[:2] for each in shown()])
def test_the_members_for_users_are_in_the_reference(name: str, listed: frozenset[str]) -> None:
    kind = public()[name]
    if not inspect.isclass(kind):
        assert not listed
        return
    if issubclass(kind, fauxtp.Registry | fauxtp.PID | fauxtp.Ref):
        there = {each for each in vars(kind) if not each.startswith("_")}
    else:
        there = members_of(kind)
    of_the_runtime = OF_THE_RUNTIME.get(kind.__name__, set())
    assert of_the_runtime.isdisjoint(listed)
    assert there - of_the_runtime <= listed
    assert [each for each in listed if not hasattr(kind, each)] == []


def test_the_fixtures_are_in_the_reference() -> None:
    page = (REFERENCE / "testing.md").read_text("utf-8")
    assert set(re.findall(r"^`(fauxtp_\w+)`\n: ", page, re.MULTILINE)) == {*pytest_plugin.__all__}


def options_of(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, set[str]]:
    return {
        name: {
            option
            for action in command._actions
            for option in action.option_strings
            if option.startswith("--") and option != "--help"
        }
        for name, command in commands.choices.items()
    }


def test_the_commands_and_their_options_are_in_the_reference() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    add_commands(commands)
    expected = options_of(commands)
    add_cluster_commands(commands)
    of_clusters = commands.choices["cluster"]._subparsers
    assert of_clusters is not None
    (below,) = of_clusters._group_actions
    assert isinstance(below, argparse._SubParsersAction)
    expected |= {f"cluster {name}": found for name, found in options_of(below).items()}
    page = (REFERENCE / "commands.md").read_text("utf-8")
    rows = {
        row[0]: {*re.findall(r"(--[a-z-]+)", row[1])}
        for row in re.findall(
            r"^\| `((?:cluster )?[a-z]+)(?: [A-Za-z:…]+)*` \| (.*)$", page, re.MULTILINE
        )
    }
    assert rows.pop("run") == {"--backend", "--uvloop", "--shutdown"}
    assert rows == expected
