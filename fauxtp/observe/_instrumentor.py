"""The instrumentor, by which `opentelemetry-instrument` finds fauxtp.

That command belongs to `opentelemetry-instrumentation`, without which nobody needs this:
`fauxtp.observe.opentelemetry` does the same, and more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, final

from fauxtp.observe.opentelemetry import Instrumentation, instrument

try:
    from opentelemetry.instrumentation import instrumentor as _instrumentor
except ImportError as _error:
    raise ImportError(
        "the instrumentor of fauxtp needs opentelemetry-instrumentation: install that, too",
        name=_error.name,
    ) from _error

_Base: Any = vars(_instrumentor)["BaseInstrumentor"]  # which says nothing of its types

__all__ = ["FauxtpInstrumentor"]


@final
class FauxtpInstrumentor(_Base):  # type: ignore[misc]
    """Has spans made, and metrics told, as `fauxtp.observe.opentelemetry.instrument` does.

    There is one. `instrument` takes the keywords `tracer_provider`, `meter_provider` and `roots`
    of that, and raises what it raises; `uninstrument` ends it. Where that was done before, they
    log a warning.

    >>> from opentelemetry.trace import NoOpTracerProvider
    >>> instrumentor = FauxtpInstrumentor()
    >>> instrumentor.instrument(tracer_provider=NoOpTracerProvider())
    >>> instrumentor.is_instrumented_by_opentelemetry, instrumentor.uninstrument()
    (True, None)
    """

    _instrumentation: Instrumentation | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what has to be installed besides: nothing."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        self._instrumentation = instrument(**kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:
        instrumentation, self._instrumentation = self._instrumentation, None
        if instrumentation is not None:
            instrumentation.close()
