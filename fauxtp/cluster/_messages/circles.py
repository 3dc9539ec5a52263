"""Circles of processes on several nodes that wait for each other, for ever.

Whoever closes one calls somebody who waits already. From there a probe is sent to whom that one
waits for, and on to whom he does, while each node looks at its own. If it comes back to the call
that it was begun for, it goes round once more. Who waits for the very same call then has done so
all the while: so there was a moment at which all of them did. And the call that it is for fails.

So it does where somebody begins to wait for room, or for a call that he has sent before: what the
probe is begun for is that wait, whatever has become of the call.
"""

from __future__ import annotations

import random
import secrets
import sys
from functools import partial
from operator import is_
from typing import Any, Final, NamedTuple, TypeVar, final

from fauxtp._base import switches
from fauxtp._base.events import note
from fauxtp._core.calls import Call
from fauxtp._core.process import find_process
from fauxtp._loops.alarms import Alarm
from fauxtp._messaging.outcome import withdraw
from fauxtp.cluster._messages.calls_in import CallsIn
from fauxtp.cluster._messages.calls_out import CallsOut
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._nodes.peers import LARGEST, Peer
from fauxtp.errors import CallCycle
from fauxtp.registry import PID

__all__ = ["Circles"]

K = TypeVar("K")
V = TypeVar("V")

PATIENCE: Final = 0.05  # seconds that a call may wait until it is looked at; most take less
LONGEST: Final = 64  # processes in a circle that is found
KEPT: Final = 1_000  # probes of which is known who waited for whom as they came by
BITS: Final = 63
COUNTED: Final = 0  # in place of a run: it is known that there is a circle


class _Probe(NamedTuple):
    """What goes round: `which` is the number of the call that it is for, of the first in `circle`.

    `lap` is 0 the first time, and what nobody can guess the second. `run` tells it from others for
    the same call.
    """

    lap: int
    which: int
    run: int
    circle: list[PID]


def _probe_of(came: Any) -> _Probe:
    """Return the probe that came. Raises `ValueError` if it is none."""
    if type(came) is not list or len(came) != len(_Probe._fields):
        raise ValueError("expected a probe")
    lap, which, run, circle = came
    for number in (lap, which, run):
        if type(number) is not int or not 0 <= number < LARGEST:
            raise ValueError("expected a probe to have numbers")
    if type(circle) is not list or not 0 < len(circle) <= LONGEST:
        raise ValueError("expected a probe to have a circle")
    if any(type(pid) is not PID for pid in circle):
        raise ValueError("expected a circle of PIDs")
    return _Probe(lap, which, run, circle)


class _Kept(dict[K, V]):
    """The last of what was kept."""

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        if len(self) > KEPT:
            del self[next(iter(self))]


class _Closing(NamedTuple):
    """A wait of somebody of this node, by which a circle may have been closed.

    If it `is_late`, the call was sent or taken up before: then it is the wait alone that fails.
    """

    call: Call
    is_late: bool

    @property
    def is_over(self) -> bool:
        return self.call.settled or (self.call.taken and not self.is_late)


@final
class Circles:
    """Looks for those that go through the own node, in the thread of its hub."""

    def __init__(self, post: Post, calls_in: CallsIn, calls_out: CallsOut) -> None:
        self._post = post
        self._calls_in = calls_in
        self._calls_out = calls_out
        self._suspects: dict[tuple[Peer, int], None] = {}
        # By the call that a probe came along, the one that it is for, and its run: who waited then
        self._seen: _Kept[tuple[Peer, int, int, int, PID], list[Call]] = _Kept()
        # The second ones, by those calls' number, and the run
        self._laps: _Kept[tuple[int, int], tuple[int, Call]] = _Kept()
        self._closing: dict[int, _Closing] = {}  # waits of this node, by their number
        calls_in.on_blocked = self._suspect
        post.node.on_beat.append(self._forget)
        post.handlers["probe"] = self._probe

    # Where circles may begin

    def _suspect(self, peer: Peer, which: int) -> None:
        """Look soon for a circle that a call of `peer` may have closed, if it still waits then."""
        if not self._suspects:
            home = self._post.node.hub.home
            Alarm(home.alarms, home.time() + PATIENCE, self._look)
        self._suspects[peer, which] = None

    def closed_here(self, call: Call) -> None:
        """Do so for a circle that a wait of this node may have closed; from any thread."""
        closing = _Closing(call, is_late=call.taken)
        self._post.node.hub.post(partial(self._suspect_here, closing))

    def _suspect_here(self, closing: _Closing) -> None:
        which = next(self._post.numbers)
        self._closing[which] = closing
        self._suspect(self._post.node.peers.own, which)

    def look_again(self) -> None:
        """Look soon at all calls that wait: what went round before may have been lost."""
        own = self._post.node.peers.own
        for peer, which in (*self._calls_in.all_owed(), *((own, it) for it in self._closing)):
            self._suspect(peer, which)

    def _look(self) -> None:
        suspects, self._suspects = self._suspects, {}
        if not self._post.node.may_act():
            return
        self._forget()
        own = self._post.node.peers.own
        for peer, which in suspects:
            closing = self._closing.get(which) if peer is own else None
            call = closing.call if closing else self._calls_in.owed(peer, which)
            if call is None or (closing.is_over if closing else call.taken):
                continue
            if call.caller is not None and call.wake is not None:
                probe = _Probe(0, which, next(self._post.numbers), [call.caller])
                if self._calls_out.sent(call) is None:
                    self._follow(call, (peer, which), probe)
                else:
                    self._send(call, probe)

    # What goes round

    def _probe(self, peer: Peer, number: int, content: bytes) -> None:
        try:
            probe = _probe_of(self._post.wire.decode(content))
        except Exception as error:
            self._post.node.malformed.note(f"a probe of node {peer.node!r} ({error})")
            return
        call = self._calls_in.owed(peer, number)
        if call is not None and call.caller is probe.circle[-1]:
            self._go_on(call, (peer, number), probe)

    def _follow(self, call: Call, came: tuple[Peer, int], probe: _Probe) -> None:
        """Pass on a probe that has come along `call`, if whoever that is for waits."""
        waiting = self._waiting(call, probe.circle)
        if not waiting:
            return
        seen = (*came, probe.which, probe.run, probe.circle[0])
        if not probe.lap:
            self._seen.keep(seen, waiting)
        elif not _are_same(waiting, self._seen.pop(seen, [])):
            return
        callers = [one.caller for one in waiting[1:]]
        last, circle = waiting[-1], probe.circle + [pid for pid in callers if pid is not None]
        if last.caller is not circle[0]:
            self._send(last, probe._replace(circle=circle))
        elif self._is_of(probe.which, last):
            self._came_back(last, probe._replace(circle=circle))

    def _waiting(self, call: Call, circle: list[PID]) -> list[Call]:
        """Return `call`, the one that its target waits for, and so on, as far as is known here.

        The last is for a process elsewhere, or of the first in `circle`. There is none if somebody
        does not wait.
        """
        found, passed = [call], len(circle)
        while passed < LONGEST and not call.settled and not call.deferred:
            process = find_process(call.target)
            call_of_it = None if process is None else process.waiting_for
            if process is None or call_of_it is None or call_of_it.settled:
                break
            found.append(call_of_it)
            if process.pid is circle[0] or self._calls_out.sent(call_of_it) is not None:
                return found
            passed, call = passed + 1, call_of_it
        return []

    def _is_of(self, which: int, call: Call) -> bool:
        closing, sent = self._closing.get(which), self._calls_out.sent(call)
        if closing is not None:
            return closing.call is call
        return sent is not None and sent[1] == which

    def _send(self, call: Call, probe: _Probe) -> None:
        """Send a probe to where a call was sent."""
        sent = self._calls_out.sent(call)
        if sent is not None and len(probe.circle) <= LONGEST:
            peer, number = sent
            content = self._post.pack(list(probe))
            self._post.try_to_send(peer, ("probe", number, content))

    def _came_back(self, call: Call, probe: _Probe) -> None:
        """Let a probe go round once more, or, the second time, `call` fail that it was for."""
        which, circle = probe.which, probe.circle
        if not probe.lap:
            lap = random.getrandbits(BITS) if switches.simulated else secrets.randbits(BITS)
            self._laps.keep((which, probe.run), (lap, call))
            self._go(call, probe._replace(lap=lap, circle=circle[:1]))
        elif self._laps.get((which, probe.run)) == (probe.lap, call):
            del self._laps[which, probe.run]
            self._note(which, call, circle)
            self._go(call, probe)

    def _note(self, which: int, call: Call, circle: list[PID]) -> None:
        """Count a circle once, however many probes for that call have found it."""
        process, sent = find_process(circle[0]), self._calls_out.sent(call)
        which = which if sent is None else sent[1]
        if process is not None and (which, COUNTED) not in self._laps:
            self._laps.keep((which, COUNTED), (0, call))
            note(("call_cycle", process.kind.__name__), circle[0], {"circle": circle})

    def _go(self, call: Call, probe: _Probe) -> None:
        """Let a probe begin with the call that it is for; or that fail, if it was round twice."""
        closing = self._closing.get(probe.which)
        if closing is not None and closing.is_late and _is_closed(probe.circle):
            if call.fail(CallCycle(probe.circle)):
                self._calls_out.give_up(call)
        elif self._calls_out.sent(call) is not None:
            self._send(call, probe)
        else:
            self._go_on(call, (self._post.node.peers.own, probe.which), probe)

    def _go_on(self, call: Call, came: tuple[Peer, int], probe: _Probe) -> None:
        if _is_closed(probe.circle):
            _refuse(call, probe.circle)  # it has been round twice
        else:
            self._follow(call, came, probe)

    # What is over

    def _forget(self) -> None:
        """Keep nothing of calls that are over."""
        for number in [it for it, closing in self._closing.items() if closing.is_over]:
            del self._closing[number]
        for lap in [lap for lap, (_, call) in self._laps.items() if call.settled]:
            del self._laps[lap]
        for seen in [seen for seen, waiting in self._seen.items() if waiting[0].settled]:
            del self._seen[seen]


def _is_closed(circle: list[PID]) -> bool:
    return len(circle) > 1 and circle[0] is circle[-1]


def _are_same(some: list[Call], others: list[Call]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _refuse(call: Call, circle: list[PID]) -> None:
    """Let a call fail, unless it was taken up after all, or the circle is one no more.

    That may have been found by another probe, too, and somebody else have been told.
    """
    process = find_process(call.target)
    waiting = None if process is None else process.waiting_for
    if call.wake is not None and waiting is not None and not waiting.settled:
        call.pass_by()
        if not call.taken and call.fail(CallCycle(circle)) and not _is_in_line(call):
            withdraw(call)


def _is_in_line(call: Call) -> bool:
    """Return whether a call does not lie in the mailbox that it is for, as that has no room."""
    process = find_process(call.target)
    if process is None or not process.mailbox.max_size:
        return False
    return process.mailbox.place_of(call, sys.maxsize) < 0
