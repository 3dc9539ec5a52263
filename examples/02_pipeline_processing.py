"""A pipeline: a producer, three processors, a consumer; nobody runs ahead of the slowest.

Each stage knows the next one by name. A mailbox with room for a few messages makes `send`
wait when it is full: so a slow consumer slows the processors, and they slow the producer.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import anyio

from fauxtp import ANY, Actor, process_info, send, wait_registered

ITEMS = 24
ROOM = 2  # messages in each mailbox
PROCESSORS = [f"pipeline:processor:{number}" for number in (1, 2, 3)]


class Producer(Actor):
    async def run(self, state: Any) -> Any:
        for name in PROCESSORS:
            await wait_registered(name)  # whoever starts first waits for the others
        for item, processor in zip(range(1, ITEMS + 1), cycle(PROCESSORS), strict=False):
            await send(processor, ("item", item))  # waits while there is no room
            print(f"made {item}")
        for processor in PROCESSORS:
            await send(processor, "end")
        self.stop()


class Processor(Actor):
    """Squares numbers."""

    mailbox_size = ROOM

    async def init(self) -> None:
        await wait_registered("pipeline:consumer")

    async def run(self, state: Any) -> Any:
        await self.receive((("item", int), self.process), ("end", self.finish))

    async def process(self, item: int) -> None:
        await send("pipeline:consumer", ("result", item, item * item))

    async def finish(self) -> None:
        await send("pipeline:consumer", "end")
        self.stop()


class Consumer(Actor):
    """Adds up what comes, slowly."""

    mailbox_size = ROOM

    def __init__(self) -> None:
        self.total = self.most_waiting = self.processors_done = 0

    async def run(self, state: Any) -> Any:
        self.most_waiting = max(self.most_waiting, process_info(self.pid).mailbox_length)
        await self.receive((("result", int, ANY), self.consume), ("end", self.count_end))

    async def consume(self, item: int, square: int) -> None:
        await anyio.sleep(0.002)  # the work
        self.total += square
        print(f"{'':12}used {item}")

    def count_end(self) -> None:
        self.processors_done += 1
        if self.processors_done == len(PROCESSORS):
            self.stop()

    async def terminate(self, reason: str, state: Any) -> None:
        print(f"sum of the squares of 1 to {ITEMS}: {self.total}")
        print(f"waiting for the consumer, at most: {self.most_waiting} (it has room for {ROOM})")


async def main() -> None:
    # The task group ends when all its processes have; so does the pipeline, stage by stage.
    async with anyio.create_task_group() as task_group:
        await Producer.start(task_group=task_group, register_as="pipeline:producer")
        await Consumer.start(task_group=task_group, register_as="pipeline:consumer")
        for name in PROCESSORS:
            await Processor.start(task_group=task_group, register_as=name)


if __name__ == "__main__":
    anyio.run(main)
