"""What is compiled is used as one: all of it, if it is there, loads and is of one build."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import shutil
import site
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Run

import fauxtp
from fauxtp._base.implementation import EXTENSIONS

VERSION = fauxtp.__version__
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
PACKAGE = Path(fauxtp.__file__).parent
ALONE = ("-S",)  # an editable installation would find its own extensions

# Says what `always` and `auto` make of it, and lets a server work with that.
PROGRAM = f"""
import os, runpy, sys, warnings
sys.path[:0] = [sys.argv[1], *{site.getsitepackages()!r}]
os.environ["FAUXTP_EXTENSIONS"] = "always"
try:
    import fauxtp
except ImportError as error:
    print("always:", error.name, "|", error)
    assert "fauxtp._registry" not in sys.modules, "something was used before it was decided"
else:
    sys.exit("always took it")
os.environ["FAUXTP_EXTENSIONS"] = "auto"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fauxtp
for warning in caught:
    print("auto:", warning.category.__name__, "|", warning.message)
    assert warning.filename == "<string>", warning.filename  # who imports it, and not fauxtp
import anyio
class Echo(fauxtp.GenServer):
    async def handle_call(self, request, from_, state):
        return request, state
async def main():
    async with anyio.create_task_group() as group:
        echo = await Echo.start(task_group=group, register_as="echo")
        assert await fauxtp.call("echo", 1) == await fauxtp.call(echo, 1) == 1
        fauxtp.exit(echo)
anyio.run(main)
ours = [module for name, module in sys.modules.items() if name.startswith("fauxtp.")]
assert not [module for module in ours if not module.__file__.endswith(".py")]
del sys.argv[1:]
runpy.run_module("fauxtp", run_name="__main__")
"""

Damage = Callable[[Path], object]


def damaged(into: Path, damages: dict[str, Damage]) -> str:
    """Copy the package with its extensions; do that damage to some of them."""
    package = into / "fauxtp"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.c", "__pycache__"))
    for name in EXTENSIONS:  # which may lie elsewhere, if this installation is editable
        extension = package / f"{name.replace('.', '/')}{SUFFIX}"
        found = importlib.util.find_spec(f"fauxtp.{name}")
        assert found is not None
        assert found.origin is not None
        if not extension.exists():
            shutil.copy(found.origin, extension)
        if name in damages:
            damages[name](extension)
    return str(into)


def replace(path: Path, old: str, new: str) -> None:
    """Make an extension say something else of itself."""
    if sys.platform == "darwin":
        pytest.skip("what is changed has lost its signature")
    content = path.read_bytes()
    assert len(old) == len(new)
    assert content.count(old.encode()) == 1
    path.write_bytes(content.replace(old.encode(), new.encode()))


def of_another_version(path: Path) -> None:
    replace(path, f"{VERSION}:", f"{VERSION[:-1]}X:")


def of_another_build(path: Path) -> None:
    build = path.read_bytes().partition(f"{VERSION}:".encode())[2][:8].decode()
    replace(path, f"{VERSION}:{build}", f"{VERSION}:{build[::-1]}")


def of_another_module(path: Path) -> None:
    other = next(each for each in path.parents[1].rglob(f"*{SUFFIX}") if each.name != path.name)
    shutil.copy(other, path)


def of_python(path: Path) -> None:
    path.unlink()
    path.with_name(path.name.replace(SUFFIX, ".py")).write_text("print('executed')")


DAMAGES: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "is missing"),
    "corrupt": (lambda path: path.write_text("broken"), "cannot be loaded: ImportError: "),
    "version": (
        of_another_version,
        f"is of {VERSION[:-1]}X, and not of fauxtp {VERSION}",
    ),
    "empty": (lambda path: path.write_text(""), "cannot be loaded: ImportError: "),
    "module": (of_another_module, "cannot be loaded: ImportError: "),
    "python": (of_python, f"is of another version, and not of fauxtp {VERSION}"),
}
CASES = [(name, kind) for name in EXTENSIONS for kind in ("missing", "corrupt", "version")]


@pytest.mark.parametrize(
    ("name", "kind"), [*CASES, *zip(EXTENSIONS, ("empty", "module", "python"), strict=False)]
)
def test_one_that_is_not_as_it_should_be_is_named_and_none_is_used(
    name: str, kind: str, tmp_path: Path, run: Run, compiled: object
) -> None:
    damage, problem = DAMAGES[kind]
    done = run(PROGRAM, damaged(tmp_path, {name: damage}), options=ALONE)
    assert (done.returncode, done.stderr) == (0, "")
    always, auto, _, _, registry, _ = done.stdout.splitlines()
    expected = f"fauxtp.{name} {problem}"
    assert always.startswith(
        f"always: fauxtp.{name} | FAUXTP_EXTENSIONS is always, but {expected}"
    )
    assert auto.startswith(f"auto: RuntimeWarning | {expected}")
    assert auto.endswith("; the twins in Python are used")
    assert registry.startswith(f"registry: python ({expected}")


BLOCKED = """
import sys
names = sys.argv[1].split()
if sys.argv[2] == "modules":
    sys.modules.update(dict.fromkeys(names))
class Old:
    def find_module(self, name, path=None): "as it was done before there was find_spec"
class Blocks:
    def find_spec(self, name, path=None, target=None):
        if name in names:
            raise ModuleNotFoundError(f"no {name}", name=name)
sys.meta_path[:0] = [Old(), Blocks()] if sys.argv[2] == "finder" else [Old()]
from fauxtp import registry
import fauxtp._hosting.group_keeper
print(registry.implementation, "|", registry.reason)
"""


@pytest.mark.parametrize("how", ["modules", "finder"])
def test_what_may_not_be_imported_is_missing(how: str, run: Run, compiled: object) -> None:
    """As in a test of what a program does without it."""
    for name in EXTENSIONS:
        done = run(BLOCKED, f"fauxtp.{name}", how, FAUXTP_EXTENSIONS="auto")
        assert done.stdout == f"python | fauxtp.{name} is missing\n", done.stderr
        assert "RuntimeWarning" in done.stderr
    names = " ".join(f"fauxtp.{name}" for name in EXTENSIONS)
    done = run(
        BLOCKED,
        names,
        how,
        options=("-W", "error::RuntimeWarning"),
        FAUXTP_EXTENSIONS="auto",
    )
    assert done.stdout == "python | this installation has no compiled modules\n", done.stderr


@pytest.mark.parametrize("name", EXTENSIONS[1:])
def test_those_of_two_builds_are_not_mixed(
    name: str, tmp_path: Path, run: Run, compiled: object
) -> None:
    done = run(PROGRAM, damaged(tmp_path, {name: of_another_build}), options=ALONE)
    assert (done.returncode, done.stderr) == (0, "")
    always, auto, *_ = done.stdout.splitlines()
    expected = f"fauxtp.{name} and fauxtp._registry were not built together"
    assert always == f"always: fauxtp.{name} | FAUXTP_EXTENSIONS is always, but {expected}"
    assert auto == f"auto: RuntimeWarning | {expected}; the twins in Python are used"


WHICH = f"""
import sys
sys.path[:0] = [sys.argv[1], *{site.getsitepackages()!r}]
from fauxtp import registry
print(registry.implementation, "|", registry.reason)
"""


@pytest.mark.parametrize("kind", ["missing", "corrupt", "version"])
def test_never_does_not_look(kind: str, tmp_path: Path, run: Run, compiled: object) -> None:
    place = damaged(tmp_path, dict.fromkeys(EXTENSIONS, DAMAGES[kind][0]))
    done = run(WHICH, place, options=(*ALONE, "-W", "error"), FAUXTP_EXTENSIONS="never")
    assert (done.stdout, done.stderr) == ("python | FAUXTP_EXTENSIONS is never\n", "")


def test_all_of_another_version_is_no_better_than_one(
    tmp_path: Path, run: Run, compiled: object
) -> None:
    place = damaged(tmp_path, dict.fromkeys(EXTENSIONS, of_another_version))
    done = run(WHICH, place, options=ALONE, FAUXTP_EXTENSIONS="auto")
    assert done.stdout.startswith(f"python | fauxtp._registry is of {VERSION[:-1]}X")
    assert done.stderr.count("RuntimeWarning") == 1


@pytest.mark.parametrize("word", ["auto", "always"])
def test_what_is_as_it_should_be_is_used(
    word: str, tmp_path: Path, run: Run, compiled: object
) -> None:
    done = run(
        WHICH, damaged(tmp_path, {}), options=(*ALONE, "-W", "error"), FAUXTP_EXTENSIONS=word
    )
    assert done.stderr == ""
    assert done.stdout == (
        f"cython | FAUXTP_EXTENSIONS is {word}, and the compiled modules are there\n"
    )


def test_to_look_at_them_executes_none(run: Run, compiled: object) -> None:
    done = run(
        "import sys, fauxtp\n"
        "late = {'fauxtp._hosting._direct', 'asyncio'}\n"
        "assert not late & set(sys.modules)"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_compiled_is_used_by_the_one_decision_only() -> None:
    """Each import of it stands below the question, and all of it is imported."""
    compiled = {f"fauxtp.{name}" for name in EXTENSIONS}
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        asked = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
        asked = [node for node in asked if "implementation == 'cython'" in ast.unparse(node.test)]
        below = {node for question in asked for it in question.body for node in ast.walk(it)}
        for node in ast.walk(tree):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module in compiled:
                assert node in below, path
                imported.add(module)
    assert imported == compiled


@pytest.mark.parametrize("name", ["FAUXTP_EXTENSIONS", "FAUXTP_HANDOFF"])
@pytest.mark.parametrize("word", ["off", "Never", "0", "auto ", " "])
def test_a_switch_is_set_to_what_it_knows(name: str, word: str, run: Run) -> None:
    done = run("import fauxtp", **{name: word})
    words = "auto, never or always" if name == "FAUXTP_EXTENSIONS" else "auto or never"
    assert f"ImportError: expected {name} to be {words}, got {word!r}\n" in done.stderr


SWITCHES = {"FAUXTP_EXTENSIONS": "auto", "FAUXTP_HANDOFF": "auto", "FAUXTP_OBSERVE": "never"}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_is_empty_is_not_set(name: str, run: Run) -> None:
    it = "import fauxtp._base.implementation as it; print(it.reason, it.hands_off, it.is_observed)"
    empty, unset = run(it, **{name: ""}), run(it, **{name: SWITCHES[name]})
    assert (empty.stdout, empty.stderr) == (unset.stdout, "")
    assert empty.stdout


def test_every_switch_is_read_in_one_place() -> None:
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]
    reads = {
        path.name: len(re.findall(r"\b(?:environ|getenv)\b", path.read_text("utf-8")))
        for path in sources
    }
    secrets = {"cluster_commands.py": 2}  # those of who looks at a cluster are no switches
    assert {it: times for it, times in reads.items() if times} == {
        "implementation.py": 1,
        **secrets,
    }


def test_the_version_is_that_of_the_installation() -> None:
    assert metadata.version("fauxtp") == VERSION


def test_the_version_is_that_of_the_project() -> None:
    project = Path(__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text("utf-8"))["project"]["version"] == VERSION
