"""Monitors across nodes: who is told here of an end elsewhere, and who elsewhere of one here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer
from fauxtp.registry import PID, Ref

__all__ = ["FULL", "MOST", "Watches"]

MOST: Final = 100_000  # monitors of processes here that one node has; and links with them
FULL: Final = ExitReason("full", abnormal=True)
"""What a node is told in place of an end, as it has too many of these."""

Watcher = Callable[[PID, ExitReason], object]
Wrap = Callable[[tuple[Any, ...]], tuple[Any, ...]]  # of a frame, for one known otherwise


def _as_it_is(frame: tuple[Any, ...]) -> tuple[Any, ...]:
    return frame


class _Watch(NamedTuple):
    number: int
    pid: PID
    ref: Ref
    watcher: Watcher
    wrap: Wrap


@final
class Watches:
    """Those of here are known by a number, which tells the peer which of them is meant."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._own: dict[int, Peer] = {}
        self._refs: dict[Ref, tuple[Peer, int]] = {}
        self._theirs: dict[Peer, dict[int, tuple[PID, Ref]]] = {}
        post.handlers.update(watch=self._watch, unwatch=self._unwatch, down=self._down)
        post.on_nobody.append(self._nobody)
        post.node.peers.on_gone.append(self._gone)
        post.node.on_fence.append(self._fenced)

    # Of here, in any thread

    def begin(
        self,
        peer: Peer,
        number: int,
        pid: PID,
        ref: Ref,
        watcher: Watcher,
        wrap: Wrap = _as_it_is,
    ) -> bool:
        """Call `watcher` at the end of a process of `peer`; return False if that is known."""
        which = next(self._post.numbers)
        self._own[which], self._refs[ref] = peer, (peer, which)
        peer.watches[which] = _Watch(number, pid, ref, watcher, wrap)
        if peer.is_gone and peer.watches.pop(which, None) is not None:
            del self._own[which], self._refs[ref]
            return False
        if not self._post.node.hub.post(partial(self._ask, peer, which)):
            self._tell(peer, which, NO_CONNECTION)
        return True

    def end(self, ref: Ref) -> None:
        """Call nobody by `ref`."""
        peer, which = self._refs.get(ref, (None, 0))
        if peer is not None and self._forget(peer, which) is not None:
            self._post.node.hub.post(partial(self._post.try_to_send, peer, ("unwatch", which)))

    def _forget(self, peer: Peer, which: int) -> _Watch | None:
        watch: _Watch | None = peer.watches.pop(which, None)
        if watch is not None:
            self._own.pop(which, None)
            self._refs.pop(watch.ref, None)
        return watch

    def _tell(self, peer: Peer, which: int, reason: ExitReason) -> None:
        watch = self._forget(peer, which)
        if watch is not None:
            watch.watcher(watch.pid, reason)

    # In the hub's thread

    def _ask(self, peer: Peer, which: int) -> None:
        watch = peer.watches.get(which)
        if watch is None:
            return
        frame = watch.wrap(("watch", watch.number, which))
        if not self._post.node.may_act() or not self._post.try_to_send(peer, frame, which):
            self._tell(peer, which, NO_CONNECTION)

    def ask_again(self, peer: Peer) -> None:
        """Ask for all that is watched there, as something may have been lost."""
        for which, watch in list(peer.watches.items()):
            peer.watches[which] = watch._replace(wrap=_as_it_is)  # it is known by its number now
            self._ask(peer, which)

    def _nobody(self, which: int) -> bool:
        peer = self._own.get(which)
        if peer is None:
            return False
        self._tell(peer, which, NO_CONNECTION)
        return True

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        for which in list(peer.watches):
            self._tell(peer, which, NO_CONNECTION)
        for which in list(self._theirs.get(peer, ())):
            self._unwatch(peer, which)
        self._theirs.pop(peer, None)

    def _fenced(self) -> None:
        for peer in set(self._own.values()):
            self._gone(peer, NO_CONNECTION)

    def _down(self, peer: Peer, which: int, content: bytes) -> None:
        if which in peer.watches:
            self._tell(peer, which, self._post.reason(content))

    # Of theirs

    def _watch(self, peer: Peer, number: int, which: int) -> None:
        theirs = self._theirs.setdefault(peer, {})
        if which in theirs:
            return  # it asks again, to be sure
        if len(theirs) >= MOST:
            self._send_down(peer, which, FULL)
            return
        pid, ref = self._post.pids.here(number), Ref()
        process = meet(pid)
        if process is not None:
            theirs[which] = process.pid, ref
            if process.watch(ref, partial(self._has_ended, peer, which)):
                return
            del theirs[which]
        self._send_down(peer, which, ExitReason("noproc"))

    def _has_ended(self, peer: Peer, which: int, _: PID, reason: ExitReason) -> None:
        if self._theirs.get(peer, {}).pop(which, None) is not None:
            self._post.node.hub.post(partial(self._send_down, peer, which, reason))

    def _send_down(self, peer: Peer, which: int, reason: ExitReason) -> None:
        self._post.try_to_send(peer, ("down", which, self._post.packed_reason(reason)))

    def _unwatch(self, peer: Peer, which: int) -> None:
        pid, ref = self._theirs.get(peer, {}).pop(which, (None, None))
        process = None if pid is None else find_process(pid)
        if process is not None and ref is not None:
            process.watchers.pop(ref, None)
