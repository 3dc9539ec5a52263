"""A store, and writers and readers that find it, and each other, by name.

Nobody in here holds a reference to anybody else: a writer knows that there is something
called "kvstore", and something called "reader:1". A supervisor keeps them running.
"""

from __future__ import annotations

from typing import Any

import anyio

from fauxtp import (
    Actor,
    Call,
    ChildSpec,
    GenServer,
    RestartType,
    Supervisor,
    call,
    cast,
    exit,
    register,
    send,
    tree,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
)

WRITERS = 3
ITEMS = 100  # of each writer


class KVStore(GenServer[Any, Any]):
    """A server: it handles one message after the other, so its dict needs no lock."""

    async def init(self) -> dict[str, int]:
        register("kvstore", self.pid)
        self.reads = 0
        return {}

    async def handle_cast(self, request: Any, state: Any) -> Any:
        match request:
            case ("put", key, value):
                state[key] = value
        return state

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:  # each branch returns the answer, and the state for the next message
            case ("get", key):
                self.reads += 1
                return state.get(key), state
            case "stats":
                return {"keys": len(state), "reads": self.reads}, state

    async def terminate(self, reason: str, state: Any) -> None:
        unregister("kvstore")  # good manners; the name of a dead process is freed anyway


class Reader(Actor):
    """Is told which keys are written, looks each of them up, and ends when there are no more."""

    async def run(self, state: Any) -> Any:
        await self.receive(
            (("written", str, int), self.look_up),
            ("that is all", self.stop),
        )

    async def look_up(self, key: str, value: int) -> None:
        found = await call("kvstore", ("get", key))
        assert found == value, f"expected {value} for {key}, got {found}"


class Everybody(Supervisor):
    """Starts its children in this order, and starts again whoever crashes."""

    def child_specs(self) -> list[ChildSpec]:
        readers = [
            # Transient: one that crashes is started again, one that has finished is not.
            ChildSpec(name, Reader, register_as=name, restart=RestartType.TRANSIENT)
            for name in (f"reader:{number}" for number in range(1, WRITERS + 1))
        ]
        return [ChildSpec("store", KVStore), *readers]


async def write(number: int) -> None:
    """Write items, and tell the reader of the same number. This is code that is no actor."""
    for item in range(ITEMS):
        key = f"{number}:{item}"
        await cast("kvstore", ("put", key, item))  # does not wait for an answer; `call` does
        await send(f"reader:{number}", ("written", key, item))
    await send(f"reader:{number}", "that is all")


async def main() -> None:
    async with anyio.create_task_group() as task_group:
        everybody = await Everybody.start(task_group=task_group)
        print("running:", tree(), sep="\n")

        readers = [await wait_registered(f"reader:{n}") for n in range(1, WRITERS + 1)]
        for number in range(1, WRITERS + 1):
            task_group.start_soon(write, number)
        for reader in readers:
            await wait_exit(reader)
        print("all readers have read what they were told of")

        store = whereis("kvstore")
        if store is not None:
            stats = await call(store, "stats")
            print("the store says:", stats)
        exit(everybody)
    print("after the end:", whereis("kvstore"))


if __name__ == "__main__":
    anyio.run(main)
