"""Which implementation runs here: the version, the compiled modules or their twins, the switches.

What matters for speed is there twice, with one behaviour: compiled, and as a twin in Python
for where no extension can be had. `FAUXTP_EXTENSIONS` chooses: `auto` (the default) takes what
is compiled if it is there, `never` does not look for it, `always` insists on it.

That is one decision for the whole package, made before anything is used. So all compiled
modules are looked at first, and none is executed: whether each is there, loads, and was built
together with the others and for this version. If one is not as it should be, none is used.

There is one fauxtp in an interpreter, however often it is imported: who runs and what is
registered is known once, and what is compiled cannot be executed twice. So where modules are
taken out of `sys.modules` and imported anew, as after `mock.patch.dict(sys.modules)`, they are
the same modules again. If anyio was imported anew, too, fauxtp has to be another, on the twins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, final

__all__ = [
    "EXTENSIONS",
    "__version__",
    "hands_off",
    "implementation",
    "is_observed",
    "keep",
    "reason",
]

__version__: Final = "0.4.0.dev0"  # as in pyproject.toml

EXTENSIONS: Final = (
    "_registry",
    "_base._native",
    "_hosting._direct",
    "_messaging._delivery",
)

_PACKAGE: Final = "fauxtp"

implementation: str
"""Which of the two is in use: `"cython"` or `"python"`."""

reason: str
"""Why it is that one, in words for people."""

hands_off: bool
"""Whether calls may be handled on the spot. `FAUXTP_HANDOFF=never` turns that off."""

is_observed: bool
"""Whether others may look into the program from its start. `FAUXTP_OBSERVE=look` turns that on."""


def _switch(name: str, *words: str) -> str:
    """Return what an environment variable says; if it is not set, or empty, the first word."""
    word = os.environ.get(name) or words[0]
    if word not in words:
        known = f"{', '.join(words[:-1])} or {words[-1]}"
        raise ImportError(f"expected {name} to be {known}, got {word!r}")
    return word


def _find(name: str) -> ModuleSpec | None:
    """Return where the compiled module is; None if there is none, or it may not be imported."""
    if sys.modules.get(name, sys) is None:
        return None
    *folders, _ = name.split(".")[1:]
    path = [os.path.join(place, *folders) for place in sys.modules[_PACKAGE].__path__]
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)  # of old, finders had another method
        try:
            spec: ModuleSpec | None = find and find(name, path)
        except ImportError:  # somebody does not want it to be imported
            return None
        if spec is not None:
            return spec
    return None


def _build(name: str, spec: ModuleSpec | None) -> str:
    """Return the version and the build of a compiled module, as `setup.py` has put it there.

    The module is loaded for that, and not executed. Raises `ImportError`, which names it.
    """
    if spec is None:
        raise ImportError(f"{name} is missing", name=name)
    try:
        module: Any = spec.loader and spec.loader.create_module(spec)
    except Exception as error:
        problem = f"cannot be loaded: {type(error).__name__}: {error}"
        raise ImportError(f"{name} {problem}", name=name) from error
    if hasattr(module, "__all__") and sys.modules.get(name) is not module:
        problem = "serves a fauxtp that was imported before, and cannot serve two"
        raise ImportError(f"{name} {problem}", name=name)
    build: str = module._build() if hasattr(module, "_build") else "another version"
    version = build.partition(":")[0]
    if version != __version__:
        raise ImportError(f"{name} is of {version}, and not of fauxtp {__version__}", name=name)
    return build


def _insist(specs: dict[str, ModuleSpec | None]) -> None:
    """Raise `ImportError` unless all compiled modules can be used together."""
    builds = {name: _build(name, spec) for name, spec in specs.items()}
    first = next(iter(builds))
    for name, build in builds.items():
        if build != builds[first]:
            raise ImportError(f"{name} and {first} were not built together", name=name)


def _decide(choice: str) -> tuple[str, str]:
    """Return which implementation is to be used, and why."""
    if choice == "never":
        return "python", "FAUXTP_EXTENSIONS is never"
    specs = {name: _find(name) for name in (f"{_PACKAGE}.{name}" for name in EXTENSIONS)}
    if choice == "auto" and not any(specs.values()):
        return "python", "this installation has no compiled modules"
    try:
        _insist(specs)
    except ImportError as error:
        if choice == "always":
            problem = f"FAUXTP_EXTENSIONS is always, but {error}"
            raise ImportError(problem, name=error.name) from error.__cause__
        import warnings  # noqa: PLC0415  # seldom needed

        warnings.warn(f"{error}; the twins in Python are used", RuntimeWarning, stacklevel=4)
        return "python", str(error)
    return "cython", f"FAUXTP_EXTENSIONS is {choice}, and the compiled modules are there"


implementation, reason = _decide(_switch("FAUXTP_EXTENSIONS", "auto", "never", "always"))
hands_off = _switch("FAUXTP_HANDOFF", "auto", "never") == "auto"
is_observed = _switch("FAUXTP_OBSERVE", "never", "look") == "look"


@final
class Keeper:
    """Finds the modules of a package that was imported before."""

    def __init__(self, package: ModuleType) -> None:
        self._package = package
        self._name = package.__name__
        self._prefix = f"{package.__name__}."
        self._anyio = sys.modules.get("anyio")

    def _module(self, name: str) -> ModuleType | None:
        """Return the module of that full name, if it was imported before."""
        if name == self._name:
            return self._package
        module: Any = self._package
        for part in name.removeprefix(self._prefix).split("."):
            module = vars(module).get(part)
            if not isinstance(module, ModuleType):
                return None
        return module if module.__name__ == name else None

    def _modules(self) -> dict[str, ModuleType]:
        """Return all that was imported of the package, by their full names."""
        found = {self._name: self._package}
        folders = [self._package]
        while folders:
            folder = folders.pop()
            for part, module in vars(folder).items():
                if getattr(module, "__name__", None) == f"{folder.__name__}.{part}":
                    found[module.__name__] = module
                    folders += [module] if hasattr(module, "__path__") else []
        return found

    def _gone(self, modules: dict[str, ModuleType]) -> str | None:
        """Return which of the modules that they rest on is another now, or None."""
        if sys.modules.get("anyio") is not self._anyio:
            return "anyio"
        for name in ("asyncio", "trio"):
            used = [vars(module).get(name) for module in modules.values()]
            if any(isinstance(it, ModuleType) and it is not sys.modules.get(name) for it in used):
                return name
        return None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return how to import `name` again; None if it is new, or is to be executed anew."""
        if target is not None or not (name == self._name or name.startswith(self._prefix)):
            return None
        module = self._module(name)
        if module is None:
            return None
        if name != self._name and sys.modules.get(self._name) is not self._package:
            return None
        modules = self._modules()
        gone = self._gone(modules)
        if gone is not None:
            if name == self._name:
                return None
            raise ImportError(f"{name} was imported with another {gone} than this", name=name)
        for other in modules.keys() - {name}:
            sys.modules.setdefault(other, modules[other])
        loader: Any = self
        is_package = hasattr(module, "__path__")
        known = module.__spec__
        return ModuleSpec(name, loader, origin=name, loader_state=known, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module as it is."""
        return self._module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def keep(name: str) -> None:
    """See to it that the package of that name, which has been imported, is imported once."""
    package = sys.modules[name]
    if not any(getattr(finder, "_package", None) is package for finder in sys.meta_path):
        sys.meta_path.insert(0, Keeper(package))
