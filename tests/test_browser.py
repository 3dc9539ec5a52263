"""The page in a real browser: what people see of a program that has planted faults."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import until

from fauxtp import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    ProcessExited,
    RestartType,
    Supervisor,
    call,
    call_blocking,
    cast_nowait,
    exit,
    in_thread,
    process_info,
    send_nowait,
    start_child,
    whereis,
)
from fauxtp._commands.client import Unreachable, viewer_of
from fauxtp._commands.web import PageServer
from fauxtp.observe import events, serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
api = pytest.importorskip("playwright.sync_api", reason="there is no playwright")

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
    pytest.mark.usefixtures("place"),
    pytest.mark.once,
]

EVIL = "<img src=x onerror=alert(1)>"
MANY = 10_000
REFRESHES = 3.5  # seconds in which the culprit has to be on top


class Store(GenServer[Any, Any]):
    async def init(self) -> Any:
        return {"user": "anna", "password": "hunter2"}

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "crash":
            raise ValueError(request)
        await self.waits_here()

    async def waits_here(self) -> None:
        await anyio.sleep_forever()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await call(request, "anything", timeout=None), state


class Session(GenServer[Any, Any]):
    async def handle_cast(self, request: Any, state: Any) -> Any:
        await anyio.sleep_forever()


class Filler(GenServer[Any, Any]):
    """Starts as many sessions as it is asked for."""

    async def handle_call(self, request: int, from_: Any, state: Any) -> Any:
        spec = ChildSpec("session", Session, restart=RestartType.TEMPORARY)
        for _ in range(request):
            await start_child("sessions", spec)
        return "done", state


class Shop(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        stores = [
            ChildSpec(name, Store, register_as=name, shutdown=0.01)
            for name in ("stuck", "flooded", "waiting", EVIL)
        ]
        return [
            *stores,
            ChildSpec("sessions", DynamicSupervisor, register_as="sessions"),
            ChildSpec("filler", Filler, register_as="filler"),
        ]


def elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do something in another thread: in this one an event loop of playwright's runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


@contextmanager
def served() -> Iterator[PageServer]:
    shop = in_thread(Shop, register_as="shop")
    elsewhere(shop.start)
    try:
        with (
            serve(allow={"state", "exit"}),
            PageServer(lambda: viewer_of(os.getpid())) as server,
        ):
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()
    finally:
        elsewhere(shop.stop)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(browser: Any, server: PageServer, **how: Any) -> Iterator[Any]:
    """Open the page; nothing may go wrong in it, and nothing may be asked of anybody else."""
    context = browser.new_context(**how)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = f"http://{server.host}/"

    def is_asked(request: Any) -> None:
        if not request.url.startswith(own):
            wrong.append(request.url)

    page.on("request", is_asked)
    page.goto(server.url)
    page.wait_for_selector("#tree g")
    yield page
    context.close()
    assert wrong == []


def plant() -> None:
    """Let one hang, one have a long mailbox, and one wait for the first."""
    cast_nowait("stuck", "hang")
    until(lambda: process_info("stuck").handling is not None)
    cast_nowait("flooded", "hang")
    for number in range(40):
        send_nowait("flooded", number)


def test_the_culprits_are_on_top(browser: Any) -> None:
    with served() as server:
        elsewhere(plant)
        asks = threading.Thread(target=ask, args=("waiting", "stuck"))
        asks.start()
        try:
            with opened(browser, server) as page:
                page.click("#show-table")
                first = page.locator("tbody tr").first
                api.expect(first).to_contain_text("Store 'flooded'", timeout=REFRESHES * 1000)
                api.expect(first.locator("td").first).to_have_text("40")
                page.select_option("#by", "handler")
                api.expect(first).to_contain_text("Store 'stuck'", timeout=REFRESHES * 1000)
                api.expect(page.locator("tr", has_text="Store 'waiting'")).to_contain_text("stuck")

                page.click("#show-tree")
                api.expect(page.locator("#tree path.call")).to_have_count(1)
                box = page.locator("#tree g", has_text="Store 'flooded'")
                api.expect(box.locator(".count")).to_have_text("40")
                page.locator("#tree g", has_text="Store 'stuck'").click()
                api.expect(page.locator("#stack")).to_contain_text("in waits_here")
                api.expect(page.locator("#one")).to_contain_text("Cast 'hang' for")

                waits = page.locator("#tree g", has_text="Store 'waiting'")
                api.expect(waits.first).to_have_class(re.compile("slow|stuck"))
                api.expect(waits.locator(".time")).to_have_text(re.compile(r"^\d.* s$"))
        finally:
            elsewhere(exit, "stuck", "kill")
            asks.join()


def test_charts_have_a_scale_and_what_is_not_known_is_no_nought(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        page.click("#pause")  # after the first frame, most often
        names = page.locator(".chart .name").all_inner_texts()
        assert "longest mailbox" in names
        frame = page.evaluate("frame")
        assert frame["past"]["charts"][-1]["values"][0] is None
        page.evaluate("""() => {
            frame.past = {ages: [250, 249, 248, 2, 1, 0], begins: [0, 3], charts: [
                {name: "longest in a handler", unit: "s", values: [0, 10, 317, 1, 2, 317]},
                {name: "handled", unit: "/s", values: [null, 2, 4, null, 8, null]}]};
            showCharts();
        }""")
        first, second = page.locator(".chart").all()
        assert first.locator("b").inner_text() == "5 min 17 s"
        assert first.locator(".scale span").all_inner_texts() == ["5 min 17 s", "0 s"]
        assert first.locator(".span span").all_inner_texts() == ["4 min 10 s ago", "now"]
        assert second.locator("b").inner_text() == "\N{EN DASH}"
        assert second.locator(".scale span").all_inner_texts() == ["8 /s", "0 /s"]
        lines = [one.get_attribute("points").split() for one in first.locator("polyline").all()]
        assert [len(line) for line in lines] == [3, 3]  # and a gap between them
        places = [[float(point.split(",")[0]) for point in line] for line in lines]
        assert places == [[0, 1.2, 2.4], [297.6, 298.8, 300]]
        tops = page.evaluate("[...document.querySelectorAll('.plot')].map((it) => it.offsetTop)")
        assert len({*tops}) == 1


def test_it_says_how_old_it_is(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        age = page.locator("#updated")
        api.expect(age).to_have_text(re.compile(r"^updated 0 s ago, took \d\.\d s$"))
        page.click("#pause")
        api.expect(age).to_have_text(re.compile(r"^updated [1-9] s ago, .*; paused$"))


def test_what_goes_wrong_is_told_with_its_cause(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        lately = page.locator("#lately")
        api.expect(lately).to_contain_text("nothing went wrong since")
        until(lambda: events._listeners)
        page.locator("#tree g", has_text="Store 'stuck'").click()
        api.expect(page.locator("#one")).to_contain_text("running")
        page.click("#pause")  # so that its box is the one of who has ended
        crash(3)
        page.click("#pause")
        line = lately.locator(".line", has_text="crashed")
        api.expect(line).to_contain_text("× 3")
        api.expect(line).to_contain_text("Store 'stuck'ValueError, as it handled Cast 'crash'")
        api.expect(lately.locator(".line", has_text="restarted")).to_contain_text("by Shop 'shop'")
        panel = page.locator("#one")
        api.expect(panel.locator("#ended")).to_contain_text("ended; its successor: Store 'stuck'")
        assert "running" not in panel.inner_text()
        assert panel.locator(".past").count() == 1
        badge = page.locator("#tree g.crashed", has_text="Store 'stuck'").locator(".restarts text")
        api.expect(badge).to_have_text("↻ 3")
        panel.locator("#ended button").click()
        api.expect(panel).to_contain_text("running")
        api.expect(panel.locator("#before")).to_contain_text("ValueError")
        page.click("#show-table")
        page.select_option("#by", "restarts")
        cells = page.locator("tbody tr").first.locator("td")
        api.expect(cells.nth(5)).to_contain_text("Store 'stuck'")
        assert cells.nth(2).inner_text() == "3"
        chief = page.locator("tbody tr", has_text="Shop 'shop'")
        api.expect(chief).to_contain_text("has restarted its children 3 times")
        assert chief.locator("td").nth(2).inner_text() == "0"


def test_who_waits_to_be_started_again_is_there(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        gone = {"pid": 7, "class": "Store", "names": ["away"], "supervisor": 1}
        chief = server.snapshots.rows()[0]["pid"]
        event = {"pid": 7, "labels": ["Store", "KeyError"], "details": {}, "others": []}
        process = {**gone, "pid": 10**9, "supervisor": chief, "handling": "'x'"}
        told = {**event, "at": time.time(), "kind": "crashed", "process": process}
        server.snapshots.lately.hear([told, told])
        box = page.locator("#tree g.ended", has_text="Store 'away'")
        api.expect(box.locator(".restarts text")).to_have_text("↻ 2")
        page.click("#show-table")
        line = page.locator("tr", has_text="Store 'away'")
        api.expect(line).to_contain_text("not there just now: crashed 2 times lately")
        line.click()
        api.expect(page.locator("#ended")).to_have_text("ended; nobody has its name now")
        api.expect(page.locator("#before")).to_contain_text("KeyError, as it handled 'x'")


def crash(times: int) -> None:
    for _ in range(times):
        before = whereis("stuck")
        elsewhere(cast_nowait, "stuck", "crash")
        until(lambda before=before: whereis("stuck") not in {None, before})  # type: ignore[misc]


def test_calls_are_seen_on_top_and_end_at_the_borders_of_boxes(browser: Any) -> None:
    with served() as server:
        elsewhere(plant)
        asks = [threading.Thread(target=ask, args=("waiting", "stuck"))]
        asks[0].start()
        try:
            with opened(browser, server) as page:
                api.expect(page.locator("#tree path.call")).to_have_count(1)
                order = page.evaluate(
                    "[...document.querySelector('#tree svg').children]"
                    ".map((it) => it.classList.contains('call') ? 'call' : it.tagName)"
                )
                assert order[-1] == "call"
                assert "g" in order
                assert "g" not in order[order.index("call") :]
                page.locator("#tree g", has_text="Store 'waiting'").click()
                api.expect(page.locator("#tree svg > :last-child")).to_have_class("call own")
        finally:
            elsewhere(exit, "stuck", "kill")
            asks[0].join()


def ask(whom: str, request: Any) -> None:
    with pytest.raises(ProcessExited, match="exited"):
        call_blocking(whom, request, timeout=None)


def test_names_are_text_and_states_have_no_secrets(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        page.locator("#tree g", has_text=EVIL[:15]).click()
        api.expect(page.locator("#one h2").first).to_contain_text(EVIL)
        assert page.locator("img").count() == 0
        page.get_by_text("Show the state").click()
        api.expect(page.locator("#state")).to_contain_text("'password': <hidden>")
        assert "hunter2" not in page.content()
        page.click("#show-table")
        api.expect(page.locator("tbody")).to_contain_text(EVIL)
        assert page.locator("img").count() == 0


def test_what_is_looked_for_is_shown(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        page.fill("#find", "FLOOD")
        api.expect(page.locator("#tree g.here")).to_have_count(1)
        api.expect(page.locator("#found")).to_have_text("1 found")
        page.click("#show-table")
        api.expect(page.locator("tbody tr")).to_have_count(1)
        page.fill("#find", "nobody at all")
        api.expect(page.locator("tbody tr")).to_have_count(0)
        api.expect(page.locator("#found")).to_have_text("nothing found")
        page.click("#show-tree")
        api.expect(page.locator("#found")).to_be_visible()


def test_an_action_has_to_be_confirmed_by_the_name(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        before = whereis("stuck")
        page.locator("#tree g", has_text="Store 'stuck'").click()
        asked: list[str] = []
        typed = ["no", "stuck"]

        def answer(dialog: Any) -> None:
            asked.append(dialog.message)
            dialog.accept(typed[len(asked) - 1])

        page.on("dialog", answer)
        button = page.get_by_role("button", name="exit", exact=True)
        button.click()
        assert whereis("stuck") is before
        button.click()
        api.expect(page.locator("#said")).to_contain_text("asked to end")
        until(lambda: whereis("stuck") not in {None, before})
        assert asked == [f"exit Store 'stuck' {before!r}? Type stuck to do so."] * 2


def test_ten_thousand_processes_are_folded_and_can_be_opened(browser: Any) -> None:
    with served() as server:
        assert elsewhere(call_blocking, "filler", MANY, 60) == "done"
        elsewhere(cast_nowait, "stuck", "hang")
        with opened(browser, server) as page:
            boxes = page.locator("#tree g[data-id]")
            assert boxes.count() < 20
            fold = page.locator("#tree g.fold")
            api.expect(fold).to_contain_text(f"Session × {MANY:,}")
            fold.click()
            api.expect(fold).to_contain_text(f"Session × {MANY - 100:,}")
            assert 100 < boxes.count() < 200
            fold.click()
            api.expect(fold).to_contain_text(f"Session × {MANY:,}")
            page.locator("#tree g", has_text="'sessions'").click()
            api.expect(page.locator("#kinds")).to_have_text(f"Session × {MANY:,}")
            api.expect(page.locator("#one")).to_contain_text(f"and {MANY - 30:,} more")
            api.expect(page.locator("#children button", has_text="Session <PID")).to_have_count(30)
            page.fill("#find", "session")
            api.expect(page.locator("#found")).to_have_text(
                f"{MANY + 1:,} found, 50 of them drawn"
            )
            page.fill("#find", "")
            page.click("#show-table")
            page.select_option("#by", "handler")
            first = page.locator("tbody tr").first
            api.expect(first).to_contain_text("Store 'stuck'", timeout=REFRESHES * 1000)
            api.expect(page.locator("#table p")).to_contain_text(f"the first 100 of {MANY + 7:,}")


def test_the_picture_is_saved_as_a_file(browser: Any, place: Path) -> None:
    with served() as server, opened(browser, server) as page:
        with page.expect_download() as saved:
            page.click("#save")
        assert saved.value.suggested_filename == "processes.svg"
        saved.value.save_as(place / "it.svg")
    text = (place / "it.svg").read_text("utf-8")
    assert text.startswith("<svg ")
    assert "Store" in text


def test_on_a_phone_the_tree_comes_first(browser: Any) -> None:
    with (
        served() as server,
        opened(browser, server, viewport={"width": 390, "height": 844}) as page,
    ):
        assert not page.locator("#charts").is_visible()
        page.locator("#tree g", has_text="Store 'stuck'").click()
        page.wait_for_selector("#stack")
        tops = page.evaluate(
            "['work', 'one', 'lately-box', 'charts-box']"
            ".map((id) => document.getElementById(id).getBoundingClientRect().top)"
        )
        assert tops == sorted(tops)
        page.locator("#charts-title").click()
        assert page.locator(".chart").first.is_visible()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_into_any_window_and_is_dark_where_that_is_wanted(
    browser: Any, width: int, dark: bool
) -> None:
    how = {
        "viewport": {"width": width, "height": 800},
        "color_scheme": "dark" if dark else "light",
    }
    with served() as server, opened(browser, server, **how) as page:
        for table in ("#show-tree", "#show-table"):
            page.click(table)
            page.locator("#tree g, tbody tr").locator("visible=true").first.click()
            page.wait_for_selector("#stack")
            sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert sizes[0] <= sizes[1]
        red, green, blue = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (red + green + blue < 200) is dark
        contrast = page.evaluate(
            "getComputedStyle(document.querySelector('tbody td')).color.match(/\\d+/g).map(Number)"
        )
        assert (sum(contrast) > 500) is dark


def test_the_end_of_the_program_is_said(browser: Any) -> None:
    with served() as server, opened(browser, server) as page:
        server.snapshots._look = gone
        server.snapshots._drop()
        api.expect(page.locator("#said")).to_contain_text("does not answer", timeout=10_000)


def gone(*_: Any) -> Any:
    raise Unreachable("the program does not answer: it has ended")
