"""Make the pictures of the site, of a shop with planted faults: `python tests/pictures.py`."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import redirect_stdout
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
from playwright.sync_api import sync_playwright

from fauxtp import (
    ChildSpec,
    GenServer,
    ProcessExited,
    ReceiveTimeout,
    RestartType,
    Supervisor,
    call,
    call_blocking,
    cast_nowait,
    in_thread,
)
from fauxtp import __main__ as commands
from fauxtp._commands.client import viewer_of
from fauxtp._commands.web import PageServer
from fauxtp.observe import serve
from fauxtp.observe.plain_text import cut

PLACE = Path(__file__).parent.parent / "docs" / "_static"
SECONDS = 20
WIDTH = 110  # characters
TERMINAL = """<pre style="display: inline-block; margin: 0; padding: 14px 18px;
background: #1d1f21; color: #d8dad6; font: 14px/1.35 monospace">{}</pre>"""


class Worker(GenServer[Any, Any]):
    async def handle_cast(self, request: Any, state: Any) -> Any:
        if isinstance(request, str):
            raise ConnectionError(request)
        await anyio.sleep(request)
        return state

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "totals":
            return await self.ask_the_database(), state
        return await call("database", "totals", timeout=None), state

    async def ask_the_database(self) -> int:
        await anyio.sleep_forever()
        return 0


class Orders(Supervisor):
    max_restarts = 100

    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec(name, Worker, register_as=f"orders:{name}", shutdown=0)
            for name in ("new", "paid", "sent")
        ]


class Reports(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec(name, Worker, register_as=name, shutdown=0) for name in ("database", "daily")
        ]


class Sessions(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec(f"{number}", GenServer, restart=RestartType.TEMPORARY) for number in range(4)
        ]


class Shop(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec("orders", Orders, register_as="orders"),
            ChildSpec("reports", Reports),
            ChildSpec("sessions", Sessions, register_as="sessions"),
        ]


def ask(whom: str, request: str) -> None:
    try:
        call_blocking(whom, request, SECONDS * 3)
    except (ProcessExited, ReceiveTimeout):
        pass


def keep_busy(done: threading.Event) -> None:
    number = 0
    while not done.wait(0.05):
        number += 1
        cast_nowait("orders:new", 0.04)
        if number % 3:
            cast_nowait("orders:paid", 0.11)
        if number % 40 == 0:
            cast_nowait("orders:sent", "ship")


def photograph(url: str) -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.wait_for_timeout(SECONDS * 1000)
        page.locator("#tree g", has_text="Worker 'database'").click()
        page.wait_for_selector("#stack")
        page.screenshot(path=PLACE / "page.png")
        terminal = chromium.new_page(viewport={"width": 1280, "height": 800})
        terminal.set_content(TERMINAL.format(escape(shown_by_top())))
        terminal.locator("pre").screenshot(path=PLACE / "top.png")
        chromium.close()


def shown_by_top() -> str:
    """Return what `top` shows in a terminal."""
    screen = StringIO()
    with redirect_stdout(screen):
        commands.main(("top", "--once", "--most", "9", "--pid", str(os.getpid())))
    return "\n".join(cut(line, WIDTH) for line in screen.getvalue().splitlines())


def main() -> None:
    done = threading.Event()
    sys.executable, sys.argv[0] = "python", "shop.py"
    with (
        in_thread(Shop, register_as="shop"),
        serve(),
        PageServer(lambda: viewer_of(os.getpid())) as server,
    ):
        for work, arguments in (
            (ask, ("database", "totals")),
            (ask, ("daily", "report")),
            (keep_busy, (done,)),
            (server.serve_forever, ()),
        ):
            threading.Thread(target=work, args=arguments, daemon=True).start()
        photographer = threading.Thread(target=photograph, args=(server.url,))
        photographer.start()
        photographer.join()
        done.set()
        server.shutdown()


if __name__ == "__main__":
    main()
