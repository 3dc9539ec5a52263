"""A service on Starlette: a FastAPI application has its processes in the same way.

    pip install fauxtp starlette uvicorn
    uvicorn starlette_service:app

The processes live in the event loop of the server, from before its first request until after
its last. On SIGTERM, uvicorn lets the requests that it has come to their ends, and only then
leaves the lifespan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from visits import Application

from fauxtp import call, cast, running


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with running(Application):
        yield


async def visit(request: Request) -> Response:
    page = request.path_params["page"]
    await cast("visits", ("begins", page))
    await anyio.sleep(float(request.query_params.get("takes", 0)))  # as a database would
    return JSONResponse({"visitor": await call("visits", ("visit", page), wait=1.0)})


async def begun(request: Request) -> Response:
    return JSONResponse(await call("visits", ("begun", request.path_params["page"])))


app = Starlette(
    routes=[Route("/visit/{page}", visit), Route("/begun/{page}", begun)], lifespan=lifespan
)
