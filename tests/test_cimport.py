"""Other Cython packages can cimport PID and Registry from the installed package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SETUP = """
from pathlib import Path
import fauxtp
from Cython.Build import cythonize
from setuptools import setup
where = str(Path(fauxtp.__file__).parents[1])  # an editable install is not on the path
setup(name="user", ext_modules=cythonize("user_of_the_pxd.pyx", include_path=[where]))
"""


def test_another_module_can_use_the_types_in_c(compiled: ModuleType, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("user_of_the_pxd.pyx"), tmp_path)
    (tmp_path / "setup.py").write_text(SETUP)
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CFLAGS": f"{os.environ.get('CFLAGS', '')} -O0"},  # in half the time
    )
    assert built.returncode == 0, built.stderr
    (path,) = [*tmp_path.glob("user_of_the_pxd*.so"), *tmp_path.glob("user_of_the_pxd*.pyd")]
    spec = importlib.util.spec_from_file_location("user_of_the_pxd", path)
    assert spec is not None
    assert spec.loader is not None
    user = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(user)
    assert user.kinds() == (compiled.PID, compiled.Ref, compiled.Registry)
    directory = compiled.Registry()
    session = user.Session(directory)
    assert session.announce("kvstore") is True
    assert session.announce("kvstore") is False
    assert session.owns(directory.whereis("kvstore"))
    with pytest.raises(TypeError):
        session.owns(compiled.Ref())
