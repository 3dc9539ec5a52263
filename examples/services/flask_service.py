"""A service on Flask: any WSGI application has its processes in the same way.

    pip install fauxtp flask gunicorn
    gunicorn --threads 16 --preload flask_service:app

The processes live in a thread of each worker. They start with the first request that needs them,
so that it does not matter whether the application is loaded before the workers are forked, and
end in order when the worker does, after its last request. With two workers there are two of each.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, request
from visits import Application

from fauxtp import in_thread

app = Flask(__name__)
service = in_thread(Application)


@app.get("/visit/<page>")
def visit(page: str) -> dict[str, Any]:
    service.cast("visits", ("begins", page))
    time.sleep(float(request.args.get("takes", 0)))  # as a database would
    return {"visitor": service.call("visits", ("visit", page), wait=1.0)}


@app.get("/begun/<page>")
def begun(page: str) -> str:
    return str(service.call("visits", ("begun", page)))
