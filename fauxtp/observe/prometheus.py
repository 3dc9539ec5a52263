"""Prometheus: the metrics of fauxtp beside those that a program tells it already.

It needs `prometheus-client`, as `fauxtp[prometheus]` installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

from fauxtp._base.arguments import unexpected
from fauxtp.observe import durations
from fauxtp.observe.metrics import Histogram, Metric, collect

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.core import Metric as Family
except ImportError as _error:
    raise ImportError(
        "fauxtp.observe.prometheus needs prometheus-client: install fauxtp[prometheus]",
        name=_error.name,
    ) from _error

__all__ = ["Collector", "register"]

_FAMILIES: dict[str, type[Any]] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


@final
class Collector:
    """What `register` returns: what is in a registry of prometheus-client.

    >>> from prometheus_client import CollectorRegistry
    >>> collector = register(CollectorRegistry())
    >>> any(family.name == "fauxtp_names" for family in collector.collect())
    True
    """

    def __init__(self, registry: CollectorRegistry, handlers: bool) -> None:
        self._registry = registry
        self._handlers = handlers

    def collect(self) -> Iterator[Family]:
        """Return the metrics, as they are now: prometheus-client asks for them. Raises nothing."""
        for metric in collect():
            if self._handlers or metric.kind != "histogram":
                yield _family_of(metric)

    def describe(self) -> Iterator[Family]:
        """Return the metrics without values, so that none is registered twice. Raises nothing."""
        for name, *_ in collect():
            yield GaugeMetricFamily(name, "")

    def unregister(self) -> None:
        """Take it out of its registry; what it measured of handlers is measured no more.

        Raises `KeyError` if it was taken out before.
        """
        self._registry.unregister(self)
        if self._handlers:
            durations.measure(False)


def register(registry: CollectorRegistry = REGISTRY, *, handlers: bool = False) -> Collector:
    """Have the metrics of fauxtp told by a `registry` of prometheus-client; return the collector.

    With `handlers`, there is a histogram of how long handlers take, too. That is measured, which
    costs each message about as much as a call: see docs/howto/metrics.md.

    Raises `ValueError` if they are registered there already, and `TypeError` if `registry` is
    none, or `handlers` no bool.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> collector = register(registry)
    >>> b"fauxtp_names" in generate_latest(registry)
    True
    """
    if not callable(getattr(registry, "register", None)):
        raise unexpected("registry", "a registry of prometheus-client", registry)
    if type(handlers) is not bool:
        raise unexpected("handlers", "a bool", handlers)
    collector = Collector(registry, handlers)
    registry.register(collector)
    if handlers:
        durations.measure(True)
    return collector


def _family_of(metric: Metric) -> Family:
    if metric.kind == "histogram":
        family: Any = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for labels, value in metric.values.items():
            assert isinstance(value, Histogram)
            buckets = [(repr(bound), number) for bound, number in value.buckets.items()]
            family.add_metric(_encodable(labels), [*buckets, ("+Inf", value.total)], value.seconds)
    else:
        family = _FAMILIES[metric.kind](metric.name, metric.text, labels=metric.labels)
        for labels, value in metric.values.items():
            family.add_metric(_encodable(labels), value)
    found: Family = family
    return found


def _encodable(labels: tuple[str, ...]) -> list[str]:
    """Return labels that UTF-8 has: with one lone surrogate, nothing at all would be told."""
    return [label.encode(errors="backslashreplace").decode() for label in labels]
