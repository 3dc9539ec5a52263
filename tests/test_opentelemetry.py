"""Spans and metrics, as an SDK of OpenTelemetry is told them, and as it sends them on."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from conftest import ASYNCIO, PATIENCE, Run
from crew import boom, running, supervisor

from fauxtp import (
    PID,
    Actor,
    Call,
    ChildSpec,
    Continue,
    GenServer,
    Mailbox,
    NoProcess,
    OnDemand,
    ProcessExited,
    Raise,
    ReceiveTimeout,
    StateMachine,
    Stop,
    call,
    call_blocking,
    call_many,
    cast,
    cast_nowait,
    join,
    leave,
    publish,
    send,
    send_after,
    send_nowait,
    start_call,
    suspend,
    wait_exit,
)
from fauxtp._base import carrying, events, tracing

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

from fauxtp.observe import opentelemetry
from fauxtp.observe import spans as spans_module

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way", "quick_collections")]


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Spans:
    """An SDK of its own, and what it was told."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def request(self, name: str = "request") -> Any:
        return self.tracer.start_as_current_span(name)

    @property
    def ended(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str, kind: str = "") -> ReadableSpan:
        found = [
            span
            for span in self.ended
            if span.name == name and kind in {"", span.kind.name.lower()}
        ]
        assert len(found) == 1, (name, self.paths())
        return found[0]

    def paths(self) -> set[str]:
        """Return each span by its name and kind, behind those of whom it comes."""
        by_id = {span.context.span_id: span for span in self.ended}

        def path(span: ReadableSpan) -> str:
            above = None if span.parent is None else by_id.get(span.parent.span_id)
            before = (
                "" if span.parent is None else "? > " if above is None else path(above) + " > "
            )
            return f"{before}{span.name} {span.kind.name.lower()}".removesuffix(" internal")

        return {path(span) for span in self.ended}


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    instrumentation = opentelemetry.instrument(tracer_provider=spans.provider, roots=True)
    yield spans
    assert instrumentation.close()
    assert tracing.tracer() is None
    assert not carrying._variables
    assert not events.wanted(-1)


SECRET = {"password": "hunter2", "colour": "green"}


class Store(GenServer[Any, Any]):
    """Makes a span in each handler, now and, if it is so told, later."""

    def __init__(self, spans: Spans, key: str = "") -> None:
        self.spans = spans

    async def work(self, name: str) -> None:
        with self.spans.request(name):
            await anyio.sleep(0)
            with self.spans.request("deep"):
                pass

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await self.work("in call")
        if request == "later":
            return self.reply_later(from_, self.work, "in task"), state
        if request == "refuse":
            return Raise(ValueError("refused")), state
        if request == "stop":
            return Stop(reply="stopped")
        if request == "fail":
            raise ValueError(SECRET)
        return trace.get_current_span().get_span_context().is_valid, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await self.work("in cast")
        return state, Continue(request)

    async def handle_info(self, message: Any, state: Any) -> Any:
        await self.work("in info")
        return state

    async def handle_continue(self, request: Any, state: Any) -> Any:
        await self.work("in continue")
        return state


async def by_thread(send: Callable[..., Any], to: PID, message: Any) -> None:
    await to_thread.run_sync(send, to, message)


async def at_once(send: Callable[..., Any], to: PID, message: Any) -> None:
    send(to, message)


async def by_many(to: PID, message: Any) -> None:
    assert await call_many([to], message) == ({to: True}, {})


async def by_start_call(to: PID, message: Any) -> None:
    assert await start_call(to, message)


async def by_publish(to: PID, message: Any) -> None:
    join("stores", to)
    publish("stores", message)
    leave("stores", to)


CALL = {"Store/get client", "Store/get client > Store/get server"}
CALL_WORK = {"Store/get client > Store/get server > in call"}
CAST = {
    "cast Store producer",
    "cast Store producer > process Store consumer",
    "cast Store producer > process Store consumer > in cast",
    "cast Store producer > continue Store",
    "cast Store producer > continue Store > in continue",
}
SEND = {
    "send Store producer",
    "send Store producer > process Store consumer",
    "send Store producer > process Store consumer > in info",
}
PUBLISH = {path.replace("send Store", "publish") for path in SEND}
TIMER = {"process Store consumer", "process Store consumer > in info"}
WAYS: dict[str, tuple[Callable[[PID, Any], Awaitable[Any]], set[str]]] = {
    "call": (call, CALL | CALL_WORK),
    "call_blocking": (partial(by_thread, call_blocking), CALL | CALL_WORK),
    "start_call": (by_start_call, CALL | CALL_WORK),
    "call_many": (by_many, CALL | CALL_WORK),
    "cast": (cast, CAST),
    "cast in a thread": (partial(by_thread, cast_nowait), CAST),
    "send": (send, SEND),
    "send in a thread": (partial(by_thread, send_nowait), SEND),
    "publish": (by_publish, PUBLISH),
    "send_after": (partial(at_once, partial(send_after, 0)), TIMER),
}


async def all_done(spans: Spans, number: int) -> None:
    with anyio.fail_after(30):
        while len(spans.ended) < number:
            await anyio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
async def test_spans_follow_a_message_to_its_handler(spans: Spans, way: str) -> None:
    send_by, expected = WAYS[way]
    deep = {path + " > deep" for path in expected if " > in " in path}
    async with running() as task_group:
        store = await Store.start(spans, task_group=task_group)
        for _ in range(2):
            spans.exporter.clear()
            with spans.request():
                await send_by(store, ("get", "a secret"))
            await all_done(spans, 1 + len(expected) + len(deep))
            above = "" if way == "send_after" else "request > "
            assert spans.paths() == {"request", *(above + path for path in expected | deep)}
            if way == "send_after":
                (link,) = spans.named("process Store").links
                assert link.context == spans.named("request").context
            assert "secret" not in "".join(span.to_json() for span in spans.ended)
        spans.exporter.clear()
        await send_by(store, ("get", "a secret"))
        await all_done(spans, len(expected) + len(deep))
        assert spans.paths() == expected | deep


@pytest.mark.parametrize(
    "way", sorted(WAYS.keys() - {"start_call", "call_many"})
)  # which are as a call
async def test_a_trace_is_gone_on_with_and_none_is_begun_unless_there_may_be_roots(
    way: str,
) -> None:
    spans = Spans()
    instrumentation = opentelemetry.instrument(tracer_provider=spans.provider)
    send_by, expected = WAYS[way]
    deep = {path + " > deep" for path in expected if " > in " in path}
    theirs = {path.rpartition(" > in ")[2] for path in expected if " > in " in path}
    try:
        async with running() as task_group:
            store = await Store.start(spans, task_group=task_group)
            with spans.request():
                await send_by(store, ("get", "a secret"))
            await all_done(spans, 1 + len(expected) + len(deep))
            above = "" if way == "send_after" else "request > "
            assert spans.paths() == {"request", *(above + path for path in expected | deep)}
            spans.exporter.clear()
            await send_by(store, ("get", "a secret"))
            await all_done(spans, 2 * len(theirs))
            assert spans.paths() == {
                f"in {it}{below}" for it in theirs for below in ("", " > deep")
            }
    finally:
        instrumentation.close()


@pytest.mark.parametrize("way", ["call", "call that waits", "cast", "send"])
@pytest.mark.parametrize("roots", [False, True])
async def test_what_a_handler_leaves_as_the_context_is_there_for_no_other(
    roots: bool, way: str
) -> None:
    spans = Spans()
    left: list[Any] = []

    class Leaves(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            if request == "leave":
                await self.handle_info(request, state)
            return getattr(trace.get_current_span(), "name", None), state

        async def handle_cast(self, request: Any, state: Any) -> Any:
            return await self.handle_info(request, state)

        async def handle_info(self, message: Any, state: Any) -> Any:
            contexts.attach(trace.set_span_in_context(spans.tracer.start_span("left")))
            if way == "call that waits":
                await anyio.sleep(0)
                await anyio.sleep(0.001)
            left.append(getattr(trace.get_current_span(), "name", None))
            return state

    instrumentation = opentelemetry.instrument(tracer_provider=spans.provider, roots=roots)
    try:
        async with running() as task_group:
            leaves = await Leaves.start(task_group=task_group)
            if "call" in way:
                assert await call(leaves, "leave") == "left"
            else:
                await (cast if way == "cast" else send)(leaves, "leave")
            for _ in range(2):
                assert await call(leaves, "look") == ("Leaves/look" if roots else None)
            assert left == ["left"]
    finally:
        instrumentation.close()


async def test_a_trace_that_is_not_kept_has_no_further_spans() -> None:
    asked: list[str] = []

    class Drops(Sampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any) -> Any:
            asked.append(name)
            return ALWAYS_OFF.should_sample(parent_context, trace_id, name)

        def get_description(self) -> str:
            return "drops"

    class Plain(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            await cast(self.pid, request)
            return trace.get_current_span().get_span_context().is_valid, state

    spans = Spans(sampler=Drops())
    instrumentation = opentelemetry.instrument(tracer_provider=spans.provider)
    try:
        async with running() as task_group:
            plain = await Plain.start(task_group=task_group)
            with spans.request():
                assert await call(plain, 1), "its context goes with the message all the same"
    finally:
        instrumentation.close()
    assert asked == ["request"]


async def test_each_tick_of_a_server_that_sets_its_next_is_a_trace_of_its_own(
    spans: Spans,
) -> None:
    class Ticks(GenServer[Any, int]):
        async def init(self) -> int:
            return 0

        async def handle_call(self, request: Any, from_: Call, state: int) -> Any:
            send_after(0, self.pid, "tick")
            return None, state

        async def handle_info(self, message: Any, state: int) -> Any:
            await send("nobody", message)
            if state == 3:
                return Stop()
            send_after(0, self.pid, "tick")
            return state + 1

    async with running() as task_group:
        ticks = await Ticks.start(task_group=task_group)
        await call(ticks, "begin")
        await wait_exit(ticks)
    ended = [span for span in spans.ended if span.name == "process Ticks"]
    assert len({span.context.trace_id for span in ended}) == 4
    before = spans.named("Ticks/begin", "server")
    for span in ended:
        assert span.parent is None
        assert [link.context for link in span.links] == [before.context]
        (sent,) = [each for each in spans.ended if each.parent == span.context]
        assert not sent.links
        before = span


def told_of(span: ReadableSpan) -> dict[str, Any]:
    return {**(span.attributes or {})}


class Continues(GenServer[Any, Any]):
    """Does what is left for later in spans of its own, and some time after its last message."""

    idle_timeout = 0.01

    def __init__(self, spans: Spans, may_end: anyio.Event) -> None:
        self.spans, self.may_end = spans, may_end

    async def init(self) -> Any:
        return None, Continue(("load", SECRET))

    async def handle_continue(self, request: Any, state: Any) -> Any:
        with self.spans.request(f"in {request[0]}"):
            await anyio.sleep(0)
        if request[0] == "fail":
            boom()
        return state

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return request, state, Continue((request, SECRET))

    async def handle_timeout(self, state: Any) -> Any:
        if not self.may_end.is_set():
            return state
        with self.spans.request("at rest"):
            return Stop()


async def test_what_a_server_does_by_itself_has_spans(spans: Spans) -> None:
    may_end = anyio.Event()
    async with running() as task_group:
        pid = await Continues.start(spans, may_end, task_group=task_group)
        await all_done(spans, 2)
        with spans.request():
            await call(pid, "more")
        may_end.set()
        await wait_exit(pid)
    assert spans.paths() >= {
        "continue Continues",
        "continue Continues > in load",
        "request > Continues/more client > Continues/more server",
        "request > Continues/more client > continue Continues",
        "request > Continues/more client > continue Continues > in more",
        "timeout Continues",
        "timeout Continues > at rest",
    }
    first, *_ = [span for span in spans.ended if span.name == "continue Continues"]
    told = {"fauxtp.pid": str(pid), "fauxtp.class": "Continues"}
    assert told_of(first) == {**told, "fauxtp.message": "load"}
    last = [span for span in spans.ended if span.name == "timeout Continues"][-1]
    assert told_of(last) == told
    assert "hunter2" not in "".join(span.to_json() for span in spans.ended)


async def test_what_a_server_does_by_itself_fails_in_its_span(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as task_group:
        pid = await Continues.start(spans, anyio.Event(), task_group=task_group)
        await call(pid, "fail")
        await wait_exit(pid)
    failed = [span for span in spans.ended if "error.type" in told_of(span)]
    assert {span.name for span in failed} == {"continue Continues"}
    assert told_of(failed[-1])["error.type"].endswith("Boom")


async def test_attributes_are_those_of_the_conventions(spans: Spans) -> None:
    async with running() as task_group:
        store = await Store.start(spans, task_group=task_group)
        await call(store, ("get", 1))
        await send(store, 5)
        await all_done(spans, 8)
        of_call = {
            "rpc.system.name": "fauxtp",
            "rpc.method": "Store/get",
            "fauxtp.pid": repr(store),
        }
        for kind in ("client", "server"):
            assert spans.named("Store/get", kind).attributes == of_call
        of_message = {
            "messaging.system": "fauxtp",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": "Store",
            "fauxtp.message": "int",
            "fauxtp.pid": repr(store),
        }
        assert spans.named("send Store").attributes == of_message
        processed = dict.fromkeys(
            ("messaging.operation.name", "messaging.operation.type"), "process"
        )
        assert spans.named("process Store").attributes == of_message | processed
        scope = spans.named("send Store").instrumentation_scope
        assert scope is not None
        assert scope.name == "fauxtp"


async def test_errors_are_told_without_secrets(spans: Spans) -> None:
    async with running() as task_group:
        store = await Store.start(spans, task_group=task_group)
        with pytest.raises(ProcessExited):
            await call(store, "fail")
        server, client = (spans.named("Store/fail", kind) for kind in ("server", "client"))
        assert server.attributes is not None
        assert client.attributes is not None
        assert server.attributes["error.type"] == "ValueError"
        assert client.attributes["error.type"] == "fauxtp.ProcessExited"
        for span in (server, client):
            assert span.status.status_code is trace.StatusCode.ERROR
            (event,) = span.events
            assert event.name == "exception"
            told = repr(event.attributes) + repr(span.status.description) + span.to_json()
            assert "hunter2" not in told
            assert "green" in told
            assert "hidden" in told
        assert "handle_call" in str(
            dict(server.events[0].attributes or {})["exception.stacktrace"]
        )


@pytest.mark.parametrize("request_", ["refuse", "stop", "later"])
async def test_what_is_no_crash_is_no_error_of_the_server(spans: Spans, request_: str) -> None:
    async with running() as task_group:
        store = await Store.start(spans, task_group=task_group)
        try:
            await call(store, request_)
        except ValueError:
            assert spans.named("Store/refuse", "client").status.description is not None
        server = spans.named(f"Store/{request_}", "server")
        assert server.status.status_code is trace.StatusCode.UNSET
        assert not server.events
        if request_ == "later":
            path = "Store/later client > Store/later server > in task > deep"
            assert path in spans.paths()


async def test_calls_that_fail_before_anybody_handles_them(spans: Spans) -> None:
    async with running() as task_group:
        with pytest.raises(NoProcess):
            await call("nobody", "get")
        with pytest.raises(NoProcess):
            await to_thread.run_sync(call_blocking, "nobody", "ask")
        assert spans.named("_GONE/get").attributes == {
            "rpc.system.name": "fauxtp",
            "rpc.method": "_GONE/get",
            "error.type": "fauxtp.NoProcess",
        }
        assert spans.named("_GONE/ask").status.status_code is trace.StatusCode.ERROR
        store = await Store.start(spans, task_group=task_group)
        await suspend(store)
        with pytest.raises(ReceiveTimeout):
            await call(store, "get", timeout=0)
        pending = start_call(store, "take back")
        pending.cancel()
        del pending
        assert spans.named("Store/get").status.status_code is trace.StatusCode.ERROR
        assert spans.named("Store/take back").status.status_code is trace.StatusCode.ERROR


async def test_what_is_started_in_a_request_is_not_traced_to_it(spans: Spans) -> None:
    class Begins(Store):
        async def init(self) -> None:
            await self.work("in init")

    async with running() as task_group:
        await supervisor(
            ChildSpec("store", partial_of(Begins, spans), register_as="supervised")
        ).start(task_group=task_group)
        spans.exporter.clear()
        with spans.request():
            await Begins.start(spans, task_group=task_group)
        assert spans.paths() == {"request", "in init", "in init > deep"}


def partial_of(kind: type[Any], *arguments: Any) -> type[Any]:
    class Made(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(*arguments)

    return Made


async def test_machines_and_actors_work_for_whom_they_should(spans: Spans) -> None:
    class Gate(StateMachine[Any, Any]):
        async def init(self) -> Any:
            return "on", None

        async def handle_event(self, event: Any, state: Any, data: Any) -> Any:
            with spans.request("in machine"):
                return state, data

    class Reads(Actor):
        async def run(self, state: Any) -> None:
            await self.receive((str, self.read))
            with spans.request("after it"):
                pass

        def read(self, text: str) -> None:
            with spans.request("as it reads"):
                pass

    async with running() as task_group:
        gate = await Gate.start(task_group=task_group)
        reads = await Reads.start(task_group=task_group)
        with spans.request():
            await send(gate, "event")
            await send(reads, "text")
        await all_done(spans, 8)
        assert spans.paths() == {
            "continue Gate",
            "request",
            "request > send Gate producer",
            "request > send Gate producer > process Gate consumer",
            "request > send Gate producer > process Gate consumer > in machine",
            "request > send Reads producer",
            "request > send Reads producer > as it reads",
            "request > send Reads producer > after it",
        }


async def test_nothing_is_current_after_a_handler(spans: Spans) -> None:
    seen: list[Any] = []

    class Looks(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            seen.append({**contexts.get_current()})
            return request, state

        async def handle_timeout(self, state: Any) -> Any:
            seen.append({**contexts.get_current()})
            return Stop()

        async def terminate(self, reason: Any, state: Any) -> None:
            seen.append({**contexts.get_current()})

        idle_timeout = 0.01

    async with running() as task_group:
        looks = await Looks.start(task_group=task_group)
        token = contexts.attach(contexts.set_value("of whom", "Anna"))
        await call(looks, "get")
        contexts.detach(token)
        await wait_exit(looks)
        assert seen[0]["of whom"] == "Anna"
        assert "of whom" not in seen[1]  # it has a span of its own
        assert seen[2:] == [{}]


async def test_where_it_is_suppressed_nothing_is_traced(spans: Spans) -> None:
    async with running() as task_group:
        store = await Store.start(spans, task_group=task_group)
        token = contexts.attach(contexts.set_value("suppress_instrumentation", True))
        await call(store, "get")
        await send(store, "get")
        contexts.detach(token)
        await call(store, "last")
        assert not [path for path in spans.paths() if "Store" in path and "last" not in path]


async def test_an_exporter_may_send_what_it_is_told_to_a_process(spans: Spans) -> None:
    mailbox = Mailbox()

    class Sends(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            send_nowait(mailbox.pid, span.name)

    spans.provider.add_span_processor(Sends())
    await send("nobody", "hello")
    assert len(mailbox) == 1
    assert spans.paths() == {"send _GONE producer"}


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
async def test_an_exporter_that_casts_to_a_server_is_not_told_of_that(
    spans: Spans, processor: Callable[[SpanExporter], SimpleSpanProcessor | BatchSpanProcessor]
) -> None:
    exported: list[str] = []

    class Casts(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            exported.extend([span.name for span in spans])
            if len(exported) < 100:  # or it would never end
                cast_nowait(sink, [span.name for span in spans])
            return SpanExportResult.SUCCESS

    class Sink(GenServer[Any, int]):
        async def init(self) -> int:
            return 0

        async def handle_cast(self, names: list[str], state: int) -> int:
            return state + len(names)

        async def handle_call(self, request: Any, from_: Call, state: int) -> Any:
            return state, state

    async with running() as task_group:
        sink = await Sink.start(task_group=task_group)
        store = await Store.start(spans, task_group=task_group)
        spans.provider.add_span_processor(processor(Casts()))
        await call(store, "get")
        for _ in range(3):
            await to_thread.run_sync(spans.provider.force_flush)
            with contexts_without_spans():
                assert await call(sink, "how many?") == 4
        assert sorted(exported) == ["Store/get", "Store/get", "deep", "in call"]
    spans.provider.shutdown()


@contextmanager
def contexts_without_spans() -> Iterator[None]:
    token = contexts.attach(contexts.set_value("suppress_instrumentation", True))
    yield
    contexts.detach(token)


async def test_an_sdk_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Sampler):
        def should_sample(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("no sample")

        def get_description(self) -> str:
            return "fails"

    class FailsAtEnd(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("no end")

    class Plain(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return request, state

    at_end = TracerProvider()
    at_end.add_span_processor(FailsAtEnd())
    for provider in (TracerProvider(sampler=Fails()), at_end, TracerProvider(sampler=ALWAYS_OFF)):
        instrumentation = opentelemetry.instrument(tracer_provider=provider, roots=True)
        try:
            async with running() as task_group:
                plain = await Plain.start(task_group=task_group)
                assert await call(plain, 1) == 1
                await send("nobody", "hello")
        finally:
            instrumentation.close()
    assert "a span could not be begun" in caplog.text
    assert "a span could not be ended" in caplog.text


async def test_failures_are_counted_and_logged_once_a_minute(
    spans: Spans, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(spans_module, "monotonic", lambda: now)
    monkeypatch.setattr(spans_module, "_word", boom)  # whatever it is that fails
    for _ in range(20):
        await send("nobody", "hello")
    now += 60
    await send("nobody", "hello")
    logged = [each.getMessage() for each in caplog.records if "begun" in each.getMessage()]
    assert [text.rpartition("(")[2] for text in logged] == [
        "failures until now: 1)",
        "failures until now: 21)",
    ]


async def test_a_span_that_ends_while_another_does_lets_nothing_be_traced(spans: Spans) -> None:
    mailbox = Mailbox()
    tracer = tracing.tracer()
    assert tracer is not None
    others = [tracer.call("Other", None, number) for number in range(2)]

    class Ends(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if others:
                other = others.pop()
                assert other is not None
                other.end(None)
            if len(mailbox) < 10:  # or it would never end
                send_nowait(mailbox.pid, span.name)

    spans.provider.add_span_processor(Ends())
    await send("nobody", "hello")
    assert len(mailbox) == 3
    assert len(spans.ended) == 3


async def test_what_is_closed_in_the_middle_ends_as_it_began() -> None:
    spans = Spans()
    instrumentation = opentelemetry.instrument(tracer_provider=spans.provider, roots=True)
    begun, go = anyio.Event(), anyio.Event()

    class Waits(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            begun.set()
            await go.wait()
            return request, state

    async with running() as task_group:
        waits = await Waits.start(task_group=task_group)
        pending = start_call(waits, "one")
        await begun.wait()
        assert instrumentation.close()
        assert not instrumentation.close()
        go.set()
        assert await pending == "one"
        assert await call(waits, "two") == "two"
        assert spans.paths() == {"Waits/one client", "Waits/one client > Waits/one server"}


async def test_closing_a_handler_elsewhere_logs_nothing(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    trace_ = tracing.tracer()
    assert trace_ is not None
    begun = trace_.handle("Store", None, "message")
    assert begun is not None
    begun.enter()
    copy_context().run(begun.leave)
    begun.leave()
    begun.end(None)
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not contexts.get_current()


async def test_an_address_that_starts_what_it_means_is_traced(spans: Spans) -> None:
    class Session(Store):
        def __init__(self, key: str) -> None:
            super().__init__(spans)

    async with running() as task_group:
        from fauxtp import DynamicSupervisor  # noqa: PLC0415

        await DynamicSupervisor.start(task_group=task_group, register_as="sessions")
        spans.exporter.clear()
        address = OnDemand(Session, supervisor="sessions", prefix="session:")["Anna"]
        with spans.request():
            assert await call(address, "get")
        paths = [path for path in spans.paths() if path.endswith("in call > deep")]
        (path,) = paths
        assert path.startswith("request > ")
        assert path.endswith(" > Session/get server > in call > deep")


# Metrics


def told(reader: InMemoryMetricReader) -> dict[str, dict[tuple[Any, ...], Any]]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: {
            tuple((point.attributes or {}).values()): point.value  # type: ignore[union-attr]
            for point in metric.data.data_points
        }
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_metrics_are_those_that_are_collected(caplog: pytest.LogCaptureFixture) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    spans = Spans()
    instrumentation = opentelemetry.instrument(
        tracer_provider=spans.provider, meter_provider=provider
    )
    try:
        async with running() as task_group:
            store = await Store.start(spans, task_group=task_group)
            await call(store, "get")
            before = told(reader)
            assert before["fauxtp.processes"][("Store",)] == 1
            assert before["fauxtp.mailbox_messages"][("Store",)] == 0
            await call(store, "get")
            after = told(reader)
            assert (
                after["fauxtp.messages_handled"][("Store",)]
                - before["fauxtp.messages_handled"][("Store",)]
                == 1
            )
    finally:
        instrumentation.close()
    assert told(reader) == {}
    again = opentelemetry.instrument(tracer_provider=spans.provider, meter_provider=provider)
    try:
        assert "fauxtp.names" in told(reader)
        assert "fauxtp.handler_duration_seconds" not in told(reader)
    finally:
        again.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    provider.shutdown()


# As it is sent


class Receiver(HTTPServer):
    """A receiver of OTLP on this machine."""

    def __init__(self) -> None:
        self.traces = ExportTraceServiceRequest()
        self.metrics = ExportMetricsServiceRequest()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/x-protobuf"
        of: dict[str, Any] = {"/v1/traces": self.server.traces, "/v1/metrics": self.server.metrics}
        of[self.path].MergeFromString(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


async def test_a_receiver_of_otlp_is_told_all_of_it(receiver: Receiver) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{receiver.url}/v1/traces"))
    )
    meters = MeterProvider(
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=f"{receiver.url}/v1/metrics"),
                export_interval_millis=float("inf"),
            )
        ]
    )

    class Fails(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            boom()

    instrumentation = opentelemetry.instrument(
        tracer_provider=tracers, meter_provider=meters, roots=True
    )
    try:
        async with running() as task_group:
            fails = await Fails.start(task_group=task_group)
            await cast(fails, "crash")
            with anyio.fail_after(30):
                while len(list(all_spans(receiver))) < 2:
                    await anyio.sleep(0.01)
        await to_thread.run_sync(meters.force_flush)
    finally:
        instrumentation.close()
        tracers.shutdown()
        meters.shutdown()
    by_name = {span.name: span for span in all_spans(receiver)}
    sent, handled = by_name["cast Fails"], by_name["process Fails"]
    assert (sent.kind, handled.kind) == (sent.SPAN_KIND_PRODUCER, sent.SPAN_KIND_CONSUMER)
    assert handled.parent_span_id == sent.span_id
    assert handled.trace_id == sent.trace_id
    assert handled.status.code == handled.status.STATUS_CODE_ERROR
    attributes = {each.key: each.value.string_value for each in handled.attributes}
    assert attributes["messaging.system"] == "fauxtp"
    assert attributes["error.type"].endswith("crew.Boom")
    numbers = {
        metric.name
        for resource in receiver.metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"fauxtp.names", "fauxtp.crashes", "fauxtp.messages_handled"} <= numbers


def all_spans(receiver: Receiver) -> Iterator[Any]:
    for resource in receiver.traces.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


# Who asks, and who does not


def test_it_is_turned_on_once(spans: Spans) -> None:
    before = tracing.tracer()
    with pytest.raises(RuntimeError, match="expected no spans to be made yet"):
        opentelemetry.instrument()
    assert tracing.tracer() is before


@pytest.mark.parametrize("came", [1, "provider", object()])
@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
def test_what_is_no_provider_is_refused(name: str, came: Any) -> None:
    with pytest.raises(TypeError, match=f"expected {name} to be a"):
        opentelemetry.instrument(**{name: came})
    assert tracing.tracer() is None
    assert not events.wanted(-1)


def test_roots_are_asked_for_by_a_bool() -> None:
    roots: Any = "yes"
    with pytest.raises(TypeError, match="expected roots to be a bool, got str"):
        opentelemetry.instrument(roots=roots)
    assert tracing.tracer() is None


def test_nobody_who_does_not_ask_imports_it(run: Run) -> None:
    program = """
import sys, anyio, fauxtp, fauxtp.observe
from fauxtp import Mailbox, send_nowait
from fauxtp.observe import events, metrics, overload, reports
metrics.collect()
send_nowait(Mailbox().pid, "hello")
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    assert run(program).stderr == ""


def test_without_the_api_it_says_what_it_needs(run: Run) -> None:
    program = """
import sys
sys.modules["opentelemetry.metrics"] = None
try:
    from fauxtp.observe import opentelemetry
except ImportError as error:
    assert str(error) == (
        "fauxtp.observe.opentelemetry needs opentelemetry-api: install fauxtp[otel]"
    ), error
else:
    raise AssertionError
"""
    assert run(program).stderr == ""


INSTRUMENTED = """
import anyio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from fauxtp import GenServer, call, exit

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

class Store(GenServer):
    async def handle_call(self, request, from_, state):
        return 3, None

async def main():
    async with anyio.create_task_group() as task_group:
        await Store.start(task_group=task_group, register_as="store")
        with trace.get_tracer("shop").start_as_current_span("POST /tea"):
            await call("store", ("buy", "tea"))
        exit("store")

anyio.run(main)
print(*[span.name for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize("disabled", ["", "fauxtp"])
def test_a_program_is_instrumented_by_the_command_for_that(disabled: str, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(INSTRUMENTED, "utf-8")
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    environment = {**os.environ, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled}
    done = subprocess.run(
        [command, sys.executable, program],
        cwd=tmp_path,  # of two descriptions of fauxtp, the one where it is developed may be old
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    spans = "" if disabled else "Store/buy Store/buy "
    assert done.stdout == f"{spans}POST /tea\n"


def test_the_instrumentor_does_as_instrument_does() -> None:
    from fauxtp.observe._instrumentor import FauxtpInstrumentor  # noqa: PLC0415

    instrumentor = FauxtpInstrumentor()
    spans = Spans()
    instrumentor.instrument(tracer_provider=spans.provider, roots=True)
    try:
        assert instrumentor.is_instrumented_by_opentelemetry
        with pytest.raises(RuntimeError, match="expected no spans to be made yet"):
            opentelemetry.instrument()
        send_nowait("nobody", "hello")
        assert spans.paths() == {"send _GONE producer"}
    finally:
        instrumentor.uninstrument()
    assert tracing.tracer() is None
    assert not instrumentor.is_instrumented_by_opentelemetry
    with pytest.raises(TypeError, match="expected roots to be a bool"):
        instrumentor.instrument(roots="yes")
    assert tracing.tracer() is None
    assert not instrumentor.is_instrumented_by_opentelemetry


def test_without_what_it_builds_upon_the_instrumentor_says_so(run: Run) -> None:
    program = """
import sys
sys.modules["opentelemetry.instrumentation.instrumentor"] = None
import fauxtp.observe.opentelemetry
try:
    import fauxtp.observe._instrumentor
except ImportError as error:
    assert str(error) == (
        "the instrumentor of fauxtp needs opentelemetry-instrumentation: install that, too"
    ), error
else:
    raise AssertionError
"""
    assert run(program).stderr == ""


def test_a_forked_child_goes_on(run: Run) -> None:
    program = """
import os, sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from fauxtp import send_nowait
from fauxtp.observe import opentelemetry
reader = InMemoryMetricReader()
instrumentation = opentelemetry.instrument(meter_provider=MeterProvider([reader]))
numbers = next(iter(opentelemetry._known.values()))
numbers._looking.acquire(), opentelemetry._changing.acquire()  # as another thread may
pid = os.fork()
if not pid:
    send_nowait("nobody", "hello")
    assert reader.get_metrics_data() is not None
    assert instrumentation.close()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    if not hasattr(__import__("os"), "fork"):
        pytest.skip("there is no fork")
    # The SDK leaves a thread behind that has nothing to do, of which the interpreter warns then.
    ended = run(program, options=("-W", "ignore::DeprecationWarning"))
    assert (ended.returncode, ended.stderr) == (0, "")
