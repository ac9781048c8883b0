"""Spans and numbers are those of the table, carry no contents, and cost nothing while switched off."""

import logging
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from casework.runtime.telemetry import CHILDREN_MAX, Telemetry
from casework.runtime.telemetry_sdk import SpanIds
from casework.runtime.telemetry_table import ATTRIBUTES, METRICS, SPANS
from casework.runtime.traceparent import derived_traceparent, trace_ids
from tests.support import tracing


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Iterator[Telemetry]:
    provider = tracing.provider(SimpleSpanProcessor(exporter))
    yield Telemetry(provider=provider, metrics=True)
    provider.shutdown()


def _a_whole_case(telemetry: Telemetry) -> str:
    trace = telemetry.case_opened("quarter", "case-1", "0123")
    stretch = telemetry.case_run("quarter", "case-1", trace)
    work = telemetry.agent_work("categorise", trace, "case-1", "categorise")
    call = telemetry.tool_call("read_receipt", work.traceparent, "case-1", "categorise:read_receipt")
    call.end("timeout")
    telemetry.message("agent", work.traceparent, asked=True).end("timeout")
    work.end(agent="categoriser")
    stretch.end()
    return trace


def _parent(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent else 0


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number


def test_spans_of_a_case_hang_together_in_the_trace_that_its_log_names(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    trace = _a_whole_case(telemetry)
    call, message, work, root = exporter.get_finished_spans()
    ids = trace_ids(trace)
    assert ids is not None
    assert {span.context.trace_id for span in (call, message, work, root) if span.context} == {int(ids[0], 16)}
    assert _id(root) == int(ids[1], 16)
    assert (_parent(root), _parent(work), _parent(message), _parent(call)) == (0, _id(root), _id(work), _id(work))
    assert [span.name for span in (root, work, message, call)] == [
        "invoke_workflow quarter",
        "invoke_agent categoriser",
        "process agent",
        "execute_tool read_receipt",
    ]


def test_every_span_and_attribute_stands_in_the_table_and_every_row_is_emitted(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    _a_whole_case(telemetry)
    spans = exporter.get_finished_spans()
    rows = {row.name.split()[0]: row for row in SPANS}
    assert {span.name.split()[0] for span in spans} == set(rows)
    for span in spans:
        failing = {"error.type"} if not span.status.is_ok else set[str]()
        expected = set(rows[span.name.split()[0]].attributes) - {"error.type"} | failing
        assert set(span.attributes or {}) == expected
        assert span.kind.name.lower() == rows[span.name.split()[0]].kind
    assert {name for row in SPANS for name in row.attributes} == {row.name for row in ATTRIBUTES}


def test_a_later_process_continues_the_trace_below_its_root(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    trace = derived_traceparent("an id")
    telemetry.case_run("quarter", "case-1", trace).end()
    (stretch,) = exporter.get_finished_spans()
    ids = trace_ids(trace)
    assert ids is not None
    assert (stretch.context.trace_id if stretch.context else 0, _parent(stretch)) == (int(ids[0], 16), int(ids[1], 16))


def test_a_child_case_is_in_the_trace_of_its_parent(telemetry: Telemetry) -> None:
    above = telemetry.case_opened("quarter", "q", "1")
    below = telemetry.case_opened("booking", "q/1", "2", parent=above)
    first, second = trace_ids(above), trace_ids(below)
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_without_a_recorder_traceparents_are_valid_and_grow_from_the_id_alone() -> None:
    off = Telemetry.off()
    trace = off.case_opened("quarter", "q", "1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
    assert trace == Telemetry.off().case_opened("quarter", "q", "1")
    assert off.case_opened("booking", "q/1", "2", parent=trace).split("-")[1] == trace.split("-")[1]
    assert off.tool_call("read", trace, "q", "read").traceparent == trace
    assert not off.recording


@pytest.mark.parametrize("text", ["", "00", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-zz-11-01"])
def test_what_is_no_traceparent_is_not_taken_for_one(text: str) -> None:
    assert trace_ids(text) is None


def test_a_handle_ends_once(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    call = telemetry.tool_call("read", "", "q", "read")
    call.end()
    call.end("timeout")
    (span,) = exporter.get_finished_spans()
    assert span.status.is_ok
    assert b'casework_step_seconds_count{kind="call"} 1.0' in telemetry.expose()


def test_every_metric_of_the_table_is_exposed_and_nothing_else(telemetry: Telemetry) -> None:
    _a_whole_case(telemetry)
    telemetry.case_closed("quarter", "completed")
    telemetry.recorded("parked")
    telemetry.retried("categorise")
    telemetry.reviewed("approve")
    telemetry.before_expose(lambda: telemetry.mailbox_depth("agents", 3))
    telemetry.cases_open(2)
    text = telemetry.expose().decode()
    families = set(re.findall(r"^# TYPE (\w+) \w+$", text, re.MULTILINE))
    assert {name for name in families if not name.endswith("_created")} == {row.name for row in METRICS}
    for line in (
        'casework_cases_total{flow="quarter",result="completed"} 1.0',
        'casework_steps_total{kind="parked"} 1.0',
        "casework_parks_total 1.0",
        'casework_mailbox_depth{actor="agents"} 3.0',
        "casework_cases_open 2.0",
    ):
        assert line in text.splitlines()


def test_label_values_are_bounded(telemetry: Telemetry) -> None:
    for number in range(CHILDREN_MAX + 5):
        telemetry.retried(f"task-{number}")
    text = telemetry.expose().decode()
    assert 'casework_retries_total{task="other"} 5.0' in text
    assert f'task="task-{CHILDREN_MAX + 1}"' not in text


def test_two_in_one_process_do_not_meet() -> None:
    one, two = Telemetry(metrics=True), Telemetry(metrics=True)
    one.retried("categorise")
    assert b"categorise" not in two.expose()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_the_environment_leaves_traces_off_unless_it_asks_for_them(environ: dict[str, str]) -> None:
    assert not Telemetry.from_environment(environ).recording


def test_a_collector_that_does_not_answer_delays_the_end_by_no_more_than_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    before = threading.enumerate()
    telemetry = Telemetry.from_environment()
    assert telemetry.tracing
    telemetry.case_opened("quarter", "q", "1")
    ended = threading.Event()

    def end() -> None:
        telemetry.shutdown(0.2)
        ended.set()

    threading.Thread(target=end, daemon=True).start()
    assert ended.wait(5)
    # The exporter tries no longer: it would for ten seconds, beside whoever comes next.
    for thread in set(threading.enumerate()).difference(before):
        thread.join(5)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("asked", ["console", ""])
def test_spans_leave_the_interpreter_s_own_chance_as_it_was(asked: str, exporter: InMemorySpanExporter) -> None:
    provider = tracing.provider(SimpleSpanProcessor(exporter))
    telemetry = Telemetry.from_environment({"OTEL_TRACES_EXPORTER": asked}) if asked else Telemetry(provider=provider)
    before = random.getstate()
    traces = {_a_whole_case(telemetry) for _ in range(10)}
    telemetry.shutdown()
    provider.shutdown()
    assert random.getstate() == before
    assert len(traces) == 10


def test_ids_of_spans_are_never_zero() -> None:
    class Chance:
        def stream(self, name: str) -> random.Random:
            return Drawing()

    class Drawing(random.Random):
        drawn = 0

        def getrandbits(self, k: int, /) -> int:
            self.drawn += 1
            return 0 if self.drawn % 2 else (1 << k) - 1

    ids = SpanIds(Chance())
    assert (ids.generate_span_id(), ids.generate_trace_id()) == (2**64 - 1, 2**128 - 1)


def test_without_the_exporter_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    telemetry = Telemetry.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert not telemetry.recording
    (record,) = caplog.records
    assert "casework[otlp]" in record.getMessage()


def test_the_machine_is_imported_without_either_library() -> None:
    code = (
        "import sys, casework.runtime, casework.runtime.telemetry as t; t.Telemetry.off();"
        "sys.exit(any(n.startswith(('opentelemetry', 'prometheus_client')) for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0
