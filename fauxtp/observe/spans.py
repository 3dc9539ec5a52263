"""Spans of calls, messages and handlers, as the semantic conventions of OpenTelemetry have them.

`fauxtp.observe.opentelemetry` has them made: it alone imports this.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from contextvars import ContextVar, Token
from itertools import count
from threading import get_ident
from time import monotonic
from typing import Any, Final, final

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from fauxtp._base.carried import MISSING, Values, Variable
from fauxtp._base.carrying import Applied
from fauxtp._base.logs import report
from fauxtp._base.redaction import described
from fauxtp._base.texts import full_name, label
from fauxtp._core.calls import Call, Cast
from fauxtp._core.shown_contents import contents
from fauxtp.errors import ProcessExited

__all__ = ["CURRENT", "Spans"]

_SYSTEM: Final = "fauxtp"
_WORD: Final = re.compile(r"\(?'([^']+)'")
_PLAIN: Final = "suppress_instrumentation"
_SUPPRESSED: Final = (  # how an exporter says that it is at work: an SDK, and others
    getattr(contexts, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN),
    _PLAIN,
)
_MINUTE: Final = 60.0  # seconds
_FRAMES: Final = 50  # of a traceback, the innermost


@final
class CurrentContext:
    """The current context of OpenTelemetry, which messages are to carry.

    It lies in `inner`, unless the program has another way to keep it: then that is None.
    """

    __slots__ = ("inner",)

    def __init__(self) -> None:
        token = contexts.attach(here := contexts.set_value("fauxtp", self))
        inner = token.var if isinstance(token, Token) else None
        is_it = inner is not None and inner.get(None) is here
        self.inner: Final[ContextVar[Any] | None] = inner if is_it else None
        contexts.detach(token)

    def get(self, default: Any, /) -> Any:
        return contexts.get_current() or default

    def set(self, value: Any, /) -> Token[Context]:
        return contexts.attach(contexts.Context() if value is MISSING else value)

    def reset(self, token: Token[Context], /) -> None:
        contexts.detach(token)


CURRENT: Final = CurrentContext()
_SET_BY: Final = contexts.create_key("fauxtp-set-by")  # what was current as a timer was set


@final
class Spans:
    """The `fauxtp._base.tracing.Tracer` that makes spans by a tracer of OpenTelemetry."""

    __slots__ = ("_failures", "_logged_at", "_roots", "_tracer", "at_work")

    def __init__(self, tracer: Tracer, roots: bool) -> None:
        self._tracer = tracer
        self._roots = roots  # whether a span may be the first of its trace
        self._failures = count(1)
        self._logged_at = -_MINUTE
        self.at_work: set[int] = set()  # threads in which a span is begun or ended

    def note_failure(self, what: str, of: object) -> None:
        """Log the error that is being handled, if that was not done within the last minute."""
        number, now = next(self._failures), monotonic()
        if now - self._logged_at >= _MINUTE:
            self._logged_at = now
            report("%s: %s (failures until now: %d)", what, of, number)

    def goes_on(self) -> bool:
        return self._roots or _goes_on(contexts.get_current())

    def goes_on_with(self, values: Values, /) -> bool:
        if self._roots or not values:
            return self._roots
        return any(_goes_on(now) for what, now in values if what is CURRENT)

    def later(self, values: Values, /) -> Values:
        """Return `values` for a timer's message, which links to what is current, and no more."""
        return tuple([_linked(pair) if pair[0] is CURRENT else pair for pair in values])

    def call(self, kind: str, pid: Any, request: Any, /) -> _Trace | None:
        return self._begin(SpanKind.CLIENT, pid, _of_call, kind, request)

    def send(self, how: str, kind: str, pid: Any, message: Any, /) -> _Trace | None:
        return self._begin(SpanKind.PRODUCER, pid, _of_message, how, "send", kind, message)

    def handle(self, kind: str, pid: Any, message: Any, /) -> _Trace | None:
        if type(message) is Call:
            return self._begin(SpanKind.SERVER, pid, _of_call, kind, message.request)
        return self._begin(
            SpanKind.CONSUMER, pid, _of_message, "process", "process", kind, message
        )

    def within(self, how: str, kind: str, pid: Any, what: Any, /) -> _Trace | None:
        return self._begin(SpanKind.INTERNAL, pid, _of_own_work, how, kind, what)

    def _begin(
        self,
        kind: SpanKind,
        pid: Any,
        describe: Callable[..., tuple[str, dict[str, str]]],
        *what: Any,
    ) -> _Trace | None:
        here = contexts.get_current()
        if not (self._roots or _goes_on(here)):
            return None
        me = get_ident()
        if me in self.at_work or any(here.get(key) for key in _SUPPRESSED):
            return None
        name = what[0]
        try:
            self.at_work.add(me)
            name, attributes = describe(*what)
            if pid is not None:
                attributes["fauxtp.pid"] = str(pid)
            set_by = here.get(_SET_BY)
            links = [Link(set_by)] if isinstance(set_by, SpanContext) else None
            span = self._tracer.start_span(name, kind=kind, attributes=attributes, links=links)
            return _Trace(span, self)
        except Exception:  # of a sampler, or of whatever else the program has put there
            self.note_failure("a span could not be begun", name)
            return None
        finally:
            self.at_work.discard(me)


@final
class _Trace:
    """One span: a `fauxtp._base.tracing.Trace`."""

    __slots__ = ("_applied", "_span", "_spans")

    def __init__(self, span: Span, spans: Spans) -> None:
        self._applied: Applied | None = None
        self._span = span
        self._spans = spans

    def enter(self) -> None:
        current = set_span_in_context(self._span)
        if _SET_BY in current:
            current = contexts.set_value(_SET_BY, None, current)  # what comes of this has it above
        self._applied = applied = Applied(((CURRENT, current),))
        applied.enter()

    def leave(self) -> None:
        if self._applied is not None:
            self._applied.leave()

    def end(self, error: BaseException | None) -> None:
        me, span, at_work = get_ident(), self._span, self._spans.at_work
        is_outermost = me not in at_work
        try:
            at_work.add(me)
            if error is not None and span.is_recording():
                _record(span, error)
            span.end()
        except Exception:  # of who exports it
            self._spans.note_failure("a span could not be ended", span)
        finally:
            if is_outermost:
                at_work.discard(me)


def _linked(pair: tuple[Variable, Any]) -> tuple[Variable, Any]:
    variable, current = pair
    span = get_current_span(current).get_span_context()
    if not span.is_valid:
        return pair
    return variable, contexts.set_value(_SET_BY, span, set_span_in_context(INVALID_SPAN, current))


def _goes_on(here: Context) -> bool:
    """Return whether there is a trace to go on with, and a sampler keeps it."""
    if not here:
        return False
    span: Any = here.get(_SET_BY) or get_current_span(here).get_span_context()
    return bool(span.trace_flags.sampled)


def _of_call(kind: str, request: Any) -> tuple[str, dict[str, str]]:
    """Return the name and the attributes of a span of a call, at either end."""
    method = f"{kind}/{_word(request)}"
    return method, {"rpc.system.name": _SYSTEM, "rpc.method": method}


def _of_message(how: str, what: str, kind: str, message: Any) -> tuple[str, dict[str, str]]:
    """Return the name and the attributes of a span of a message, at either end."""
    inner = message.request if type(message) is Cast else message
    attributes = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": how,
        "messaging.operation.type": what,
        "fauxtp.message": _word(inner),
    }
    if kind:
        attributes["messaging.destination.name"] = kind
    return f"{how} {kind}".rstrip(), attributes


def _of_own_work(how: str, kind: str, what: Any) -> tuple[str, dict[str, str]]:
    """Return the name and the attributes of a span of what a process does by itself."""
    attributes = {"fauxtp.class": kind}
    if what is not None:
        attributes["fauxtp.message"] = _word(what)
    return f"{how} {kind}", attributes


def _word(request: Any) -> str:
    """Return what a log says of a request, in a word."""
    text = label(request)
    found = _WORD.match(text)
    return text if found is None else found[1]


def _text(error: BaseException) -> str:
    """Return what is in an error, but for secrets; one of fauxtp's may tell of another's."""
    told = error.reason.exception if isinstance(error, ProcessExited) else None
    text = described(error if told is None else told, contents.limit, contents.secrets)
    return text if told is None else f"exited: {text}"


def _record(span: Span, error: BaseException) -> None:
    """Note the error: its text without secrets, and where it came from without values."""
    if isinstance(error, Exception):
        kind, text = full_name(type(error)).removeprefix("builtins."), _text(error)
        lines = traceback.format_tb(error.__traceback__, -_FRAMES)
        attributes = {
            "exception.type": kind,
            "exception.message": text,
            "exception.stacktrace": "".join(lines),
        }
        span.add_event("exception", attributes)
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR, text)
