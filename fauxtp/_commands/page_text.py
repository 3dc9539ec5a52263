"""The text of the page: one file for the browser, made of those beside this one."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["page_text"]

SCRIPTS: Final = (
    "page.js",
    "page_charts.js",
    "page_lately.js",
    "page_tree.js",
    "page_table.js",
    "page_process.js",
    "page_start.js",
)
"""What its script is made of, in this order."""


@cache
def page_text() -> tuple[bytes, str]:
    """Return the page, and what a browser may do with it: run its own script, and no other."""
    text = _text("page.html")
    parts = {"style": _text("page.css"), "script": "".join(map(_text, SCRIPTS))}
    hashes = {}
    for tag, inside in parts.items():
        text = text.replace(f"<{tag}></{tag}>", f"<{tag}>{inside}</{tag}>")
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        hashes[tag] = f"'sha256-{digest}'"
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']};"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
