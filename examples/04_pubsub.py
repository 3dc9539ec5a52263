"""Topics: what is published in a group is sent to each process that has joined it.

Nobody keeps a list. A subscriber that ends, for whatever reason, has left its groups.
"""

from __future__ import annotations

from typing import Any

import anyio

from fauxtp import Actor, join, members, publish, send, wait_exit


class Subscriber(Actor):
    """Prints what it hears of its topics."""

    def __init__(self, name: str, *topics: str) -> None:
        self.name, self.topics = name, topics

    async def init(self) -> None:
        for topic in self.topics:
            join(topic)

    async def run(self, state: Any) -> Any:
        await self.receive(
            ("goodbye", self.stop),
            ((str, str), lambda topic, text: print(f"{self.name} hears of {topic}: {text}")),
        )


async def main() -> None:
    async with anyio.create_task_group() as task_group:
        anna = await Subscriber.start("Anna", "weather", "sport", task_group=task_group)
        ben = await Subscriber.start("Ben", "sport", task_group=task_group)

        print("subscribers of sport:", len(members("sport")))

        publish("weather", ("weather", "rain"))
        publish("sport", ("sport", "a draw"))

        # Messages are read in the order in which they were sent: this one comes after the news.
        await send(ben, "goodbye")
        await wait_exit(ben)
        print("Ben has left; subscribers of sport:", len(members("sport")))

        publish("sport", ("sport", "extra time"))
        await send(anna, "goodbye")
        await wait_exit(anna)
        print("subscribers of weather:", len(members("weather")))


if __name__ == "__main__":
    anyio.run(main)
