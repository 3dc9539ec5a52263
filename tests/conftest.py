"""What all tests share: the twins, and programs that run beside the test."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

PATIENCE = 60.0  # seconds until a test's own process counts as hung

# Under `never` there is one twin. Else there are two, and a missing one is a failure.
TWINS = ["_registry_py"]
if os.environ.get("FAUXTP_EXTENSIONS") != "never":
    TWINS.append("_registry")


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Any:
    """Each implementation of the registry: a module with PID, Ref, Registry, …"""
    return importlib.import_module(f"fauxtp.{request.param}")


@pytest.fixture
def registry(twin: Any) -> Any:
    """An empty registry of its own, of each implementation."""
    return twin.Registry()


@pytest.fixture
def compiled() -> ModuleType:
    """The compiled implementation; where it is not asked for, the test does not apply."""
    if "_registry" not in TWINS:
        pytest.skip("FAUXTP_EXTENSIONS is never")
    return importlib.import_module("fauxtp._registry")


Call = Callable[[], object]


def calls(*attempts: Call) -> tuple[Call, ...]:
    """Return the calls that a test will make, as what they are to the type checker."""
    return attempts


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """Run a program in a fresh interpreter, and return how it ended."""

    def run_program(
        program: str, *arguments: str, options: tuple[str, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *options, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
            check=False,
        )

    return run_program
