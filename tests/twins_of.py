"""Both forms of what is there twice: in Python, and compiled.

The registry has a module for each. Elsewhere the Python stands in the module itself, and its
last lines take the compiled names over it. So to have the Python where the other is in use, the
module is executed once more, without these lines and under another name.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import fauxtp

__all__ = ["FORMS", "MODULES", "form_of", "names_of"]

MODULES = (
    "_base.coroutines",
    "_base.durations",
    "_base.ears",
    "_base.events",
    "_base.prefixed_names",
    "_base.stack",
    "_core.calls",
    "_hosting.direct",
    "_hosting.turns",
    "_loops.alarm_heap",
    "_messaging.delivery",
    "observe.event",
)
"""Those that are there twice, but for the registry."""

# Under `never` there is one form. Else there are two, and a missing one is a failure.
FORMS = ["python"] if os.environ.get("FAUXTP_EXTENSIONS") == "never" else ["python", "compiled"]

LAST_LINES = re.compile(
    r'\n\nif not TYPE_CHECKING and implementation == "cython":\n'
    r"    from fauxtp\.([\w.]+) import ([\w, ]+|\([\w,\s]+\))\n\Z"
)


def form_of(name: str, form: str) -> Any:
    """Return one of the forms of a module: `form_of("_core.calls", "compiled")`."""
    if name == "registry":
        return importlib.import_module(f"fauxtp._{name}{'_py' if form == 'python' else ''}")
    return in_python(name) if form == "python" else compiled(name)


@cache
def in_python(name: str) -> ModuleType:
    """Execute a module without its last lines."""
    path = path_of(name)
    source = path.read_text("utf-8")
    end = last_lines(name).start()
    module = ModuleType(f"{name.replace('.', '_')}_in_python")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where pickle finds what it defines
    exec(compile(source[:end], path, "exec"), vars(module))
    return module


def compiled(name: str) -> ModuleType:
    """Import what the last lines of a module take their names from."""
    return importlib.import_module(f"fauxtp.{last_lines(name)[1]}")


def names_of(name: str) -> list[str]:
    """Return what of a module is there twice."""
    return re.findall(r"\w+", last_lines(name)[2])


def last_lines(name: str) -> re.Match[str]:
    found = LAST_LINES.search(path_of(name).read_text("utf-8"))
    assert found is not None, f"{name} takes no compiled names"
    return found


def path_of(name: str) -> Path:
    return Path(fauxtp.__file__).parent / f"{name.replace('.', '/')}.py"
