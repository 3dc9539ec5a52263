"""OpenTelemetry: spans of calls, messages and handlers, and the metrics of fauxtp.

It needs `opentelemetry-api`, as `fauxtp[otel]` installs it; and a program needs an SDK, which says
where all that goes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final
from weakref import WeakKeyDictionary

from fauxtp._base.arguments import unexpected
from fauxtp._base.carrying import carry_also, carry_no_more
from fauxtp._base.events import CALLS, ROOTS, SENT
from fauxtp._base.implementation import __version__
from fauxtp._base.tracing import set_tracer, tracer
from fauxtp.observe.metrics import Metric, collect

try:
    from opentelemetry.metrics import Meter, MeterProvider, Observation, get_meter_provider
    from opentelemetry.trace import TracerProvider, get_tracer_provider
except ImportError as _error:
    raise ImportError(
        "fauxtp.observe.opentelemetry needs opentelemetry-api: install fauxtp[otel]",
        name=_error.name,
    ) from _error

from fauxtp.observe.spans import CURRENT, Spans

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions

__all__ = ["Instrumentation", "instrument"]

_TRACED: Final = CALLS | SENT  # and what handles it, which who carries anything looks at anyway
_changing = threading.Lock()


@final
class Instrumentation:
    """What `instrument` returns.

    >>> from opentelemetry.trace import NoOpTracerProvider
    >>> instrumentation = instrument(tracer_provider=NoOpTracerProvider())
    >>> instrumentation.close(), instrumentation.close()
    (True, False)
    """

    def __init__(self, spans: Spans, numbers: _Numbers) -> None:
        self._numbers = numbers
        self._spans = spans

    def close(self) -> bool:
        """Make no more spans, and tell no more metrics; return False if that was done before.

        What has begun is ended as it would have been. It raises nothing.
        """
        with _changing:
            if tracer() is not self._spans:
                return False
            set_tracer(None)
            carry_no_more(CURRENT, _TRACED | ROOTS)
            self._numbers.are_told = False
            return True


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    roots: bool = False,
) -> Instrumentation:
    """Have spans made of calls, messages and handlers, and metrics told; return what ends that.

    Spans are made by `tracer_provider`, metrics told by `meter_provider`: None is the one that the
    program has set in OpenTelemetry. They go on with traces that others have begun, as what serves
    requests does, and that are kept; with `roots`, each call and message outside of one begins
    another, if the sampler takes it.

    Messages carry the current context of OpenTelemetry from then on, as `fauxtp.carry` has it: so
    a handler's span is a child of that of who has called it, or sent it something.

    Raises `RuntimeError` if that is so already, and `TypeError` if one of them is no provider, or
    `roots` no bool.

    >>> from opentelemetry.trace import NoOpTracerProvider
    >>> instrument(tracer_provider=NoOpTracerProvider()).close()
    True
    """
    if tracer_provider is not None and not isinstance(tracer_provider, TracerProvider):
        raise unexpected("tracer_provider", "a TracerProvider", tracer_provider)
    if meter_provider is not None and not isinstance(meter_provider, MeterProvider):
        raise unexpected("meter_provider", "a MeterProvider", meter_provider)
    if not isinstance(roots, bool):
        raise unexpected("roots", "a bool", roots)
    of_spans = get_tracer_provider() if tracer_provider is None else tracer_provider
    of_numbers = get_meter_provider() if meter_provider is None else meter_provider
    with _changing:
        if tracer() is not None:
            raise RuntimeError("expected no spans to be made yet; close what makes them first")
        spans = Spans(of_spans.get_tracer("fauxtp", __version__), roots)
        numbers = _numbers_of(of_numbers)
        numbers.are_told = True
        set_tracer(spans)
        carry_also(CURRENT, _TRACED | (ROOTS if roots else 0))
    return Instrumentation(spans, numbers)


_known: WeakKeyDictionary[MeterProvider, _Numbers] = WeakKeyDictionary()


def _numbers_of(provider: MeterProvider) -> _Numbers:
    """Return those that a provider knows, as an instrument can never be taken back."""
    found = _known.get(provider)
    if found is None:
        found = _known[provider] = _Numbers(provider.get_meter("fauxtp", __version__))
    return found


@final
class _Numbers:
    """The metrics, as instruments that are asked one after the other for what there is."""

    def __init__(self, meter: Meter) -> None:
        self.are_told = False
        self.look_anew()
        for metric in collect():
            if metric.kind != "histogram":
                self._add(meter, metric)

    def look_anew(self) -> None:
        self._found: dict[str, Metric] = {}  # what was collected, but for what was told of it
        self._looking = threading.Lock()

    def _add(self, meter: Meter, metric: Metric) -> None:
        create: Callable[..., Any] = meter.create_observable_gauge
        if metric.kind == "counter":
            create = meter.create_observable_counter
        name = metric.name.replace("_", ".", 1)
        unit = "s" if "seconds" in name else ""
        create(name, [partial(self._tell, metric.name)], unit, metric.text)

    def _tell(self, name: str, options: CallbackOptions) -> Iterable[Observation]:
        """Return what there is of one metric: who asks for all gets all of one moment."""
        if not self.are_told:
            return []
        with self._looking:
            metric = self._found.pop(name, None)
            if metric is None:
                self._found = {each.name: each for each in collect()}
                metric = self._found.pop(name)
        values: Any = metric.values
        return [
            Observation(value, dict(zip(metric.labels, labels, strict=True)))
            for labels, value in values.items()
        ]


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.Lock()  # who held it is not here, nor who was looking
    for numbers in list(_known.values()):
        numbers.look_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
