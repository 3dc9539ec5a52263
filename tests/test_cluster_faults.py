"""Faults that are planted in a cluster: the scenarios of the other tests find each of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
import test_cluster as nodes
import test_cluster_bonds as bonds
import test_cluster_calls as calls
import test_cluster_groups as groups
import test_cluster_names as names
import test_cluster_shards as shards
import test_cluster_singletons as singletons

from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._groups.memberships import Memberships
from fauxtp.cluster._messages.calls_in import CallsIn
from fauxtp.cluster._messages.messenger import Messenger
from fauxtp.cluster._names.claims import Claims
from fauxtp.cluster._names.names import Names
from fauxtp.cluster._names.sweeper import Sweeper
from fauxtp.cluster._nodes.lease import Lease
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._shards.shard_claims import ShardClaims
from fauxtp.cluster._shards.shard_post import ShardPost
from fauxtp.cluster.singletons import Singleton


async def nobody_ends(self: Any, kind: Any, shards: list[int]) -> None:
    kind.yields.update(shards)
    kind.had.difference_update(shards)


def nothing(*_: Any) -> None:
    """Do nothing."""


def always(_: Any) -> bool:
    return True


async def not_ended(*_: Any) -> None:
    await anyio.sleep_forever()


async def not_waited(self: Any, name: str, owned: Any) -> None:
    self._disown(name)
    await self._try_to_release(name, owned)


def always_no(*_: Any) -> bool:
    return False


async def not_read_back(self: Any) -> None:
    self.drop()


FAULTS: dict[str, tuple[type, str, Any, Callable[[], None]]] = {
    "nobody is fenced": (
        Node,
        "may_act",
        always,
        calls.test_a_frozen_node_serves_nothing_on_waking,
    ),
    "a fenced node keeps its names": (
        Claims,
        "_fenced",
        nothing,
        names.test_names_of_a_node_that_is_gone_are_swept_and_taken_by_one,
    ),
    "nobody sweeps": (
        Sweeper,
        "_look",
        nothing,
        names.test_names_of_a_node_that_is_gone_are_swept_and_taken_by_one,
    ),
    "the names are not swapped": (
        Names,
        "_told_all",
        nothing,
        names.test_writes_that_were_lost_are_made_again,
    ),
    "a node without a lease keeps its shards": (
        ShardClaims,
        "_fenced",
        nothing,
        shards.test_a_node_without_connection_ends_its_own_before_others_begin,
    ),
    "a shard is given back while some run in it": (
        ShardClaims,
        "_end",
        nobody_ends,
        shards.test_who_moves_has_ended_before_another_begins,
    ),
    "what waits for a shard is forgotten": (
        ShardPost,
        "flush",
        nothing,
        shards.test_who_moves_has_ended_before_another_begins,
    ),
    "a fenced node keeps its singletons": (
        Claims,
        "_fenced",
        nothing,
        singletons.test_who_is_fenced_ends_it_before_another_starts_it,
    ),
    "a name goes before its process has ended": (
        Claims,
        "_release_when_ended",
        not_waited,
        partial(singletons.test_who_takes_it_from_one_that_leaves_waits_for_its_end, to_end=0.5),
    ),
    "what has lost its name ends when it likes": (
        Singleton,
        "_end_in_time",
        not_ended,
        singletons.test_one_that_has_lost_the_name_has_its_shutdown_to_end,
    ),
    "what is heard of an own key is not looked at": (
        Memberships,
        "_look_at",
        nothing,
        groups.test_keys_that_were_lost_are_written_again,
    ),
    "the groups are not swapped": (
        Groups,
        "_told_all",
        nothing,
        groups.test_all_nodes_know_who_is_there_whatever_happens_in_between,
    ),
    "no key is written again in time": (
        Memberships,
        "_is_old",
        always_no,
        groups.test_the_keys_of_who_is_gone_expire_and_those_of_who_lives_do_not,
    ),
    "the time of a call does not count": (
        CallsIn,
        "_look_at_time",
        nothing,
        calls.test_a_lost_cancel_is_made_good_by_the_time_that_travels,
    ),
    "what was lost is not asked for": (
        Messenger,
        "_ask_all",
        nothing,
        bonds.test_an_end_that_was_not_told_is_asked_for,
    ),
    "a heartbeat without an answer is not read back": (
        Lease,
        "_find_out",
        not_read_back,
        nodes.test_a_heartbeat_whose_answer_is_lost_is_read_back,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, does, test = FAULTS[fault]
    monkeypatch.setattr(owner, method, does)
    with pytest.raises(AssertionError):
        test()
