"""FAUXTP_EXTENSIONS: three words, one meaning, also when something is broken."""

from __future__ import annotations

import ast
import importlib
import platform
import runpy
import shutil
import site
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from twins_of import FORMS

import fauxtp
from fauxtp import __main__
from fauxtp._base.implementation import EXTENSIONS

SITES = site.getsitepackages()
ALONE = ("-S",)  # an editable installation would find its own extension
WHICH = "from fauxtp import registry; print(registry.implementation, '|', registry.reason)"


def a_copy_of_the_package(into: Path) -> str:
    """Copy the Python files, without an extension beside them."""
    package = into / "fauxtp"
    shutil.copytree(
        Path(fauxtp.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "*.pyd")
    )
    return str(into)


def program(path: str) -> str:
    return f"import sys; sys.path[:0] = [{path!r}, *{SITES!r}]; {WHICH}"


def test_the_tests_run_on_what_they_say() -> None:
    expected = "cython" if "compiled" in FORMS else "python"
    assert fauxtp.registry.implementation == expected


def test_never_takes_the_twin(run: Run) -> None:
    done = run(WHICH, FAUXTP_EXTENSIONS="never")
    assert done.stdout == "python | FAUXTP_EXTENSIONS is never\n"
    assert done.stderr == ""


@pytest.mark.parametrize("word", ["auto", "always"])
def test_auto_and_always_take_what_is_there(word: str, run: Run, compiled: object) -> None:
    done = run(WHICH, FAUXTP_EXTENSIONS=word)
    assert done.stdout.startswith(f"cython | FAUXTP_EXTENSIONS is {word}")
    assert done.stderr == ""


def test_auto_falls_back_quietly_where_nothing_is_there(tmp_path: Path, run: Run) -> None:
    done = run(program(a_copy_of_the_package(tmp_path)), options=ALONE, FAUXTP_EXTENSIONS="auto")
    assert done.stdout == "python | this installation has no compiled modules\n"
    assert done.stderr == ""


def test_always_insists(tmp_path: Path, run: Run) -> None:
    path = a_copy_of_the_package(tmp_path)
    done = run(program(path), options=ALONE, FAUXTP_EXTENSIONS="always")
    assert done.returncode == 1
    expected = "ImportError: FAUXTP_EXTENSIONS is always, but fauxtp._registry is missing\n"
    assert done.stderr.endswith(expected)


def test_without_a_word_it_is_auto(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAUXTP_EXTENSIONS", raising=False)
    done = run(program(a_copy_of_the_package(tmp_path)), options=ALONE)
    assert done.stdout == "python | this installation has no compiled modules\n"


SETUP = Path(__file__).parents[1] / "setup.py"
needs_sources = pytest.mark.skipif(not SETUP.exists(), reason="these are not the sources")


def extensions_built(word: str | None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Return which extensions would be built with that word, and which of them may fail."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr("setuptools.setup", lambda **keywords: given.append(keywords))
    if word is None:
        monkeypatch.delenv("FAUXTP_EXTENSIONS", raising=False)
    else:
        monkeypatch.setenv("FAUXTP_EXTENSIONS", word)
    runpy.run_path(str(SETUP))
    return [(one.name, one.optional) for one in given[0]["ext_modules"]]


@needs_sources
@pytest.mark.parametrize(("word", "optional"), [(None, True), ("auto", True), ("always", False)])
def test_building_makes_all_extensions_and_always_insists(
    word: str | None, optional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = extensions_built(word, monkeypatch)
    assert sorted(built) == sorted((f"fauxtp.{name}", optional) for name in EXTENSIONS)


@needs_sources
def test_building_with_never_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extensions_built("never", monkeypatch) == []


@needs_sources
@pytest.mark.parametrize("word", ["", "yes", "Never", "0"])
def test_building_with_any_other_word_is_an_error(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=f"must be auto, never or always, not {word!r}"):
        extensions_built(word, monkeypatch)


def test_the_extensions_leave_the_interpreter_without_its_lock(run: Run, compiled: object) -> None:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this interpreter always has its lock")
    done = run(
        "import importlib, sys\n"
        "from fauxtp._base.implementation import EXTENSIONS\n"
        "for name in EXTENSIONS: importlib.import_module(f'fauxtp.{name}')\n"
        "assert not sys._is_gil_enabled()",
        options=("-W", "error"),
        PYTHON_GIL="",  # as it was not said that it should do without
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_types_and_declarations_are_installed() -> None:
    package = Path(fauxtp.__file__).parent
    for name in ("py.typed", "_registry.pyi", "_registry.pxd", "_base/_native.pxd"):
        assert (package / name).is_file(), name


PARTS = (
    "from fauxtp._base import stack\n"
    "from fauxtp._hosting import group_keeper\n"
    "for it in (group_keeper.step, stack.has_room): print(it.__module__)"
)
MODULES = {
    "cython": ("_hosting._direct", "_base._native"),
    "python": ("_hosting.direct", "_base.stack"),
}


def test_calls_and_steps_are_of_the_same_twin_as_the_registry(run: Run) -> None:
    modules = MODULES[fauxtp.registry.implementation]
    assert run(PARTS).stdout.split() == [f"fauxtp.{module}" for module in modules]


def test_never_is_for_calls_and_steps_too(run: Run) -> None:
    done = run(PARTS, FAUXTP_EXTENSIONS="never")
    assert (done.stdout.split(), done.stderr) == ([f"fauxtp.{it}" for it in MODULES["python"]], "")


@pytest.mark.parametrize(("word", "enabled"), [("never", False), ("auto", True)])
def test_calls_are_handed_off_unless_told_never(run: Run, word: str, enabled: bool) -> None:
    done = run("from fauxtp._base import switches; print(switches.hand_off)", FAUXTP_HANDOFF=word)
    assert (done.stdout, done.stderr) == (f"{enabled}\n", "")


def test_all_that_was_chosen_is_of_one_twin() -> None:
    tail = "" if fauxtp.registry.implementation == "cython" else "_py"
    twin = importlib.import_module(f"fauxtp._registry{tail}")
    assert [
        name for name in twin.__all__ if getattr(fauxtp.registry, name) is not getattr(twin, name)
    ] == []


def test_importing_brings_no_event_loop(run: Run) -> None:
    done = run(
        "import sys, fauxtp\n"
        "assert not {'asyncio', 'trio', 'uvloop'} & set(sys.modules), sorted(sys.modules)"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_leaves_what_anyio_puts_off_until_a_process_starts(run: Run) -> None:
    """What anyio imports by itself, when its scopes and groups are asked for, is much."""
    done = run(
        "import sys, anyio\n"
        "later = {'anyio.abc', 'anyio._core._tasks', 'typing_extensions'} - set(sys.modules)\n"
        "import fauxtp\n"
        "assert not later & set(sys.modules), later & set(sys.modules)"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_many_never_need_is_imported_when_it_is_asked_for(run: Run) -> None:
    done = run(
        """
import sys
import fauxtp
below = ("_supervision.child_spec", "_supervision.supervisor", "observe.inspection")
later = [f"fauxtp.{name}" for name in below]
print(*(name in sys.modules for name in later), set(dir(fauxtp)) >= set(fauxtp.__all__))
print(fauxtp.tree is fauxtp.observe.inspection.tree)
print(fauxtp.Supervisor is fauxtp._supervision.supervisor.Supervisor)
print(fauxtp.ChildSpec is fauxtp._supervision.child_spec.ChildSpec)
print(*(name in sys.modules for name in later))
from fauxtp import *
print(processes())
try:
    fauxtp.trees
except AttributeError as error:
    print(error)
"""
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "False False False True",
        "True",
        "True",
        "True",
        "True True True",
        "[]",
        "module 'fauxtp' has no attribute 'trees'",
    ]


OF_THE_REGISTRY = (
    "registry",
    *(
        f"_base.{name}"
        for name in (
            *("carried", "errors", "implementation", "logs", "own_errors", "stack", "tell_all"),
            "texts",
        )
    ),
)


def test_the_registry_alone_imports_little() -> None:
    """What the implementations, and what they rest on, name in their imports is a handful."""
    allowed = set(sys.builtin_module_names) | {
        *("__future__", "collections.abc", "functools", "importlib.machinery", "itertools", "os"),
        *("threading", "types", "typing", "weakref"),
        *(f"fauxtp.{name}" for name in OF_THE_REGISTRY),
    }
    for module in ("_registry_py", *OF_THE_REGISTRY):
        path = Path(fauxtp.__file__).parent / f"{module.replace('.', '/')}.py"
        for node in ast.parse(path.read_text()).body:  # functions import what they seldom need
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert set(names) <= allowed, module


def test_python_m_fauxtp_tells_what_is_in_use() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fauxtp"], capture_output=True, text=True, check=True, timeout=60
    )
    version, interpreter, registry, cost = done.stdout.splitlines()
    where = Path(fauxtp.__file__).parent
    assert version == f"fauxtp {metadata.version('fauxtp')} in {where}"
    kind, number = platform.python_implementation(), sys.version.split()[0]
    assert interpreter == f"{kind} {number} on {platform.platform()}"
    assert registry == f"registry: {fauxtp.registry.implementation} ({fauxtp.registry.reason})"
    assert cost.startswith("a look-up by name: ")
    assert " ns; by dict.get: " in cost


def test_what_a_look_up_costs_is_measured_where_it_finds_somebody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = {"whereis": 50e-9, "dict.get": 40e-9}
    interrupted = [1e-3]  # something else ran on that processor

    class Timer:
        def __init__(self, statement: str, **options: Any) -> None:
            scope = options["globals"]
            one = {**scope, "name": "pipeline:processor:1"}
            assert eval(statement, one) is not eval(statement, scope) is not None
            assert len(scope["plain"]) == len(scope["whereis"].__self__) == __main__.NAMES
            kind = "dict.get" if "plain.get" in statement else scope["whereis"].__name__
            self.cost = costs[kind]

        def timeit(self, loops: int) -> float:
            return loops * (interrupted.pop() if interrupted else self.cost)

    monkeypatch.setattr("timeit.Timer", Timer)
    assert __main__.look_up_costs() == pytest.approx((50, 40))
    __main__.main()
    assert "a look-up by name: 50 ns; by dict.get: 40 ns\n" in capsys.readouterr().out
