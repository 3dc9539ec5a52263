"""Links across nodes."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import Process, find_process
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._messages.watches import FULL, MOST
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer
from fauxtp.registry import PID

__all__ = ["Links"]

NO_PROCESS: Final = ExitReason("noproc", abnormal=True)
KEPT: Final = 1024  # links that were asked for last, of which may yet be told that nobody hears


@final
class _End:
    """The other end of a link, as a process of here knows it: it is told when that has ended."""

    __slots__ = ("_links", "links", "number", "peer", "pid")

    def __init__(self, links: Links, peer: Peer, number: int, pid: PID) -> None:
        self._links = links
        self.peer: Peer = peer
        self.number: int = number
        self.pid: PID = pid
        self.links: dict[PID, Any] = {}

    def linked_exit(self, pid: PID, reason: ExitReason) -> None:
        self._links.ended(self, pid, reason)


@final
class Links:
    """Links between processes of here and of elsewhere, of which both nodes know."""

    def __init__(self, post: Post) -> None:
        self._post = post
        post.handlers.update(link=self._link, unlink=self._unlink, ended=self._ended)
        post.node.peers.on_gone.append(self._gone)
        post.node.on_fence.append(self._fenced)
        post.on_nobody.append(self._nobody)
        self._peers: set[Peer] = set()
        self._asked: dict[int, tuple[Peer, int, Process]] = {}

    # Of here, in any thread

    def begin(self, peer: Peer, number: int, pid: PID, process: Process) -> bool:
        """Link `process` with one of `peer`; return False if that is known to have ended."""
        if peer.is_gone:
            return False
        self._bind(peer, number, pid, process)
        if peer.is_gone and self._forget(peer, number, process) is not None:
            process.links.pop(pid, None)
            return False
        mine = self._post.pids.number_of(process.pid)
        if not self._post.node.hub.post(partial(self._ask, peer, number, pid, process, mine)):
            self._break(peer, number, process, NO_CONNECTION)
        return True

    def _bind(self, peer: Peer, number: int, pid: PID, process: Process) -> None:
        self._peers.add(peer)
        end = _End(self, peer, number, pid)
        peer.links[process.pid, number] = end
        process.bind(cast(Process, end))
        if find_process(process.pid) is not process and end.links.pop(process.pid, None):
            peer.links.pop((process.pid, number), None)

    def end(self, peer: Peer, number: int, pid: PID, process: Process) -> None:
        """End the link of `process`, if there is one."""
        if self._forget(peer, number, process) is not None:
            process.links.pop(pid, None)
            frame = "unlink", number, self._post.pids.number_of(process.pid)
            self._post.node.hub.post(partial(self._post.try_to_send, peer, frame))

    def ended(self, end: _End, pid: PID, reason: ExitReason) -> None:
        """Tell the other node that `pid`, of here, has ended."""
        end.peer.links.pop((pid, end.number), None)
        content = self._post.packed_reason(reason)
        frame = "ended", end.number, self._post.pids.number_of(pid), content
        self._post.node.hub.post(partial(self._post.try_to_send, end.peer, frame))

    def _forget(self, peer: Peer, number: int, process: Process) -> _End | None:
        end: _End | None = peer.links.pop((process.pid, number), None)
        if end is not None:
            end.links.pop(process.pid, None)
        return end

    def _break(self, peer: Peer, number: int, process: Process, reason: ExitReason) -> None:
        """Tell `process`, of here, that the other end has ended."""
        end = self._forget(peer, number, process)
        if end is not None and process.links.pop(end.pid, None) is not None:
            process.linked_exit(end.pid, reason)

    # In the hub's thread

    def _ask(self, peer: Peer, number: int, pid: PID, process: Process, mine: int) -> None:
        if (process.pid, number) not in peer.links:
            return
        frame = "link", number, mine
        which = next(self._post.numbers)
        self._asked[which] = peer, number, process
        while len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
        if not self._post.node.may_act() or not self._post.try_to_send(peer, frame, which):
            self._break(peer, number, process, NO_CONNECTION)

    def ask_again(self, peer: Peer) -> None:
        """Ask for all links with processes there, as something may have been lost."""
        for (pid, number), end in list(peer.links.items()):
            process = find_process(pid)
            if process is not None:
                self._ask(peer, number, end.pid, process, self._post.pids.number_of(pid))

    def _nobody(self, which: int) -> bool:
        asked = self._asked.pop(which, None)
        if asked is not None:
            self._break(*asked, NO_CONNECTION)
        return asked is not None

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        self._peers.discard(peer)
        for pid, number in list(peer.links):
            process = find_process(pid)
            if process is None:
                peer.links.pop((pid, number), None)
            else:
                self._break(peer, number, process, NO_CONNECTION)

    def _fenced(self) -> None:
        for peer in list(self._peers):
            self._gone(peer, NO_CONNECTION)

    # Of theirs

    def _link(self, peer: Peer, mine: int, number: int) -> None:
        process = meet(self._post.pids.here(mine))
        if process is not None and (process.pid, number) in peer.links:
            return
        if process is None or len(peer.links) >= MOST:
            content = self._post.packed_reason(NO_PROCESS if process is None else FULL)
            self._post.try_to_send(peer, ("ended", number, mine, content))
        else:
            self._bind(peer, number, self._post.pids.elsewhere(peer, number), process)

    def _unlink(self, peer: Peer, mine: int, number: int) -> None:
        process = meet(self._post.pids.here(mine))
        if process is not None:
            end = self._forget(peer, number, process)
            if end is not None:
                process.links.pop(end.pid, None)

    def _ended(self, peer: Peer, mine: int, number: int, content: bytes) -> None:
        process = meet(self._post.pids.here(mine))
        if process is not None:
            self._break(peer, number, process, self._post.reason(content))
