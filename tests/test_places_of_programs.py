"""The sockets of programs: whose they are, who reaches them, and when they are cleared away."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from fauxtp._commands.client import Unreachable, programs, viewer_of
from fauxtp.observe import Agent, places, serve

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


def test_sockets_of_programs_that_have_ended_are_cleared_away(served: Agent, place: Path) -> None:
    dead = places.socket_of(999_999, served.path.parent)
    elsewhere = dead.with_name("999999-f00.b00.sock")  # of another machine: who knows?
    for path in (dead, elsewhere):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    (served.path.parent / "notes.txt").touch()
    assert list(programs()) == []  # nor is who looks among them
    assert not dead.exists()
    assert elsewhere.exists()
    assert served.path.exists()


@pytest.mark.skipif(places.pid_space() == "0", reason="nobody knows whose PIDs they are")
def test_containers_that_share_a_folder_have_sockets_of_their_own(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = places.pid_space()
    boot = served.path.with_name("boot")
    boot.write_text("another")
    for another in (("SPACE", Path("/proc/self/ns/user")), ("BOOT", boot)):
        monkeypatch.setattr(places, *another)
        assert places.pid_space() != own
        theirs = places.socket_of(os.getpid(), served.path.parent)
        assert theirs != served.path
        served.path.rename(theirs)  # it listens there, as one in another container would
        monkeypatch.undo()
        monkeypatch.setattr(tempfile, "tempdir", str(served.path.parent.parent))
        [program] = programs()
        assert (program["pid"], program["is_here"]) == (os.getpid(), False)
        with viewer_of(os.getpid()) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        with socket.socket(socket.AF_UNIX) as own_one:
            own_one.bind(str(served.path))
            own_one.listen()
            with viewer_of(os.getpid()) as viewer:  # that comes first
                assert viewer._socket.getpeername() == str(served.path)
        served.path.unlink()
        theirs.rename(served.path)


@pytest.mark.skipif(places.pid_space() == "0", reason="nobody knows whose PIDs they are")
@pytest.mark.parametrize("first", ["0", "f"])
def test_a_socket_that_was_left_over_does_not_hide_a_living_one(
    first: str, served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers one after the other have the same PID, and sockets of theirs are left over."""
    pid, _, boot = places.pid_space().partition(".")
    dead = served.path.with_name(f"{os.getpid()}-{first}00.{boot}.sock")
    far = served.path.with_name(f"{os.getpid()}-{first}00.another.sock")
    theirs = served.path.with_name(f"{os.getpid()}-a{pid}.{boot}.sock")
    served.path.rename(theirs)  # it listens there, as one in another container would
    try:
        for left_over in (dead, far):
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(str(left_over))
        with viewer_of(os.getpid()) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        with viewer_of(theirs.name.removesuffix(".sock")) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        [program] = programs()
        assert program["socket"] == theirs.name.removesuffix(".sock")
        assert not dead.exists()  # no kernel but this one has had it
        assert far.exists()
        with viewer_of(None) as viewer:  # it is the only one
            assert viewer.program()["pid"] == os.getpid()
        with pytest.raises(Unreachable, match="no such program"):
            viewer_of(far.name.removesuffix(".sock"))
    finally:
        theirs.rename(served.path)


@pytest.mark.parametrize("how", ["open to others", "a link", "a file", "of somebody else"])
def test_a_folder_that_is_not_ones_own_is_not_trusted(
    how: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / f"fauxtp-{os.geteuid()}"
    if how == "a link":
        (place / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(place / "elsewhere")
    elif how == "a file":
        folder.touch(mode=0o600)
    else:
        folder.mkdir(mode=0o755 if how == "open to others" else 0o700)
    if how == "of somebody else":
        owner = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: owner)
        folder.rename(place / f"fauxtp-{owner}")
    with pytest.raises(PermissionError, match="to be a folder of user"):
        serve()
    assert list(places.reachable()) == []


def test_nobody_else_can_reach_the_socket(served: Agent) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700
