"""Frames that are not the user's: those of fauxtp, and of the event loops that it runs on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import FrameType

__all__ = ["handler_of", "own_ends"]

PACKAGES = ("fauxtp", "anyio", "asyncio", "trio", "outcome", "uvloop", "winloop")


def _folders() -> tuple[str, ...]:
    """Return how the files of frames begin that are not the user's."""
    files = (getattr(sys.modules.get(name), "__file__", None) for name in PACKAGES)
    folders = [os.path.dirname(file) + os.sep for file in files if file]
    return "fauxtp/", *folders  # what is compiled tells where it lay


def own_ends(files: Sequence[str]) -> tuple[int, int]:
    """Return how many frames are not the user's, at the begin of a stack and at its end.

    `files` are those of its frames. If none is the user's, all are at the begin.

    >>> own_ends(["fauxtp/_core/x.pyx", "/app/store.py", "/app/db.py"])
    (1, 0)
    """
    folders = _folders()
    own = [file.startswith(folders) for file in files]
    if all(own):
        return len(own), 0
    return own.index(False), own[::-1].index(False)


def handler_of(frame: FrameType) -> FrameType | None:
    """Return the frame of the innermost handler that `frame` is called by, or is, if there is one.

    That is the user's, and called by fauxtp.
    """
    own = os.path.dirname(os.path.dirname(__file__)) + os.sep
    folders = _folders()
    at: FrameType | None = frame
    while at is not None:
        above = at.f_back
        if above is not None and not at.f_code.co_filename.startswith(folders):
            file = above.f_code.co_filename
            if file.startswith((own, "fauxtp/")):
                return at
        at = above
    return None
