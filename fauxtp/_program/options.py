"""What programs and threads are told of the event loop that is to run, and of their end."""

from __future__ import annotations

import math
from typing import Any

from fauxtp._base.arguments import unexpected

__all__ = ["check_backend", "check_shutdown", "options_of"]


def check_backend(backend: str, uvloop: bool) -> None:
    """Raise what is wrong with a `backend` of anyio, and with `uvloop` for it."""
    if not isinstance(backend, str):
        raise unexpected("backend", "'asyncio' or 'trio'", backend)
    if backend not in {"asyncio", "trio"}:
        raise ValueError(f"expected backend to be 'asyncio' or 'trio', got {backend!r}")
    if not isinstance(uvloop, bool):
        raise unexpected("uvloop", "a bool", uvloop)
    if uvloop and backend != "asyncio":
        raise ValueError(f"expected the backend for uvloop to be 'asyncio', got {backend!r}")


def options_of(uvloop: bool) -> dict[str, Any]:
    """Return the `backend_options` of `anyio.run`."""
    return {"use_uvloop": True} if uvloop else {}


def check_shutdown(shutdown: float) -> None:
    """Raise what is wrong with a time to end in."""
    if not isinstance(shutdown, (int, float)) or isinstance(shutdown, bool):
        raise unexpected("shutdown", "a number", shutdown)
    if not 0 <= shutdown < math.inf:
        raise ValueError(f"expected shutdown to be at least 0, in seconds, got {shutdown}")
