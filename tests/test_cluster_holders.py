"""Who has which name, and what keys stand for."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._keys.key_words import text_of, word_of
from fauxtp.cluster._keys.name_keys import key_of, name_of
from fauxtp.cluster._names.holders import Holder, Holders
from fauxtp.cluster._nodes.peers import LARGEST, Peers


def test_a_name_is_of_one_node_at_a_time() -> None:
    peers, holders = Peers(Subjects("shop"), "a"), Holders()
    a, b = peers.find("a", 1), peers.find("b", 2)
    holders.put("till", a, 3, 7)
    holders.put("cash", a, LARGEST - 1, LARGEST - 1)
    assert (holders.get("till"), holders.get("nobody")) == (Holder(a, 3, 7), None)
    assert holders.get("cash") == Holder(a, LARGEST - 1, LARGEST - 1)
    holders.put("till", b, 4, 9)
    holders.put("till", b, 5, 10)
    assert holders.get("till") == Holder(b, 5, 10)
    assert (holders.names_of(a), holders.names_of(b)) == (["cash"], ["till"])
    holders.pop("cash")
    holders.pop("nobody")
    assert (holders.peers(), list(holders.names()), len(holders)) == ([b], ["till"], 1)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="it counts CPython's bytes")
def test_a_name_takes_at_most_200_bytes() -> None:
    peers, holders, count = Peers(Subjects("shop"), "a"), Holders(), 20_000
    peer = peers.find("b", 2)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            holders.put(f"session:{number}", peer, number, 10_000_000 + number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] / count <= 200
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["shop", "ü", "a?", "~~~", "漢字", "\0", "x" * 150])
def test_a_word_stands_for_one_text(text: str) -> None:
    assert text_of(word_of(text)) == text
    assert name_of(key_of(f"{text}:{text}").removeprefix("name.")) == f"{text}:{text}"


@pytest.mark.parametrize(
    "words",
    ["", ".", "=", "c2hvcA.", ".c2hvcA", "c2hvcB", "c2hvcA==", "c2hvcA=", "a+b/", "c", "\ud800",
     "Ogo", "Og", "gA", "ü", "c2hvcA c2hv", " ", "==", "A" * 600],
)  # fmt: skip
def test_what_stands_for_no_name_is_none(words: str) -> None:
    assert name_of(words) is None
