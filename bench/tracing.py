"""What the spans of a call cost: if all are kept, if none is, outside of a trace, and afterwards.

    python -m bench.tracing [uvloop]

It needs opentelemetry-sdk, whose spans are sent nowhere. All take turns in one run; it is the
time of the processor that is told, as others may want that, too.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from time import process_time
from typing import Any

import anyio
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from bench.figures import Figure, show
from fauxtp import GenServer, call, exit
from fauxtp.observe.opentelemetry import instrument

ROUNDS = 31
TIMES = 300
BAR = 600  # nanoseconds more, outside of a trace

OUTSIDE = "none, as there is no trace"
METRICS = NoOpMeterProvider()
MAKES_SPANS = {
    "two spans": (TracerProvider(sampler=ALWAYS_ON), True),
    "two spans that are not kept": (TracerProvider(sampler=ALWAYS_OFF), True),
    OUTSIDE: (TracerProvider(sampler=ALWAYS_ON), False),
    "none any more": None,
}


class Server(GenServer[Any, None]):
    """Does nothing, and that at once."""

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[None, None]:
        return None, None


async def timed() -> float:
    """Return the nanoseconds of a call."""
    began = process_time()
    for _ in range(TIMES):
        await call("server", 1)
    return (process_time() - began) / TIMES * 1e9


async def timed_with(traces: tuple[TracerProvider, bool] | None) -> float:
    if traces is None:
        return await timed()
    provider, roots = traces
    ours = instrument(tracer_provider=provider, meter_provider=METRICS, roots=roots)
    try:
        return await timed()
    finally:
        ours.close()


async def main() -> None:
    rounds = []
    async with anyio.create_task_group() as group:
        await Server.start(task_group=group, register_as="server")
        for _ in range(ROUNDS):
            alone = await timed()
            rounds.append([alone, *[await timed_with(it) for it in MAKES_SPANS.values()]])
        exit("server")
    alone, *others = (statistics.median(times) for times in zip(*rounds, strict=True))
    figures = []
    for what, it in zip(MAKES_SPANS, others, strict=True):
        bar = (f"≤ +{BAR} ns", it - alone <= BAR) if what == OUTSIDE else ()
        figures.append(Figure(what, f"{it:,.0f} ns", f"{alone:.0f} ns", it / alone, *bar))
    show("a call, by what is made of it for OpenTelemetry", figures)


if __name__ == "__main__":
    if "uvloop" in sys.argv[1:]:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
