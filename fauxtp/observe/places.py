"""Where programs that may be looked into have their sockets, and who may go there.

Each user has a folder of their own, which nobody else can enter. What is there but does not belong
to the user, or can be entered by others, is not trusted. Containers and machines may share such a
folder, and have the same PIDs: so a socket is called by its PID, and by whose PID that is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Final, NamedTuple

__all__ = ["Place", "folder_of", "made_folder", "pid_space", "reachable", "socket_of"]

PREFIX, SUFFIX = "fauxtp-", ".sock"
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
SPACE: Final = Path("/proc/self/ns/pid")


class Place(NamedTuple):
    """Where a program has its socket; is its PID one of here, is it on this machine?"""

    pid: int
    path: Path
    is_here: bool
    is_near: bool

    @property
    def name(self) -> str:
        """What it is called by where another has the same PID."""
        return self.path.name.removesuffix(SUFFIX)


def pid_space() -> str:
    """Return what differs for those who may have the same PIDs: machines, and their containers.

    Where that cannot be known, it is the same for all.
    """
    try:
        return f"{SPACE.stat().st_ino:x}.{BOOT.read_text('ascii').strip()[:8]}"
    except OSError:
        return "0"


def folder_of(user: int) -> Path:
    """Return where a user's sockets are, if they have any."""
    return Path(gettempdir()) / f"{PREFIX}{user}"


def socket_of(pid: int, folder: Path) -> Path:
    """Return where the socket of the program with that PID is, if it has one."""
    return folder / f"{pid}-{pid_space()}{SUFFIX}"


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


def reachable() -> Iterator[Place]:
    """Yield where each program is that this user may look into.

    That is the user's own; for root, everybody's.
    """
    here = pid_space()
    for folder, owner in _folders():
        try:
            _insist_on(folder, owner)
        except OSError:
            continue  # it is not there, or not to be trusted
        for path in sorted(folder.iterdir()):
            pid, dash, space = path.name.removesuffix(SUFFIX).partition("-")
            if path.suffix == SUFFIX and pid.isdecimal() and dash:
                boot = space.partition(".")[2]
                is_near = space == here or boot == here.partition(".")[2] != ""
                yield Place(int(pid), path, space == here, is_near)


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
