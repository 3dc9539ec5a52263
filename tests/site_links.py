"""Whether each local link of the site leads somewhere: `site_links PLACE`; `make docs` asks it."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page has that can be linked to, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in {"href", "src"} and value:
                self.links.add(value)


def dead_links(place: Path) -> list[str]:
    """Return the local links that lead nowhere, each with the page that has it."""
    pages = {path.resolve(): Page(path) for path in place.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = pages.get(target)
            if not target.is_file() or (there and parts.fragment not in {"", *there.ids}):
                dead.append(f"{path.relative_to(place.resolve())}: {link}")
    return dead


def told_of_this_machine(place: Path) -> list[str]:
    """Return the pages that name the folder in which they were made."""
    here = str(Path.cwd())
    return [
        f"{path.relative_to(place)}: {here}"
        for path in sorted(place.rglob("*.html"))
        if here in path.read_text("utf-8")
    ]


if __name__ == "__main__":
    found = dead_links(Path(sys.argv[1])) + told_of_this_machine(Path(sys.argv[1]))
    sys.exit("\n".join(["what should not be there:", *found]) if found else 0)
