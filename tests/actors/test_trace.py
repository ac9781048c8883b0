"""A trace for the Jaeger UI is made from logs alone and is what that program reads."""

from collections.abc import Sequence

import jsonschema
import pytest

from casework.actors.trace import jaeger_json
from casework.protocols.codec import encode, kind_of, pack
from casework.protocols.records import (
    Arrived,
    Call,
    CaseResult,
    Child,
    Closed,
    Decision,
    Done,
    Entry,
    Intent,
    Noted,
    Opened,
    Parked,
    Verdict,
)
from casework.protocols.wire import Budget, Completed, FailureKind, OnStop, RiskTier, Task
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, Record
from casework.runtime.traceparent import derived_traceparent, trace_ids

TAG = {
    "type": "object",
    "required": ["key", "type", "value"],
    "properties": {"key": {"type": "string"}, "type": {"enum": ["string", "bool", "int64", "float64"]}},
}
SPAN = {
    "type": "object",
    "required": [
        "traceID",
        "spanID",
        "operationName",
        "references",
        "startTime",
        "duration",
        "tags",
        "logs",
        "processID",
    ],
    "properties": {
        "traceID": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "spanID": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "operationName": {"type": "string", "minLength": 1},
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["refType", "traceID", "spanID"],
                "properties": {"refType": {"enum": ["CHILD_OF", "FOLLOWS_FROM"]}},
            },
        },
        "startTime": {"type": "integer", "minimum": 1},
        "duration": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": TAG},
        "logs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["timestamp", "fields"],
                "properties": {"timestamp": {"type": "integer"}, "fields": {"type": "array", "items": TAG}},
            },
        },
        "processID": {"type": "string"},
    },
}
UPLOAD = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["traceID", "spans", "processes"],
                "properties": {
                    "spans": {"type": "array", "items": SPAN},
                    "processes": {
                        "type": "object",
                        "additionalProperties": {"type": "object", "required": ["serviceName", "tags"]},
                    },
                },
            },
        }
    },
}
VERDICT = Verdict(allowed=True, rule="allowed", policy_hash="p")
SECRET = "NL44RABO0123456789"
ROOT = derived_traceparent("q")
BELOW = derived_traceparent("q/1", ROOT)


def _row(case_id: str, flow: str, next_seq: int, parent: str = "") -> CaseRow:
    return CaseRow(
        key=CaseKey("default", case_id),
        epoch=1,
        next_seq=next_seq,
        node="",
        status=CaseStatus.PARKED,
        result="",
        flow=flow,
        version="1",
        source_hash="s",
        crew="books",
        parent=parent,
        head=b"",
        opened_at=1_000_000,
        changed_at=2_000_000,
    )


def _log(entries: Sequence[tuple[str, Entry]]) -> list[Record]:
    return [
        Record(seq, 1, kind_of(entry), step, 1_000_000 + seq * 100, encode(entry), b"")
        for seq, (step, entry) in enumerate(entries)
    ]


def _task(step_id: str) -> Task:
    return Task(
        id=f"id-{step_id}",
        tenant="default",
        case_id="q",
        step_id=step_id,
        task="read",
        goal=SECRET,
        success_criteria=(),
        inputs=pack({"iban": SECRET}),
        tools_allowed=(),
        risk_tier=RiskTier.READ_ONLY,
        deadline=1,
        attempts=1,
        budget=Budget(calls=1),
        on_stop=OnStop.FAIL,
        sender="flow:quarter",
        purpose="p",
    )


def _quarter() -> tuple[CaseRow, list[Record]]:
    look = Call(tool="look", arguments=pack({}), verdict=VERDICT, failure=FailureKind.TIMEOUT)
    write = Intent(tool="write", arguments=pack({}), tier=RiskTier.REVERSIBLE, key="k", call_before=1, verdict=VERDICT)
    entries: list[tuple[str, Entry]] = [
        ("", Opened(flow="quarter", version="1", source_hash="s", crew="books", trace=ROOT)),
        ("read", _task("read")),
        ("read:look", look),
        ("read:look#1", look),
        ("read", Completed(task_id="id-read", agent="reader/1")),
        ("decision", Decision(subject="vat", options=("a",), chosen=SECRET, rule="r")),
        ("write", write),
        ("write", Done(tool="write")),
        ("note", Noted(text=SECRET)),
        ("open", Child(case_id="q/1", flow="booking")),
        ("park", Parked(key="paper", reason=SECRET)),
    ]
    return _row("q", "quarter", len(entries)), _log(entries)


def _booking(number: int = 1, trace: str = BELOW) -> tuple[CaseRow, list[Record]]:
    entries: list[tuple[str, Entry]] = [
        ("", Opened(flow="booking", version="1", source_hash="s", crew="books", trace=trace, parent="q")),
        ("park", Parked(key="paper", reason="r")),
        ("park", Arrived(key="paper", message_id="m", by="ann")),
        ("case", Closed(result=CaseResult.FAILED)),
    ]
    return _row(f"q/{number}", "booking", len(entries), "q"), _log(entries)


def _named(made: dict[str, object]) -> dict[str, dict[str, object]]:
    jsonschema.validate(made, UPLOAD)
    data = made["data"]
    assert isinstance(data, list)
    (trace,) = data
    return {f"{span['operationName']}": span for span in trace["spans"]}


def _tag(span: dict[str, object], key: str) -> object:
    tags = span["tags"]
    assert isinstance(tags, list)
    return next((tag["value"] for tag in tags if tag["key"] == key), None)


def _parent(span: dict[str, object]) -> object:
    references = span["references"]
    assert isinstance(references, list)
    return references[0]["spanID"] if references else None


def test_a_span_for_each_thing_that_took_time_hangs_where_it_belongs() -> None:
    spans = _named(jaeger_json([_quarter()]))
    root, task = spans["invoke_workflow quarter"], spans["invoke_agent reader/1"]
    assert set(spans) == {
        "invoke_workflow quarter",
        "invoke_agent reader/1",
        "execute_tool look",
        "execute_tool write",
        "open q/1",
        "park",
    }
    assert trace_ids(ROOT) == (root["traceID"], root["spanID"])
    assert _parent(task) == root["spanID"]
    assert _parent(spans["execute_tool look"]) == task["spanID"]
    assert _parent(spans["park"]) == root["spanID"]
    assert (task["startTime"], task["duration"]) == (1_000_100, 300)
    assert _tag(spans["execute_tool look"], "error.type") == "timeout"


def test_what_took_no_time_is_a_log_line() -> None:
    root = _named(jaeger_json([_quarter()]))["invoke_workflow quarter"]
    logs = root["logs"]
    assert isinstance(logs, list)
    assert [log["fields"][0]["value"] for log in logs] == ["decision", "noted"]


def test_what_has_not_ended_lasts_until_the_last_record() -> None:
    spans = _named(jaeger_json([_quarter()]))
    assert _tag(spans["park"], "casework.ended") is False
    assert _tag(spans["execute_tool write"], "casework.ended") is None


def test_cases_below_are_in_the_same_trace_under_the_step_that_opened_them() -> None:
    spans = _named(jaeger_json([_quarter(), _booking()]))
    below = spans["invoke_workflow booking"]
    assert _parent(below) == spans["open q/1"]["spanID"]
    assert below["traceID"] == spans["invoke_workflow quarter"]["traceID"]
    assert below["processID"] != spans["invoke_workflow quarter"]["processID"]
    assert _tag(below, "error.type") == "failed"


def test_the_same_log_gives_the_same_trace_and_no_span_id_twice() -> None:
    made = jaeger_json([_quarter(), _booking()])
    assert made == jaeger_json([_quarter(), _booking()])
    data = made["data"]
    assert isinstance(data, list)
    ids = [span["spanID"] for span in data[0]["spans"]]
    assert len(ids) == len(set(ids)) == 9


def test_cases_that_carry_the_traceparent_of_the_case_that_opened_them_have_span_ids_of_their_own() -> None:
    data = jaeger_json([_quarter(), _booking(1, ROOT), _booking(2, ROOT)])["data"]
    assert isinstance(data, list)
    (trace,) = data
    roots = [span for span in trace["spans"] if span["operationName"] == "invoke_workflow booking"]
    ids = {span["operationName"]: span["spanID"] for span in trace["spans"]}
    assert len({span["spanID"] for span in trace["spans"]}) == len(trace["spans"])
    assert trace_ids(ROOT) == (trace["traceID"], ids["invoke_workflow quarter"])
    # The second has no record of being opened in this log, so it hangs below the case itself.
    assert [_parent(root) for root in roots] == [ids["invoke_workflow quarter"], ids["open q/1"]]


def test_parents_stand_before_their_children() -> None:
    data = jaeger_json([_booking(), _quarter()])["data"]
    assert isinstance(data, list)
    seen: set[object] = set()
    for span in data[0]["spans"]:
        assert _parent(span) is None or _parent(span) in seen
        seen.add(span["spanID"])


@pytest.mark.parametrize("contents", [False, True])
def test_contents_are_in_it_only_when_asked_for(contents: bool) -> None:
    assert (SECRET in str(jaeger_json([_quarter()], contents=contents))) is contents


def test_a_log_without_a_traceparent_or_with_unreadable_records_still_has_a_trace() -> None:
    row, log = _quarter()
    opened = Opened(flow="quarter", version="1", source_hash="s", crew="books")
    log[0] = Record(0, 1, "opened", "", 1_000_000, encode(opened), b"")
    log[2] = Record(2, 1, "call", "read:look", 1_000_200, b"\xff", b"")
    assert "invoke_agent reader/1" in _named(jaeger_json([(row, log)]))
