"""The page in a real browser: what people see of a program that has planted faults."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
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
from fauxtp.observe import serve

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
        await self.waits_here()

    async def waits_here(self) -> None:
        await anyio.sleep_forever()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await call(request, "anything", timeout=None), state


class Session(GenServer[Any, Any]):
    pass


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
        waits = threading.Thread(target=ask, args=("waiting", "stuck"))
        waits.start()
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

                names = page.locator(".chart .dim").all_inner_texts()
                assert "longest mailbox" in names
                chart = page.locator(".chart polyline").first
                three = re.compile(r"(\S+ ){2}")
                api.expect(chart).to_have_attribute("points", three)
        finally:
            elsewhere(exit, "stuck", "kill")
            waits.join()


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
        page.click("#show-table")
        api.expect(page.locator("tbody tr")).to_have_count(1)
        page.fill("#find", "nobody at all")
        api.expect(page.locator("tbody tr")).to_have_count(0)


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
            boxes = page.locator("#tree g")
            assert boxes.count() < 50
            fold = page.locator("#tree g.fold")
            api.expect(fold).to_contain_text(f"{MANY - 8:,} more")
            fold.click()
            api.expect(fold).to_contain_text(f"{MANY - 100:,} more")
            assert 100 < boxes.count() < 200
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
