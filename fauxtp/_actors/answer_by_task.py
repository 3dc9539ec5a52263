"""An answer that a task finds out, while the server does other things."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Final

from anyio import current_effective_deadline, get_cancelled_exc_class

from fauxtp._core.calls import Call, refused, reply

__all__ = ["answer_by"]

_WORK: Final = "what was to find the answer"


async def answer_by(from_: Call, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Answer `from_` by what comes of `fn(*args)`: a value, or an error, which is the caller's."""
    try:
        result = fn(*args)
        value = await result if inspect.isawaitable(result) else result
    except Exception as error:
        reply(from_, refused(error, _WORK))
    except get_cancelled_exc_class() as error:
        if current_effective_deadline() == -math.inf:
            raise  # the server ends, and its calls with it
        reply(from_, refused(error, _WORK))
    else:
        reply(from_, value)
