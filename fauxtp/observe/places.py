"""Where programs that may be looked into have their sockets, and who may go there.

Each user has a folder of their own, which nobody else can enter. What is there but does not belong
to the user, or can be entered by others, is not trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

__all__ = ["folder_of", "made_folder", "reachable", "socket_of"]

PREFIX, SUFFIX = "fauxtp-", ".sock"


def folder_of(user: int) -> Path:
    """Return where a user's sockets are, if they have any."""
    return Path(gettempdir()) / f"{PREFIX}{user}"


def socket_of(pid: int, folder: Path) -> Path:
    """Return where the socket of the program with that PID is, if it has one."""
    return folder / f"{pid}{SUFFIX}"


def made_folder() -> Path:
    """Return the folder of this user, which is made if it is not there.

    Raises `PermissionError` if what is there is not this user's alone.
    """
    folder = folder_of(os.geteuid())
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    _insist_on(folder, os.geteuid())
    return folder


def reachable() -> Iterator[tuple[int, Path]]:
    """Yield the PID and the socket of each program that this user may look into.

    That is the user's own; for root, everybody's.
    """
    for folder, owner in _folders():
        try:
            _insist_on(folder, owner)
        except OSError:
            continue  # it is not there, or not to be trusted
        for path in sorted(folder.iterdir()):
            if path.suffix == SUFFIX and path.stem.isdecimal():
                yield int(path.stem), path


def _folders() -> Iterator[tuple[Path, int]]:
    if os.geteuid() != 0:
        yield folder_of(os.geteuid()), os.geteuid()
        return
    for path in sorted(Path(gettempdir()).glob(f"{PREFIX}*")):
        owner = path.name.removeprefix(PREFIX)
        if owner.isdecimal():
            yield path, int(owner)


def _insist_on(folder: Path, owner: int) -> None:
    """Raise `PermissionError` unless it is a folder that only its `owner` can enter."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise PermissionError(f"expected {folder} to be a folder of user {owner} alone")
