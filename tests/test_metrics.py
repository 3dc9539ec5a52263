"""Metrics: what there is to collect, as prometheus-client tells it, and as Prometheus reads it."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import PATIENCE, Run, task_group
from crew import Puppet, crash, process_of, supervisor

from fauxtp import (
    ChildSpec,
    Mailbox,
    MailboxFull,
    ReceiveTimeout,
    call,
    cast,
    exit,
    send,
    send_nowait,
    suspend,
    wait_exit,
)
from fauxtp._base import events as seam
from fauxtp._base.durations import BOUNDS, forget_durations, note_duration
from fauxtp._base.durations import durations as noted
from fauxtp.observe import durations, metrics
from fauxtp.observe.metrics import Histogram

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from fauxtp.observe import prometheus

pytestmark = pytest.mark.anyio

Value = float | Histogram


def values() -> dict[str, dict[tuple[str, ...], Any]]:
    return {metric.name.removeprefix("fauxtp_"): {**metric.values} for metric in metrics.collect()}


class Store(Puppet):
    mailbox_size = 2


async def test_gauges_tell_what_is_now() -> None:
    async with task_group() as group:
        one = await Store.start(task_group=group, register_as="one")
        two = await Store.start(task_group=group)
        gate, begun = anyio.Event(), anyio.Event()

        async def wait() -> None:
            begun.set()
            await gate.wait()

        await cast(one, wait)
        await begun.wait()
        since = process_of(one).handled_since
        for message in range(2):
            await send(one, message)
        await suspend(two)
        await send(two, 1)
        found = values()
        assert found["processes"]["Store",] == 2
        assert found["mailbox_messages"]["Store",] == 3
        assert found["mailbox_messages_max"]["Store",] == 2
        assert 0 <= found["handler_running_seconds_max"]["Store",] <= time.monotonic() - since
        assert found["names"] == {(): 1}
        process_of(one).handled_since -= 100
        assert values()["handler_running_seconds_max"]["Store",] > 99
    assert ("Store",) not in values()["processes"]


async def test_counters_tell_what_was() -> None:
    gc.collect()  # a mailbox of an earlier test
    before = values()
    child = ChildSpec("kid", Store, register_as="kid")
    async with task_group() as group:
        chief = await supervisor(child).start(task_group=group)
        await crash("kid")
        await call("kid", lambda: 1)
        await suspend("kid")
        with pytest.raises(ReceiveTimeout):
            await call("kid", anyio.Event().wait, timeout=0)
        send_nowait("nobody", 1)
        mailbox = Mailbox(max_size=1)
        mailbox.put_nowait(1)
        with pytest.raises(MailboxFull):
            mailbox.put_nowait(2)
        exit(chief, "shutdown")
        await wait_exit(chief)

    def more(name: str, *labels: str) -> int:
        return int(values()[name][labels]) - int(before[name].get(labels, 0))

    assert more("processes_started", "Store") == 2
    assert more("processes_ended", "Store", "error") == 1
    assert more("processes_ended", "Store", "shutdown") == 1
    assert more("crashes", "Store", "Boom") == 1
    assert more("restarts", "Chief", "kid") == 1
    assert more("messages_handled", "Store") == 2
    assert more("call_timeouts", "Store") == 1
    assert more("dead_letters", "noproc") == 1
    assert more("mailbox_full", "Mailbox") == 1


async def test_handlers_are_measured_while_somebody_wants_it() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    quick = CollectorRegistry()
    prometheus.register(quick)
    assert not durations.are_measured()
    collectors = [prometheus.register(each, handlers=True) for each in registries]
    async with task_group() as group:
        pid = await Store.start(task_group=group)
        await call(pid, lambda: 1)
        await call(pid, lambda: anyio.sleep(0.002))
        before = values()["handler_duration_seconds"]["Store",]
        collectors[0].unregister()
        await call(pid, lambda: 1)
        after = values()["handler_duration_seconds"]["Store",]
        assert "duration" not in generate_latest(quick).decode()
        collectors[1].unregister()
        assert (durations.are_measured(), seam.wanted(~0)) == (False, 0)
    assert after.total == before.total + 1
    assert list(after.buckets) == list(BOUNDS)
    numbers = [*after.buckets.values(), after.total]
    assert numbers == sorted(numbers)
    short = max(bound for bound in BOUNDS if bound <= 0.001)
    assert after.total - after.buckets[short] >= 1  # the one that has slept
    assert after.seconds >= 0.002
    assert "handler_duration_seconds" not in values()


def test_durations_are_noted_by_class_and_forgotten() -> None:
    names = [f"Class{number}" for number in range(100)]
    for name in names * 2:
        note_duration(name, 2.0)
    assert all(sum(noted()[name][0]) == 2 for name in names)
    forget_durations()
    note_duration(names[-1], 3.0)
    assert {name: sum(numbers) for name, (numbers, _) in noted().items()} == {names[-1]: 1}
    assert noted()[names[-1]][1] == 3_000_000_000
    forget_durations()


async def test_there_are_not_too_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST", 2)
    async with task_group() as group:
        for number in range(4):
            kind: Any = type(f"Kind{number}", (Puppet,), {})
            await kind.start(task_group=group)
        found = values()["processes"]
    assert len(found) == 3
    assert found["_OTHER",] == 2


# prometheus-client


def test_what_is_told_can_be_parsed() -> None:
    registry = CollectorRegistry()
    prometheus.register(registry)
    send_nowait("nobody", 1)
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    told = {each.name: each for each in metrics.collect()}
    assert families.keys() == told.keys()
    for name, metric in told.items():
        assert (families[name].type, families[name].documentation) == (metric.kind, metric.text)
        assert {frozenset(each.labels) for each in families[name].samples} <= {
            frozenset(metric.labels)
        }
    letters = families["fauxtp_dead_letters"].samples
    assert [each.value for each in letters if each.labels["reason"] == "noproc"] == [
        told["fauxtp_dead_letters"].values["noproc",]
    ]


def test_a_label_that_utf_8_does_not_have_harms_no_other() -> None:
    registry = CollectorRegistry()
    prometheus.register(registry)
    seam.note(("restarted", "Chief", "kid \udcff"))
    text = generate_latest(registry).decode()
    assert r"kid \\udcff" in text
    assert "fauxtp_names" in text


def test_no_label_is_a_pid() -> None:
    labels = {label for metric in metrics.collect() for label in metric.labels}
    assert labels <= {"class", "how", "reason", "supervisor", "child", "error_type"}


def test_it_is_registered_once() -> None:
    registry = CollectorRegistry()
    collector = prometheus.register(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus.register(registry, handlers=True)
    assert not durations.are_measured()
    collector.unregister()
    with pytest.raises(KeyError):
        collector.unregister()
    assert generate_latest(registry) == b""
    prometheus.register(registry)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("one",), {}, "expected registry to be a registry of prometheus-client, got str"),
        ((), {"handlers": 1}, "expected handlers to be a bool, got int"),
    ],
)
def test_what_is_no_registry_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        prometheus.register(*arguments, **options)


def test_without_prometheus_client_it_says_what_it_needs(run: Run) -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from fauxtp.observe import metrics
metrics.collect()
try:
    from fauxtp.observe import prometheus
except ImportError as error:
    assert str(error) == (
        "fauxtp.observe.prometheus needs prometheus-client: install fauxtp[prometheus]"
    ), error
    assert error.name == "prometheus_client"
else:
    raise AssertionError
"""
    assert run(program).stderr == ""


# Prometheus itself


def installed(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here: apt-get install prometheus")
    return found


def test_promtool_finds_nothing_wrong() -> None:
    registry = CollectorRegistry()
    collector = prometheus.register(registry, handlers=True)
    try:
        anyio.run(_handle_one)
        text = generate_latest(registry)
    finally:
        collector.unregister()
    assert b"_bucket" in text
    done = subprocess.run(
        [installed("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def _handle_one() -> None:
    async with task_group() as group:
        await call(await Store.start(task_group=group), lambda: 1)


@contextlib.contextmanager
def scraped(place: Path, port: int) -> Iterator[str]:
    """Run a Prometheus that scrapes that port; yield where it can be asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    targets = {"targets": [f"127.0.0.1:{port}"]}
    job = {"job_name": "fauxtp", "scrape_interval": "100ms", "static_configs": [targets]}
    (place / "prometheus.yml").write_text(
        json.dumps({"scrape_configs": [{**job, "scrape_timeout": "100ms"}]})
    )
    child = subprocess.Popen(
        [
            installed("prometheus"),
            f"--config.file={place}/prometheus.yml",
            f"--storage.tsdb.path={place}/data",
            f"--web.listen-address=127.0.0.1:{own}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{own}"
    finally:
        child.kill()
        child.wait()


def asked(url: str, query: str) -> list[tuple[dict[str, str], float]]:
    """Return what Prometheus knows: nothing, while it has yet to start."""
    where = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(where, timeout=1) as answer:
            found = json.load(answer)["data"]["result"]
    except (OSError, ValueError):
        return []
    return [(each["metric"], float(each["value"][1])) for each in found]


@pytest.mark.once  # as it takes five seconds, for which Prometheus thinks about its targets
def test_a_prometheus_that_scrapes_knows_what_happens(tmp_path: Path) -> None:
    installed("prometheus")
    anyio.run(_see_what_it_knows, tmp_path)


async def _see_what_it_knows(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    collector = prometheus.register(registry, handlers=True)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with scraped(tmp_path, server.server_port) as url:
            async with task_group() as group:
                pid = await Store.start(task_group=group)
                for _ in range(3):
                    await call(pid, lambda: 1)
                expected = metrics_of(pid)
                for query, number in expected.items():
                    while [value for _, value in asked(url, query)] != [number]:
                        await anyio.sleep(0.02)
                (metric, _), *_ = asked(url, 'fauxtp_processes{class="Store"}')
                assert metric["class"] == "Store"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        collector.unregister()


def metrics_of(pid: object) -> dict[str, float]:
    """Return what Prometheus is to be asked, and what it is to answer."""
    found = values()
    return {
        'fauxtp_processes{class="Store"}': 1,
        'fauxtp_messages_handled_total{class="Store"}': found["messages_handled"]["Store",],
        'fauxtp_handler_duration_seconds_count{class="Store"}': found["handler_duration_seconds"][
            "Store",
        ].total,
        "fauxtp_names": 0,
    }
