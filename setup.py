"""The extensions, and the switch that decides whether they are built."""

import os

from setuptools import Extension, setup

choice = os.environ.get("FAUXTP_EXTENSIONS", "auto")
if choice not in ("auto", "never", "always"):
    raise SystemExit(f"FAUXTP_EXTENSIONS must be auto, never or always, not {choice!r}")
extensions = [
    Extension(f"fauxtp.{name}", [f"fauxtp/{name}.pyx"], optional=choice == "auto")
    for name in ("_registry", "_calls", "_posting", "_slots", "_stack", "_stepping", "_turns")
]
setup(ext_modules=[] if choice == "never" else extensions)
