"""What the journals of nodes must not tell: two holders, a call that is done twice, or late.

`judge` returns the faults, in words; and how long a node that had stood still went on to act.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from hostile.cluster_load import TICK, Note
from hostile.linear import Event, NotLinear, explain

__all__ = ["Judgement", "judge"]

CALM_AFTER = 1.0  # seconds: by then, what was held has come
SETTLED = 30.0  # seconds: by then, what a claim wrote of which nobody knows was given back
AT_ONCE = 0.1  # seconds: who is answered later may have had the name before that
STOOD_STILL = 3 * TICK  # seconds without a note, after which who acts may have lost its name


class Judgement(NamedTuple):
    """What was found: the faults; counts of what was done; the longest time of two holders."""

    faults: list[str]
    counts: dict[str, int]
    window: float


class _Claimed(NamedTuple):
    """What is known of one process that was to have a name."""

    notes: dict[str, float]
    acts: list[float]

    def lost(self, end: float) -> float:
        """Return since when somebody else may have the name: it ended, or its node was gone."""
        ended = min(self.notes.get("ends", end), self.notes.get("ended", end))
        times = [self.notes["got"], *self.acts]
        if ended < end or "killed" in self.notes:
            times.append(min(ended, self.notes.get("killed", end)))
        for before, after in pairwise(times):
            if after - before > STOOD_STILL:
                return before
        return times[-1]


def judge(notes: Sequence[Note], *, window: float, late: float | None) -> Judgement:
    """Return what is wrong with what nodes have noted.

    Who had stood still may act for `window` seconds after somebody else got its name. Where there
    is no fault, a call that was given up is not begun `late` seconds later, unless that is None.
    """
    counts: dict[str, int] = defaultdict(int)
    for note in notes:
        counts[note.what] += 1
    faults = [*_of_calls(notes, late)]
    longest = 0.0
    end = max(note.time for note in notes) + 1
    for name, claimed in _claims(notes).items():
        for overlap, text in _two_holders(claimed):
            longest = max(longest, overlap)
            if overlap > window:
                faults.append(f"{name!r}: {text}")
        try:
            explain(_events(claimed, end))
        except NotLinear as error:
            faults.append(f"{name!r}: {error}")
    return Judgement(faults, dict(counts), longest)


def _claims(notes: Iterable[Note]) -> dict[str, dict[str, _Claimed]]:
    names: dict[str, dict[str, _Claimed]] = {}
    killed = [note for note in notes if note.what == "killed"]
    for note in notes:
        if note.what not in {"tries", "perhaps", "got", "refused", "acts", "ends", "ended"}:
            continue
        claim = names.setdefault(note.name, {}).setdefault(note.about, _Claimed({}, []))
        if note.what == "acts":
            claim.acts.append(note.time)
        else:
            claim.notes.setdefault(note.what, note.time)
        for kill in killed:
            if note.about.startswith(kill.about):
                claim.notes["killed"] = kill.time
    return {
        name: {about: one for about, one in claimed.items() if "tries" in one.notes}
        for name, claimed in names.items()
    }


def _two_holders(claimed: dict[str, _Claimed]) -> Iterable[tuple[float, str]]:
    """Yield for how long somebody acted whose name another had got."""
    holders = [(about, one) for about, one in claimed.items() if "got" in one.notes]
    for about, one in holders:
        for other, two in holders:
            got = two.notes["got"]
            acts = [time for time in one.acts if time > got] if one.notes["got"] < got else []
            if acts:  # from when it acts again: it may have stood still until then
                before = max(time for time in [one.notes["got"], *one.acts] if time <= got)
                since = acts[0] if acts[0] - before > STOOD_STILL else got
                yield acts[-1] - since, f"{about} acts after {other} has got it, at {acts}"


def _events(claimed: dict[str, _Claimed], end: float) -> list[Event]:
    """Return what the checker is given: nothing that rests on claims of which nobody knows."""
    events: list[Event] = []
    unknown = [*_unknown(claimed, end)]
    got = sorted(one.notes["got"] for one in claimed.values() if "got" in one.notes)
    for number, one in enumerate(claimed.values()):
        begin = one.notes["tries"]
        if "got" in one.notes:
            events.append(Event(begin, one.notes["got"], "register", number, None, True))
            since = one.lost(end)
            until = next((time for time in got if time > one.notes["got"]), end)
            events.append(Event(since, since, "mark", number, None, None))
            events.append(Event(since, max(since, until), "drop", number, None, None))
        elif "refused" in one.notes:
            until = one.notes["refused"]
            if not any(
                since <= until and begin <= to for since, to, other in unknown if other is not one
            ):
                events.append(Event(begin, until, "register", number, None, False))
    return events


def _unknown(claimed: dict[str, _Claimed], end: float) -> Iterable[tuple[float, float, _Claimed]]:
    """Yield since when and until when a claim may have had its name without knowing of it.

    One that was answered, but late, too: if what tells that its write has succeeded is lost, it
    tries again; and if its node was fenced meanwhile, another may have got the name by then.
    """
    for one in claimed.values():
        begin = one.notes["tries"]
        answered = one.notes.get("got", one.notes.get("refused"))
        if answered is None:
            yield begin, one.notes.get("ends", end) + SETTLED, one
        elif answered - begin > AT_ONCE:
            yield begin, answered, one


def _of_calls(notes: Iterable[Note], late: float | None) -> Iterable[str]:
    handled: dict[str, list[float]] = defaultdict(list)
    outcomes: dict[str, Note] = {}
    begun: dict[str, float] = {}
    faults: list[tuple[float, float]] = []

    def disturbed(since: float, until: float) -> bool:
        return any(begin <= until and since <= end for begin, end in faults)

    for note in notes:
        if note.what == "fault":
            faults.append((note.time, note.time))
        elif note.what == "healed":
            faults[-1] = faults[-1][0], note.time + CALM_AFTER
        elif note.what == "calls":
            begun[note.about] = note.time
        elif note.what == "handled":
            handled[note.more].append(note.time)
        elif note.what in {"answered", "not done", "given up", "unknown"}:
            outcomes[note.about] = note
    for about, times in handled.items():
        if len(times) > 1:
            yield f"{about} was handled {len(times)} times, at {times}"
    for about, note in outcomes.items():
        times = handled.get(about, [])
        if note.what == "answered" and not times:
            yield f"{about} was answered, and not handled"
        if note.what == "not done" and times:
            yield f"{about} counts as not done, and was handled"
        is_late = late is not None and times and times[0] > note.time + late
        if note.what == "given up" and is_late and not disturbed(begun[about], times[0]):
            yield f"{about} was given up at {note.time:.2f}, and begun at {times}"
