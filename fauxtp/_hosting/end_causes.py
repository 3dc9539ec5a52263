"""What a process is ended by: its event loop, whoever may end it, or a stray cancellation."""

from __future__ import annotations

import math

import anyio

from fauxtp._core.process import Process

__all__ = ["is_cancelled_by_loop", "is_closed", "is_stray"]


def is_closed(process: Process, error: BaseException) -> bool:
    """Return whether the event loop of `process` is gone, so that nothing can be awaited.

    Its own code may raise the same exception: that is an error like any other.
    """
    return isinstance(error, GeneratorExit) and not process.home.runs(process.task)


def is_stray(process: Process) -> bool:
    """Return whether a cancellation was asked for by nobody who may end the process.

    Then its own code has raised it, as it waited for something that was cancelled.
    """
    if process.exit_request is not None or is_cancelled_by_loop(process):
        return False
    return process.home.is_asyncio or anyio.current_effective_deadline() != -math.inf


def is_cancelled_by_loop(process: Process) -> bool:
    """Return whether somebody has cancelled the task of `process` itself, as asyncio can."""
    return process.home.is_asyncio and bool(process.task.cancelling())
