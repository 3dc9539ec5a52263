"""What a module exports: at run time, to mypy and to pyright it is what its `__all__` says.

They are told in different ways: what many programs never need is imported when it is asked for,
and which of the two registries is in use, no type checker knows. Where there is none, none is
asked; `make lint` asks both.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import PATIENCE

import fauxtp

PUBLIC = ["fauxtp", "fauxtp.errors", "fauxtp.registry", "fauxtp.testing"]
NOBODYS = "exported_by_nobody"
ROOT = Path(fauxtp.__file__).parent.parent

pytestmark = pytest.mark.once


def names(module: str) -> list[str]:
    """Return what might be exported: all that there is in a module, in some way."""
    found = import_module(module)
    there = {*dir(found), *found.__all__}
    return sorted(name for name in there if name.isidentifier() and not name.startswith("__"))


def at_run_time(_: Path) -> dict[str, list[str]]:
    """Return what the star imports of a program bring it."""
    found = {}
    for module in PUBLIC:
        namespace: dict[str, object] = {}
        exec(f"from {module} import *", namespace)
        found[module] = sorted(namespace.keys() - {"__builtins__"})
    return found


def to_checker(place: Path, checker: str, *arguments: str) -> dict[str, list[str]]:
    """Return what is left of all names after what a type checker says about such programs."""
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    programs = {f"star_of_{module.replace('.', '_')}": module for module in PUBLIC}
    for program, module in programs.items():
        lines = [f"from {module} import *", NOBODYS, *names(module)]
        (place / f"{program}.py").write_text("\n".join(lines), "utf-8")
    child = subprocess.run(
        [sys.executable, "-m", checker, *arguments, *(f"{program}.py" for program in programs)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # where it is, whatever installed it
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    missing = re.findall(r'(\w+)\.py:[\d:]+(?: -)? error: (?:Name )?"(\w+)" is not', child.stdout)
    assert [name for _, name in missing].count(NOBODYS) == len(PUBLIC), child.stdout + child.stderr
    return {
        module: [name for name in names(module) if (program, name) not in missing]
        for program, module in programs.items()
    }


def to_mypy(place: Path) -> dict[str, list[str]]:
    return to_checker(place, "mypy")


def to_pyright(place: Path) -> dict[str, list[str]]:
    return to_checker(place, "pyright", "--pythonpath", sys.executable)


@pytest.mark.parametrize("exports", [at_run_time, to_mypy, to_pyright])
def test_what_is_exported_is_what_is_in_all(
    exports: Callable[[Path], dict[str, list[str]]], tmp_path: Path
) -> None:
    said = {module: sorted(import_module(module).__all__) for module in PUBLIC}
    assert exports(tmp_path) == said


def test_public_classes_say_that_they_are_from_here() -> None:
    classes = {name: getattr(fauxtp, name) for name in fauxtp.__all__}
    said = {
        name: kind.__module__
        for name, kind in classes.items()
        if isinstance(kind, type) and kind.__name__ == name
    }
    assert len(said) > 30
    assert set(said.values()) == {"fauxtp"}, said
    for name in said:
        assert pickle.loads(pickle.dumps(classes[name])) is classes[name]
