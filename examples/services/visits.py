"""What the web services here share: a process that counts visits, and its supervisor.

It knows nothing of the web. Where something is to be kept for each user, or a connection to be
shared, it would be a process like this one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from fauxtp import Call, ChildSpec, GenServer, Supervisor

__all__ = ["Application", "Visits"]


class Visits(GenServer[Any, Counter[str]]):
    """Counts visits by page. All requests share this one, and it needs no lock."""

    async def init(self) -> Counter[str]:
        return Counter()

    async def handle_cast(self, request: Any, state: Counter[str]) -> Counter[str]:
        match request:
            case ("begins", page):
                state[f"begun {page}"] += 1
        return state

    async def handle_call(self, request: Any, from_: Call, state: Counter[str]) -> Any:
        match request:
            case ("visit", page):
                state[page] += 1
                return state[page], state
            case ("begun", page):
                return state[f"begun {page}"], state

    async def terminate(self, reason: Any, state: Counter[str]) -> None:
        done = sum(number for page, number in state.items() if not page.startswith("begun "))
        print(f"visits in all: {done}", flush=True)


class Application(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("visits", Visits, register_as="visits")]
