"""An operation that comes in while another runs comes before or after it. See interruption.py."""

from __future__ import annotations

from typing import Any

import pytest

from hostile import broken, effort, interruption

pytestmark = pytest.mark.usefixtures("in_order")


@pytest.mark.parametrize("way", ["lines", "calls", "collections"])
def test_whoever_comes_in_comes_before_or_after(twin: Any, way: str) -> None:
    count = interruption.interrupt_all(twin, way)
    effort.report(f"interruption, {twin.__name__}: {count:,} operations came in by {way}")


@pytest.mark.once
def test_a_fault_is_found() -> None:
    with pytest.raises(interruption.NotInOrder):
        interruption.interrupt_all(broken.Broken(broken.TwoSteps), "lines")
