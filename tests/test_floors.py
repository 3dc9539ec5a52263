"""Imports go one way: a folder imports only from those below it, and no file is in a circle.

Those for types, those in functions, and those of Cython count, too.
"""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fauxtp

PACKAGE = Path(fauxtp.__file__).parent
FLOORS = [  # from the ground up; those on one floor do not know each other
    {"_base"},
    {"_registry"},
    {"registry"},
    {"errors"},
    {"_loops"},
    {"_core"},
    {"_messaging", "_hosting"},
    {"_actors"},
    {"_supervision"},
    {"observe"},
    {"_program"},
    {"cluster.errors"},
    {"cluster._engines", "cluster._wire"},
    {"cluster._nodes"},
    {"cluster._keys"},
    {"cluster._messages", "cluster._names"},
    {"cluster._groups"},
    {"cluster._shards"},
    {"cluster", "cluster._looking"},
    {"testing"},
    {"__init__"},
    {"_commands"},
    {"__main__"},
]
ROOMS = {place for floor in FLOORS for place in floor if "." in place}
IMPORT = re.compile(
    r"^ *from (fauxtp[.\w]*) c?import ([^(\n]+|\([^)]+\))|^ *c?import (fauxtp[.\w]+)", re.MULTILINE
)
FILES = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}]


def home_of(name: str) -> str:
    """Return in which folder a module is, or which of those beside the folders it is."""
    names = name.split(".")
    inner = ".".join(names[:2])
    return inner if inner in ROOMS else names[0].removesuffix("_py")


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


KNOWN = {module(path).removesuffix(".__init__") for path in FILES}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports from."""
    found = set()
    for origin, names, plain in IMPORT.findall(path.read_text("utf-8")):
        base = (origin or plain).removeprefix("fauxtp").strip(".")
        parts = {f"{base}.{name}".strip(".") for name in re.findall(r"\w+", names)}
        found |= (parts & KNOWN) or {base or "__init__"}
    return found - {module(path)}


def test_no_file_is_in_a_circle() -> None:
    below: dict[str, set[str]] = {}
    for path in FILES:
        below.setdefault(module(path), set()).update(imports(path))
    TopologicalSorter(below).prepare()  # raises CycleError, which tells the circle


def test_there_is_a_floor_for_all() -> None:
    assert set(map(home_of, KNOWN)) == set.union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_imports_from_its_own_folder_and_from_below(path: Path) -> None:
    home = home_of(module(path))
    floor = next(number for number, floor in enumerate(FLOORS) if home in floor)
    allowed = {home}.union(*FLOORS[:floor])
    assert set(map(home_of, imports(path))) <= allowed


def test_files_and_functions_are_short() -> None:
    """No file is over 400 lines, no function over 50, and few are over 25."""
    lengths = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert path.stem == "_registry_py" or text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lengths[path, node.lineno] = node.end_lineno - node.lineno + 1
    assert max(lengths.values()) <= 50, max(lengths, key=lengths.__getitem__)
    assert sorted(lengths.values())[len(lengths) * 95 // 100] <= 25
