"""The wardens of the chaos: they monitor others, and hear of each death exactly once."""

from __future__ import annotations

from typing import Any

from anyio import move_on_after
from anyio.lowlevel import checkpoint

from fauxtp import PID, Down, Ref, demonitor, is_alive, monitor, whereis
from hostile.chaos_letter import Letter
from hostile.chaos_servers import Server
from hostile.chaos_world import World

__all__ = ["Warden"]

WATCHES = 0.2  # of all letters, those that let it watch one more
FORGETS = 0.3  # of all that it watches, those that it does not want to hear of any more


class Warden(Server):
    """A server, itself not harmed, that knows of whom it must hear."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.watched: dict[Ref, PID | str] = {}
        world.wardens.append(self.account)

    async def obey(self, letter: Letter) -> None:
        if self.world.random.random() < WATCHES:
            name = self.world.random.choice(self.world.servers)
            target = whereis(name) or name
            self.watched[monitor(target)] = target
            self.world.count("monitors")
            if self.world.random.random() < FORGETS:
                self.forget(self.world.random.choice(list(self.watched)))
        await super().obey(letter)

    def forget(self, ref: Ref) -> None:
        """End a monitor; if it has told already, its message is still to come."""
        if demonitor(ref):
            del self.watched[ref]
            self.world.count("demonitors")

    async def handle_info(self, message: Any, state: Any) -> Any:
        if not isinstance(message, Down):
            return await super().handle_info(message, state)
        self.noted("handlers begun")
        target = self.watched.pop(message.ref, None)
        if target is None:
            self.world.fault(f"{self.name} did not wait for {message!r}")
        elif target is not message.pid and isinstance(target, PID):  # a name may get one
            self.world.fault(f"{self.name} waited for {target!r}, and heard {message!r}")
        elif is_alive(target) and isinstance(target, PID):
            self.world.fault(f"{self.name} heard {message!r}, and it lives")
        self.world.count("deaths that were monitored")
        return state

    async def account(self, bound: float) -> None:
        """See that it hears of everybody who is dead now."""
        dead = [ref for ref, target in self.watched.copy().items() if not is_alive(target)]
        with move_on_after(bound):
            while any(ref in self.watched for ref in dead):
                await checkpoint()
            return
        unheard = [self.watched[ref] for ref in dead if ref in self.watched]
        self.world.fault(f"{self.name} has not heard of the deaths of {unheard}")
