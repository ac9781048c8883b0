"""Spans as OpenTelemetry makes them: begun below a traceparent, or linked to one, and ended.

A message between actors costs a few microseconds and its span several times as much, so what every message would
make anew is kept: name and attributes for each kind of actor, the spans of messages that are being handled (what
their handlers ask of others begins below them), and some other parents. All of it is bounded. Only the API of
OpenTelemetry is used, and this module is imported with the first `Telemetry` that has somewhere to send spans to.
It does not know what the spans are about.
"""

from collections.abc import Callable, Mapping
from typing import Final, final

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
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
from casework.runtime.traceparent import is_unsampled, trace_numbers

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
#: Under which key a context holds its span: one made of a dict outright takes half the time.
(_SPAN_KEY,) = set_span_in_context(INVALID_SPAN, _NOWHERE)
_FLAGS: Final = tuple(f"{flags:02x}" for flags in range(256))


@final
class MessageSpan:
    """One message that is being handled."""

    __slots__ = ("_handling", "_span", "_wall_micros", "traceparent")

    def __init__(
        self,
        traceparent: str,
        span: Span | None,
        handling: dict[str, Span],
        wall_micros: Callable[[], int] | None,
    ) -> None:
        self.traceparent = traceparent  #: what the handler's own messages carry
        self._span = span
        self._handling = handling
        self._wall_micros = wall_micros

    def end(self, error: str = "") -> None:
        """End it, once; `error` is a kind of failure and never a message."""
        span = self._span
        if span is None:
            return
        self._span = None
        self._handling.pop(self.traceparent, None)
        if error:
            _fail(span, error)
        span.end(None if self._wall_micros is None else self._wall_micros() * _NANOSECONDS)


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

    def message(self, kind: str, trace: str, *, asked: bool) -> MessageSpan:
        """Begin the span of a message; see `Telemetry.message`, which is this method when spans are recorded."""
        wall_micros, handling = self._wall_micros, self._handling
        if is_unsampled(trace):
            return MessageSpan(trace, None, handling, wall_micros)
        name, attributes = self._kinds.get(kind) or self._new_kind(kind)
        now = None if wall_micros is None else wall_micros() * _NANOSECONDS
        if asked:
            span = self._start(name, self._below(trace), _CONSUMER, attributes, None, now)
        else:
            span = self._start(name, _NOWHERE, _CONSUMER, attributes, self._links(trace), now)
        own = span.get_span_context()
        text = _text(own)
        if not span.is_recording():
            # The sampler does not want it, and the traceparent says so to whatever comes below.
            return MessageSpan(text if own.is_valid else trace, None, handling, wall_micros)
        if len(handling) < HANDLING_MAX:
            handling[text] = span
        return MessageSpan(text, span, handling, wall_micros)

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
            return Context({_SPAN_KEY: above})
        context = self._parents.get(trace)
        if context is None:
            parent = _remote(trace)
            if parent is None:
                return _NOWHERE
            if len(self._parents) >= PARENTS_MAX:
                # All at once: what is still in use is back with the next message, and nothing is counted on the way.
                self._parents.clear()
            context = self._parents[trace] = Context({_SPAN_KEY: NonRecordingSpan(parent)})
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
    # Every message pays for this: from the ids' bytes it takes half the time that it takes to format numbers.
    trace_id, span_id, _, flags, _, _ = own
    return f"00-{trace_id.to_bytes(16, 'big').hex()}-{span_id.to_bytes(8, 'big').hex()}-{_FLAGS[flags]}"


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))
