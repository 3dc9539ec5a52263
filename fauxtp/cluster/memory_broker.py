"""A broker in memory: what carries a cluster whose nodes are all in one event loop, for tests.

It promises what `Engine` promises and takes its faults on demand. What it does by chance, as how
long something takes or when a cut connection comes back, depends on its seed: so it is done again
by a seed of `fauxtp.testing.explore`.
"""

from __future__ import annotations

import random
from typing import final

from fauxtp._loops.current import current_home
from fauxtp._loops.protocols import Home
from fauxtp.cluster._engines.checks import check_token
from fauxtp.cluster._engines.engine import Change
from fauxtp.cluster._engines.memory_engine import MemoryEngine
from fauxtp.cluster._engines.memory_keys import MemoryKeys
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["MemoryBroker"]


@final
class MemoryBroker:
    """Where the engines of one cluster meet: see `engine`.

    `cluster` is its name; `seed` decides what is left to chance: without one, the module `random`
    does, which `explore` seeds. `delay` are two numbers of
    seconds, between which each way of a message to the broker or from it takes.

    Raises `TypeError` and `ValueError` if `cluster` is no name.

    >>> import anyio
    >>> async def main():
    ...     broker = MemoryBroker()
    ...     a, b = broker.engine("a"), broker.engine("b")
    ...     await a.open()
    ...     await b.open(followed=print)
    ...     await a.create("name.billing", b"1")
    ...     print(await b.read("name.billing"))
    ...     for engine in (a, b):
    ...         await engine.close()
    >>> anyio.run(main)
    Snapshot(entries=[], revision=0, is_first=True)
    Change(key='name.billing', value=b'1', revision=1)
    Entry(key='name.billing', value=b'1', revision=1)
    """

    def __init__(
        self,
        cluster: str = "test",
        *,
        seed: int | None = None,
        delay: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.subjects: Subjects = Subjects(cluster)
        self.random: random.Random = random.Random(
            random.getrandbits(64) if seed is None else seed
        )
        self.keys: MemoryKeys = MemoryKeys(self.random, self._tell)
        self.delay: tuple[float, float] = delay
        self._home: Home | None = None
        self._up = True
        self._engines: dict[str, list[MemoryEngine]] = {}  # those that are open, by node
        self._cut: set[str] = set()
        self._lost_answers: dict[str, int] = {}

    def engine(self, node: str, *, timeout: float = 5.0) -> MemoryEngine:
        """Return a new engine of the node of that name, which is not open yet.

        A node may have several, which its faults then strike all. An answer may take `timeout`
        seconds.

        Raises `TypeError` and `ValueError` if `node` is no name.
        """
        return MemoryEngine(self, self.subjects.prefix, check_token("node", node), timeout)

    # Faults: none of them raises anything.

    def cut(self, node: str) -> None:
        """Cut the connection of `node`, until `heal`.

        It knows at once. What was under way is lost, either way.
        """
        self._cut.add(node)
        for engine in self._of(node):
            engine.lose_connection()

    def hold(self, node: str) -> None:
        """Let nothing through to or from `node`, until `heal`.

        It notices after three seconds. What it had sent by then arrives when it is healed, late
        as it is.
        """
        for engine in self._of(node):
            engine.hold(notices=True)

    def freeze(self, node: str) -> None:
        """Let nothing through to or from `node`, until `heal`, and let it not notice.

        So does a node look from elsewhere that was stopped by SIGSTOP. All that has waited
        arrives when it is healed.
        """
        for engine in self._of(node):
            engine.hold(notices=False)

    def heal(self, node: str) -> None:
        """Undo what cut or held `node`; if its connection was lost, it comes back soon."""
        self._cut.discard(node)
        for engine in self._of(node):
            engine.heal()

    def lose_answers(self, node: str, count: int = 1) -> None:
        """Do the next `count` writes of `node`, and tell it nothing of that."""
        self._lost_answers[node] = self._lost_answers.get(node, 0) + count

    def lose_messages(self, node: str, count: int = 1) -> None:
        """Lose the next `count` messages and changes to `node`, as if they came too fast."""
        for engine in self._of(node):
            engine.losing += count

    def lose_no_more(self, node: str) -> None:
        """Lose none of what `node` is still to lose."""
        self._lost_answers.pop(node, None)
        for engine in self._of(node):
            engine.losing = 0

    def stop(self) -> None:
        """End, until `start`: all connections are lost."""
        self._up = False
        for engine in self._all():
            engine.lose_connection()

    def start(self, *, lose_writes: int = 0) -> None:
        """Begin again after `stop`, without the last `lose_writes` writes, at most 1,000.

        The revisions of what was lost are given out again.
        """
        self.keys.lose(lose_writes)
        self._up = True

    def lose_writes(self, count: int) -> None:
        """Stop, and start again without the last `count` writes."""
        self.stop()
        self.start(lose_writes=count)

    def lose_leader(self) -> None:
        """Let nobody order the writes, until `elect_leader`.

        Keys can be neither written nor read, and do not expire. Messages go on.
        """
        self.keys.lead(False)

    def elect_leader(self) -> None:
        """Let somebody order the writes again."""
        self.keys.lead(True)

    # For engines

    def reaches(self, node: str) -> bool:
        """Return whether `node` can connect now."""
        return self._up and node not in self._cut

    def takes(self) -> float:
        """Return how many seconds one way takes, this time."""
        least, most = self.delay
        return least if least == most else self.random.uniform(least, most)

    def enter(self, engine: MemoryEngine) -> Home:
        """Note that `engine` is open, and return the event loop of all."""
        home = current_home()
        if home is None:
            raise RuntimeError("no event loop runs in this thread")
        if self._home is None:
            self._home = home
            self.keys.begin(home)
        elif self._home is not home:
            raise RuntimeError("the engines of one broker belong to one event loop")
        self._engines.setdefault(engine.node, []).append(engine)
        return home

    def leave(self, engine: MemoryEngine) -> None:
        """Note that `engine` is closed."""
        there = self._engines[engine.node]
        there.remove(engine)
        if not there:
            del self._engines[engine.node]
        if not self._engines:
            self.keys.end()
            self._home = None

    def loses_answer(self, node: str) -> bool:
        """Return whether the answer to a write of `node` is to be lost, this time."""
        left = self._lost_answers.get(node, 0)
        self._lost_answers[node] = max(left - 1, 0)
        return left > 0

    def route(self, subject: str, payload: bytes | None, reply: str | None) -> bool:
        """Tell all who listen to `subject`; return whether anybody does."""
        told = [engine.deliver(subject, payload, reply) for engine in self._all()]
        return any(told)

    def _tell(self, change: Change) -> None:
        for engine in self._all():
            engine.tell(change)

    def _of(self, node: str) -> list[MemoryEngine]:
        return list(self._engines.get(node, ()))

    def _all(self) -> list[MemoryEngine]:
        return [engine for engines in self._engines.values() for engine in engines]
