"""The one extension, and the switch that decides whether it is built."""

import os

from setuptools import Extension, setup

choice = os.environ.get("FAUXTP_EXTENSIONS", "auto")
if choice not in ("auto", "never", "always"):
    raise SystemExit(f"FAUXTP_EXTENSIONS must be auto, never or always, not {choice!r}")
registry = Extension("fauxtp._registry", ["fauxtp/_registry.pyx"], optional=choice == "auto")
setup(ext_modules=[] if choice == "never" else [registry])
