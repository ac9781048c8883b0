"""The span of one message: a child of what asked, a root with a link to what told, and next to nothing unsampled."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from casework.runtime.telemetry import Telemetry
from casework.runtime.telemetry_spans import HANDLING_MAX, KINDS_MAX, PARENTS_MAX
from casework.runtime.traceparent import derived_traceparent, is_unsampled, trace_ids, trace_numbers
from tests.support import tracing
from tests.support.manual_clock import ManualClock

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{TRACE[:-2]}00"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = tracing.provider(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def telemetry(provider: TracerProvider) -> Telemetry:
    return Telemetry(provider=provider)


def _ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def _numbers(traceparent: str) -> tuple[int, int]:
    numbers = trace_numbers(traceparent)
    assert numbers is not None
    return numbers[:2]


def _parent(span: ReadableSpan) -> tuple[int, int] | None:
    return (span.parent.trace_id, span.parent.span_id) if span.parent else None


def _links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


@pytest.mark.promise("KERNEL-18")
def test_the_span_of_an_ask_is_a_child_of_what_asked(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    telemetry.message("agent", TRACE, asked=True).end()
    (span,) = exporter.get_finished_spans()
    assert _parent(span) == _numbers(TRACE)
    assert _ids(span)[0] == _numbers(TRACE)[0]
    assert not span.links


@pytest.mark.promise("KERNEL-18")
def test_the_span_of_a_tell_is_a_root_with_a_link_to_what_told(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    telemetry.message("agent", TRACE, asked=False).end()
    (span,) = exporter.get_finished_spans()
    assert _parent(span) is None
    assert _ids(span)[0] != _numbers(TRACE)[0]
    assert _links(span) == [_numbers(TRACE)]


def test_a_span_says_what_the_conventions_for_messaging_ask(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    telemetry.message("agent", TRACE, asked=True).end()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("process agent", SpanKind.CONSUMER)
    assert dict(span.attributes or {}) == {
        "messaging.system": "casework",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "agent",
    }


def test_its_traceparent_is_that_of_the_span(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    handle = telemetry.message("agent", TRACE, asked=True)
    handle.end()
    (span,) = exporter.get_finished_spans()
    assert _numbers(handle.traceparent) == _ids(span)
    assert not is_unsampled(handle.traceparent)


@pytest.mark.parametrize("ended_first", [False, True])
def test_what_is_sent_by_a_handler_hangs_below_it_also_when_it_has_ended(
    telemetry: Telemetry, exporter: InMemorySpanExporter, *, ended_first: bool
) -> None:
    outer = telemetry.message("clerk", TRACE, asked=True)
    if ended_first:
        outer.end()
    telemetry.message("agent", outer.traceparent, asked=True).end()
    telemetry.message("ledger", outer.traceparent, asked=False).end()
    outer.end()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert _parent(spans["process agent"]) == _numbers(outer.traceparent)
    assert _links(spans["process ledger"]) == [_numbers(outer.traceparent)]


def test_a_failure_marks_the_span_by_its_kind(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    telemetry.message("agent", TRACE, asked=True).end("ValueError")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ValueError"


def test_the_handle_of_a_message_ends_once(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    handle = telemetry.message("agent", TRACE, asked=True)
    handle.end()
    handle.end("ValueError")
    (span,) = exporter.get_finished_spans()
    assert span.status.is_ok


@pytest.mark.parametrize("asked", [True, False])
def test_an_unsampled_message_makes_no_span_and_hands_its_traceparent_on(
    provider: TracerProvider, exporter: InMemorySpanExporter, *, asked: bool
) -> None:
    tracer = SimpleNamespace(start_span=lambda *_, **__: pytest.fail("the tracer was asked"))
    provider.get_tracer = lambda *_, **__: tracer  # type: ignore[method-assign,assignment]
    telemetry = Telemetry(provider=provider)
    handle = telemetry.message("agent", UNSAMPLED, asked=asked)
    handle.end("ValueError")
    assert handle.traceparent == UNSAMPLED
    assert not exporter.get_finished_spans()


def test_what_a_sampler_drops_is_dropped_for_all_that_is_below() -> None:
    telemetry = Telemetry(provider=tracing.provider(sampler=ALWAYS_OFF))
    handle = telemetry.message("agent", TRACE, asked=True)
    handle.end()
    assert is_unsampled(handle.traceparent)
    assert (trace_ids(handle.traceparent) or "")[0] == (trace_ids(TRACE) or "")[0]


@pytest.mark.parametrize("asked", [True, False])
def test_a_provider_that_records_nothing_leaves_the_traceparent_as_it_is(*, asked: bool) -> None:
    handle = Telemetry(provider=NoOpTracerProvider()).message("agent", TRACE, asked=asked)
    handle.end()
    assert handle.traceparent == TRACE


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("text", ["gibberish", "00", f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_what_is_no_traceparent_begins_a_trace(
    telemetry: Telemetry, exporter: InMemorySpanExporter, text: str, *, asked: bool
) -> None:
    telemetry.message("agent", text, asked=asked).end()
    (span,) = exporter.get_finished_spans()
    assert _parent(span) is None
    assert not span.links


def test_switched_off_or_shut_down_there_is_no_span(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    telemetry.shutdown()
    for silent in (telemetry, Telemetry.off(), Telemetry(metrics=True)):
        handle = silent.message("agent", TRACE, asked=True)
        handle.end()
        assert handle.traceparent == TRACE
    assert not exporter.get_finished_spans()


def test_a_span_bears_the_time_of_the_clock_that_was_handed_in(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    clock = ManualClock(1_000.0)
    handle = Telemetry(provider=provider, clock=clock).message("agent", TRACE, asked=True)
    clock.advance(2.0)
    handle.end()
    (span,) = exporter.get_finished_spans()
    assert (span.start_time, span.end_time) == (1_000_000_000_000, 1_002_000_000_000)


def test_nothing_that_is_kept_between_messages_grows_without_bound(provider: TracerProvider) -> None:
    telemetry, numbers = Telemetry(provider=provider), count(1)
    spans = telemetry._spans
    assert spans is not None
    for number in range(KINDS_MAX + PARENTS_MAX + 10):
        telemetry.message(f"kind-{number}", derived_traceparent(f"{next(numbers)}"), asked=True).end()
    assert len(spans._kinds) == KINDS_MAX
    assert len(spans._parents) <= PARENTS_MAX
    assert not spans._handling
    forgotten = [telemetry.message("agent", TRACE, asked=True) for _ in range(HANDLING_MAX + 1)]
    assert len(spans._handling) == HANDLING_MAX
    assert len(forgotten) == HANDLING_MAX + 1
