"""The line that `watch` shows of an event."""

from __future__ import annotations

import time
from typing import Any

from fauxtp.observe.plain_text import plain

__all__ = ["happening"]

Row = dict[str, Any]


def happening(event: Row) -> str:
    """Return an event as a line: when, what, of whom, and how."""
    at = time.localtime(event["at"])
    when = f"{time.strftime('%H:%M:%S', at)}.{int(event['at'] * 1000) % 1000:03}"
    whose = "" if event["pid"] is None else f" <PID {plain(event['pid'])}>"
    labels = " ".join(map(plain, event["labels"]))
    details = "".join(
        f" {plain(name)}={plain(_short(it))}" for name, it in event["details"].items()
    )
    return f"{when} {plain(event['kind']):<17} {labels}{whose}{details}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
