"""Frames that are not the user's: those of fauxtp, and of the event loops that it runs on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import FrameType

__all__ = ["PACKAGES", "handler_of", "own_ends", "own_folders"]

PACKAGES = ("fauxtp", "anyio", "asyncio", "trio", "outcome", "uvloop", "winloop")


def own_folders() -> tuple[str, ...]:
    """Return how the files of frames begin that are not the user's.

    Each of those libraries is a package: a module by the same name, which lies beside a program
    of the user's, is the user's.
    """
    modules = [sys.modules.get(name) for name in PACKAGES]
    files = [getattr(each, "__file__", None) for each in modules if hasattr(each, "__path__")]
    folders = [os.path.dirname(file) + os.sep for file in files if file]
    return "fauxtp/", *folders  # what is compiled tells where it lay


def own_ends(files: Sequence[str], folders: tuple[str, ...] | None = None) -> tuple[int, int]:
    """Return how many frames are not the user's, at the begin of a stack and at its end.

    `files` are those of its frames. If none is the user's, all are at the begin. `folders` are
    what `own_folders` returns: who asks for many stacks asks for these once.

    >>> own_ends(["fauxtp/_core/x.pyx", "/app/store.py", "/app/db.py"])
    (1, 0)
    """
    begins = own_folders() if folders is None else folders
    own = [file.startswith(begins) for file in files]
    if all(own):
        return len(own), 0
    return own.index(False), own[::-1].index(False)


def handler_of(frame: FrameType) -> FrameType | None:
    """Return the frame of the innermost handler that `frame` is called by, or is, if there is one.

    That is the user's, and called by fauxtp.
    """
    own = os.path.dirname(os.path.dirname(__file__)) + os.sep
    folders = own_folders()
    at: FrameType | None = frame
    while at is not None:
        above = at.f_back
        if above is not None and not at.f_code.co_filename.startswith(folders):
            file = above.f_code.co_filename
            if file.startswith((own, "fauxtp/")):
                return at
        at = above
    return None
