"""Spans as OpenTelemetry makes them: begun below a traceparent, or linked to one, and ended.

A message between actors costs a few microseconds and its span several times as much, so what every message would
make anew is kept: name and attributes for each kind of actor, the spans of messages that are being handled (what
their handlers ask of others begins below them), and some other parents. All of it is bounded. Only the API of
OpenTelemetry is used, and this module is imported with the first `Telemetry` that has somewhere to send spans to.
It does not know what the spans are about.
"""

from collections.abc import Mapping
from typing import Final, final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    set_span_in_context,
)

from casework.runtime.seams import MICROS, Clock, SystemClock
from casework.runtime.telemetry_table import AGENT, MESSAGE, SpanRow
from casework.runtime.traceparent import trace_numbers

#: Name under which spans are made.
SCOPE: Final = "casework"
#: Kinds of actors whose attributes are kept: more than a service has; those beyond cost a little time.
KINDS_MAX: Final = 256
#: Parents from elsewhere that are kept, such as cases; few, for they are to stay in the processor's cache.
PARENTS_MAX: Final = 64
#: Messages being handled whose spans are kept as parents; what is asked by those beyond costs a little more.
HANDLING_MAX: Final = 10_000

_NANOSECONDS: Final = 1_000_000_000 // MICROS
_CONSUMER: Final = SpanKind[MESSAGE.kind.upper()]
_NOWHERE: Final = Context()


@final
class Spans:
    """Makes spans of the table by one tracer."""

    __slots__ = ("_handling", "_kinds", "_parents", "_start", "_wall_micros")

    def __init__(self, provider: TracerProvider, clock: Clock) -> None:
        # The SDK reads this machine's clock itself, and in less time; any other clock has to be asked.
        self._wall_micros = None if isinstance(clock, SystemClock) else clock.wall_micros
        self._start = provider.get_tracer(SCOPE).start_span
        self._kinds: dict[str, tuple[str, dict[str, str]]] = {}
        self._parents: dict[str, Context] = {}
        self._handling: dict[str, Span] = {}

    def start(self, row: SpanRow, about: str, trace: str, attributes: Mapping[str, str]) -> tuple[str, Span | None]:
        """Begin a span below `trace`, or a root if that is no traceparent; give its traceparent as well.

        The span is None, and the traceparent `trace`, when there is nobody who would take it.
        """
        span = self._start(
            row.name.format(about),
            self._below(trace),
            SpanKind[row.kind.upper()],
            attributes,
            start_time=self._nanoseconds(),
        )
        own = span.get_span_context()
        return (_text(own), span) if own.is_valid else (trace, None)

    def message(self, kind: str, trace: str, *, asked: bool) -> tuple[str, Span | None]:
        """Begin the span of a message: a child of `trace` if it was asked, else a root with a link to it.

        The span is None when the sampler does not want it; the traceparent then says so to whatever comes below.
        """
        name, attributes = self._kinds.get(kind) or self._new_kind(kind)
        now = self._nanoseconds()
        if asked:
            span = self._start(name, self._below(trace), _CONSUMER, attributes, start_time=now)
        else:
            span = self._start(name, _NOWHERE, _CONSUMER, attributes, self._links(trace), start_time=now)
        own = span.get_span_context()
        if not span.is_recording():
            return (_text(own) if own.is_valid else trace), None
        text = _text(own)
        if len(self._handling) < HANDLING_MAX:
            self._handling[text] = span
        return text, span

    def end_message(self, traceparent: str, span: Span, error: str) -> None:
        """End the span of a message; `error` marks it as failed."""
        self._handling.pop(traceparent, None)
        if error:
            _fail(span, error)
        span.end(self._nanoseconds())

    def end(self, span: Span, error: str, agent: str) -> None:
        """End a span; `error` marks it as failed, `agent` gives it its final name."""
        if agent:
            span.update_name(AGENT.name.format(agent))
            span.set_attribute("gen_ai.agent.name", agent)
        if error:
            _fail(span, error)
        span.end(self._nanoseconds())

    def _nanoseconds(self) -> int | None:
        return None if self._wall_micros is None else self._wall_micros() * _NANOSECONDS

    def _new_kind(self, kind: str) -> tuple[str, dict[str, str]]:
        attributes = {
            "messaging.system": "casework",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": kind,
        }
        made = MESSAGE.name.format(kind), attributes
        if len(self._kinds) < KINDS_MAX:
            self._kinds[kind] = made
        return made

    def _below(self, trace: str) -> Context:
        """Give the context in which a span is a child of `trace`, or a root."""
        above = self._handling.get(trace)
        if above is not None:
            return set_span_in_context(above, _NOWHERE)
        context = self._parents.get(trace)
        if context is None:
            parent = _remote(trace)
            if parent is None:
                return _NOWHERE
            if len(self._parents) >= PARENTS_MAX:
                # All at once: what is still in use is back with the next message, and nothing is counted on the way.
                self._parents.clear()
            context = self._parents[trace] = set_span_in_context(NonRecordingSpan(parent), _NOWHERE)
        return context

    def _links(self, trace: str) -> list[Link]:
        above = self._handling.get(trace)
        origin = _remote(trace) if above is None else above.get_span_context()
        return [] if origin is None else [Link(origin)]


def _remote(trace: str) -> SpanContext | None:
    numbers = trace_numbers(trace)
    if numbers is None:
        return None
    trace_id, span_id, flags = numbers
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def _text(own: SpanContext) -> str:
    # Every message pays for this: taken apart once and by `%`, it is done in half the time.
    trace_id, span_id, _, flags, _, _ = own
    return "00-%032x-%016x-%02x" % (trace_id, span_id, flags)  # noqa: UP031


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))
