"""The twin with a lock that its own thread waits for: what reentrance.py must see hang."""

from __future__ import annotations

import threading

from fauxtp import _registry_py as python
from hostile import reentrance

if __name__ == "__main__":
    vars(python)["_lock"] = threading.Lock()
    reentrance.main("_registry_py", "1", "1000", "1", "tracing")
