"""The programs of examples/cluster meet at a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE
from engines import new_cluster

EXAMPLES = Path(__file__).parent.parent / "examples" / "cluster"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="these are not the sources")


def test_the_shop_charges_at_the_till(nats_server: Any) -> None:
    cluster = new_cluster()
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name), nats_server.url, cluster],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("till.py", "shop.py")
    ]
    try:
        till, shop = [one.communicate(timeout=PATIENCE)[0].splitlines() for one in both]
    finally:
        for one in both:
            one.kill()
            one.communicate()
    assert till == ["the till is open", "the till is closed"]
    assert shop == ["the sum is 42", "the sum is 50", "nodes: ['shop', 'till']"]
