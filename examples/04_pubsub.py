"""Topics: a broker passes on what is published to everybody who has subscribed.

The broker monitors its subscribers. One that ends, for whatever reason, is forgotten.
"""

from __future__ import annotations

from typing import Any

import anyio

from fauxtp import (
    PID,
    Actor,
    Call,
    Down,
    GenServer,
    call,
    cast,
    exit,
    monitor,
    send,
    wait_exit,
)


class Broker(GenServer[Any, Any]):
    async def init(self) -> dict[str, list[PID]]:
        return {}

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:
            case ("subscribe", topic, pid):
                monitor(pid)  # from now on, its end will be told to `handle_info`
                state.setdefault(topic, []).append(pid)
                return "subscribed", state
            case ("subscribers", topic):
                return len(state.get(topic, [])), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        match request:
            case ("publish", topic, text):
                for subscriber in state.get(topic, []):
                    await send(subscriber, (topic, text))
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        match message:
            case Down(pid=gone):
                return {
                    topic: [one for one in subscribers if one != gone]
                    for topic, subscribers in state.items()
                }
        return state


class Subscriber(Actor):
    """Prints what it hears of its topics."""

    def __init__(self, name: str, *topics: str) -> None:
        self.name, self.topics = name, topics

    async def init(self) -> None:
        for topic in self.topics:
            await call("broker", ("subscribe", topic, self.pid))

    async def run(self, state: Any) -> Any:
        await self.receive(
            ("goodbye", self.stop),
            ((str, str), lambda topic, text: print(f"{self.name} hears of {topic}: {text}")),
        )


async def main() -> None:
    async with anyio.create_task_group() as task_group:
        await Broker.start(task_group=task_group, register_as="broker")
        anna = await Subscriber.start("Anna", "weather", "sport", task_group=task_group)
        ben = await Subscriber.start("Ben", "sport", task_group=task_group)

        print("subscribers of sport:", await call("broker", ("subscribers", "sport")))

        await cast("broker", ("publish", "weather", "rain"))
        await cast("broker", ("publish", "sport", "a draw"))

        # The answer to a call means that what was sent before it has been handled, too.
        await call("broker", ("subscribers", "sport"))
        await send(ben, "goodbye")
        await wait_exit(ben)
        print(
            "Ben has left; subscribers of sport:", await call("broker", ("subscribers", "sport"))
        )

        await cast("broker", ("publish", "sport", "extra time"))
        await call("broker", ("subscribers", "sport"))
        await send(anna, "goodbye")
        await wait_exit(anna)
        print("subscribers of weather:", await call("broker", ("subscribers", "weather")))
        exit("broker")


if __name__ == "__main__":
    anyio.run(main)
