"""What the pages of the reference show, and what there is to be shown."""

from __future__ import annotations

import re
from importlib import import_module
from typing import NamedTuple

from pages import ROOT

import fauxtp

REFERENCE = ROOT / "docs" / "reference"
MODULES = (
    *("fauxtp", "fauxtp.errors", "fauxtp.registry", "fauxtp.testing"),
    *("fauxtp.observe", "fauxtp.observe.events", "fauxtp.observe.metrics"),
    *("fauxtp.observe.opentelemetry", "fauxtp.observe.prometheus", "fauxtp.observe.reports"),
    "fauxtp.cluster",
)
DIRECTIVE = re.compile(
    r"^\.\. (?:currentmodule:: (?P<module>[\w.]+)"
    r"|(?:auto\w+|py:\w+):: (?P<name>\w+)(?P<hidden>\(\))?(?P<options>(?:\n(?:   .*)?)*))",
    re.MULTILINE,
)


class Shown(NamedTuple):
    """A public name on a page."""

    name: str  # with its module
    members: frozenset[str]
    has_constructor: bool  # whether its arguments are shown


def shown() -> list[Shown]:
    """Return what the pages show; nothing where there are none, as beside an installation."""
    found = []
    for page in sorted(REFERENCE.glob("*.md")):
        module = ""
        for match in DIRECTIVE.finditer(page.read_text("utf-8")):
            module = match["module"] or module
            if match["name"]:
                options = match["options"]
                members = re.findall(r":members: (.*)", options)
                nested = re.findall(r"^   \.\. auto\w+:: (\w+)", options, re.MULTILINE)
                listed = frozenset([*nested, *(members[0].split(", ") if members else ())])
                found.append(Shown(f"{module}.{match['name']}", listed, not match["hidden"]))
    return found


def public() -> dict[str, object]:
    """Return what modules export: by where users find it, each once."""
    found: dict[str, object] = {}
    for home in MODULES:
        module = import_module(home)
        for name in module.__all__:
            thing = getattr(module, name)
            if home == "fauxtp" or getattr(fauxtp, name, None) is not thing:
                found[f"{home}.{name}"] = thing
    return found
