"""The extensions: the switch that decides whether they are built, and that it is all or none."""

import hashlib
import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

choice = os.environ.get("FAUXTP_EXTENSIONS", "auto")
if choice not in ("auto", "never", "always"):
    raise SystemExit(f"FAUXTP_EXTENSIONS must be auto, never or always, not {choice!r}")
extensions = [
    Extension(".".join(path.with_suffix("").parts), [str(path)], optional=choice == "auto")
    for path in sorted(Path("fauxtp").rglob("*.pyx"))
]


class BuildAllOrNone(build_ext):
    """Tells the extensions of which build they are; if one cannot be built, there is none."""

    def finalize_options(self) -> None:
        super().finalize_options()
        shared = b"".join(path.read_bytes() for path in sorted(Path("fauxtp").rglob("*.pxd")))
        build = f"{self.distribution.get_version()}:{hashlib.sha256(shared).hexdigest()[:8]}"
        for extension in self.extensions or ():
            extension.define_macros.append(("FAUXTP_BUILD", build))
        there = [path for path in self.paths() if path.exists()]
        if any(build.encode() not in path.read_bytes() for path in there):
            self.force = True  # those of another build are of no use to those of this one
        self.failed = []

    def paths(self) -> list[Path]:
        """Return where the extensions are, or will be; also if they are built in the sources."""
        names = [extension.name for extension in self.extensions or ()]
        files = [Path(self.build_lib, self.get_ext_filename(name)) for name in names]
        return files + [Path(self.get_ext_fullpath(name)) for name in names]

    def build_extension(self, ext: Extension) -> None:
        self.failed.append(ext.name)
        super().build_extension(ext)
        self.failed.remove(ext.name)

    def run(self) -> None:
        super().run()
        if self.failed:
            self.warn(f"{', '.join(self.failed)} could not be built: fauxtp will be pure Python")
            for path in self.paths():
                path.unlink(missing_ok=True)
            self.distribution.ext_modules = []


class WheelOfWhatWasBuilt(bdist_wheel):
    """A wheel without extensions is for every platform."""

    def run(self) -> None:
        if not self.skip_build:
            self.run_command("build_ext")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


setup(
    ext_modules=[] if choice == "never" else extensions,
    cmdclass={"build_ext": BuildAllOrNone, "bdist_wheel": WheelOfWhatWasBuilt},
)
