"""All extensions are built or none, and a wheel without them is for every platform."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fauxtp
from fauxtp._base.implementation import EXTENSIONS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(fauxtp.__file__).parent

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="these are not the sources"),
]

ASIDE = "say_so() { echo begun; sleep 0.1; echo done aside; $1; }\naside say_so"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"{ASIDE} true; joined; echo on", 0),
        (f"{ASIDE} false; joined; echo on", 1),
        (f"{ASIDE} true; false; joined; echo on", 1),
        (f"{ASIDE} false; (exit 3); joined; echo on", 3),
    ],
    ids=["it-passes", "it-fails", "other-fails", "both-fail"],
)
@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="this is no checkout")
def test_what_ci_does_aside_says_what_it_did_once(tmp_path: Path, script: str, code: int) -> None:
    text = (ROOT / ".ci" / "run").read_text()
    its = text[text.index("aside() {") : text.index("\ntools\n")]
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{its}\n{script}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    said = "begun\ndone aside\n" + ("on\n" if code == 0 else "")
    assert (done.stdout, done.stderr, done.returncode) == (said, "", code)
    assert list(tmp_path.iterdir()) == []


STUB = """# cython: language_level=3
from fauxtp._base._build cimport fauxtp_build

cpdef object _build():
    return fauxtp_build()
"""
BROKEN = 'cdef extern from *:\n    """\n    #error broken\n    """\n'


def project(place: Path, version: str = "1.2.3", broken: str | None = None) -> Path:
    """Make a project that is built as fauxtp is, of extensions that take no time to compile."""
    package = place / "fauxtp"
    for folder in (".", *(name.rpartition(".")[0] for name in EXTENSIONS)):
        (package / folder).mkdir(parents=True, exist_ok=True)
        (package / folder / "__init__.py").write_text("")
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    text = text.replace(f'version = "{fauxtp.__version__}"', f'version = "{version}"')
    (place / "pyproject.toml").write_text(text, "utf-8")
    shutil.copy(PACKAGE / "_base" / "_build.pxd", package / "_base")
    for name in EXTENSIONS:
        path = package / f"{name.replace('.', '/')}.pyx"
        path.write_text(STUB + (BROKEN if name == broken else ""))
    return place


def setup(place: Path, *command: str, word: str = "auto", **environment: str) -> str:
    """Run `setup.py`; return what it said, and how it ended."""
    done = subprocess.run(
        [sys.executable, "setup.py", *command],
        cwd=place,
        env={**os.environ, "CFLAGS": "-O0", "FAUXTP_EXTENSIONS": word, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.stdout}\n{done.stderr}\n{done.returncode}"


def wheel(place: Path, **environment: str) -> tuple[str, list[str]]:
    """Build a wheel; return its tag, and which extensions are in it."""
    said = setup(place, "bdist_wheel", **environment)
    assert said.endswith("\n0"), said
    (path,) = place.glob("dist/*.whl")
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        (about,) = [name for name in names if name.endswith(".dist-info/WHEEL")]
        pure = "Root-Is-Purelib: true" in file.read(about).decode()
    assert "fauxtp/__init__.py" in names
    tag = path.stem.split("-", 2)[2]
    assert pure == tag.endswith("none-any")
    extensions = [name for name in names if name.endswith((".so", ".pyd"))]
    found = re.findall(r"fauxtp/([\w/]+)\.", " ".join(extensions))
    return tag, sorted(name.replace("/", ".") for name in found)


def test_without_a_compiler_the_wheel_is_for_every_platform(tmp_path: Path) -> None:
    assert wheel(project(tmp_path), CC="false") == ("py3-none-any", [])


def test_never_builds_a_wheel_for_every_platform(tmp_path: Path) -> None:
    assert wheel(project(tmp_path), word="never") == ("py3-none-any", [])


def test_without_a_compiler_always_fails(tmp_path: Path) -> None:
    said = setup(project(tmp_path), "bdist_wheel", word="always", CC="false")
    assert not said.endswith("\n0")
    assert not list(tmp_path.glob("dist/*"))


def test_what_can_be_built_is_built_if_all_can(tmp_path: Path, compiled: object) -> None:
    tag, extensions = wheel(project(tmp_path))
    assert not tag.endswith("none-any")
    assert extensions == sorted(EXTENSIONS)


def test_where_one_cannot_be_built_there_is_none(tmp_path: Path, compiled: object) -> None:
    assert wheel(project(tmp_path, broken="_base._native")) == ("py3-none-any", [])


def builds(place: Path) -> set[str]:
    """Return of which builds the extensions are that lie in the sources."""
    found = [path for path in (place / "fauxtp").rglob("*") if path.suffix in {".so", ".pyd"}]
    return {re.findall(rb"1\.2\.\d:[0-9a-f]{8}", path.read_bytes())[0].decode() for path in found}


def test_in_the_sources_all_are_of_one_build(tmp_path: Path, compiled: object) -> None:
    """Also after a change of what they share, and where one of them cannot be built."""
    in_place = ("build_ext", "--inplace")
    assert setup(project(tmp_path, "1.2.3"), *in_place).endswith("\n0")
    (first,) = builds(tmp_path)
    assert first.startswith("1.2.3:")
    (tmp_path / "fauxtp" / "_base" / "_native.pxd").write_text("# another interface\n")
    assert setup(project(tmp_path, "1.2.4"), *in_place).endswith("\n0")
    (second,) = builds(tmp_path)
    assert second.startswith("1.2.4:")
    assert second[-8:] != first[-8:]
    assert setup(project(tmp_path, "1.2.5", broken="_hosting._direct"), *in_place).endswith("\n0")
    assert builds(tmp_path) == set(), "half of them, or those of before"


def test_what_only_compiled_modules_name_is_named_in_python_too() -> None:
    """Whoever freezes a program, as PyInstaller does, looks for imports there only."""
    seen: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                seen.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                seen.add(str(node.module))
                seen.update(f"{node.module}.{alias.name}" for alias in node.names)
    known = {name.partition(".")[0] for name in seen}
    sources = [path.read_text("utf-8") for path in (ROOT / "fauxtp").rglob("*.p[yx][xd]")]
    for source in sources:
        named = re.findall(r"^(?:import|from) +([\w.]+)(?: import (\w+)$)?", source, re.MULTILINE)
        for module, part in named:
            if module == "fauxtp._base._build" or module.partition(".")[0] in ("cpython", "libc"):
                continue  # there is nothing of it when the program runs
            if module == "fauxtp":
                assert f"fauxtp.{part}" in seen
            elif module.startswith("fauxtp."):
                assert module in seen
            else:
                assert module.partition(".")[0] in known


def test_setup_builds_what_is_looked_for() -> None:
    built = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.pyx")}
    assert {".".join(path.parts) for path in built} == set(EXTENSIONS)
