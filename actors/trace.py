"""A case's log as a trace that the Jaeger UI opens by upload.

Built from records alone, so it exists for every case, whether or not anything listened while it ran. Everything that
took time is a span: the case, a task, a tool call, a review, a park, a timer. What took none (a decision, a note, a
retry) is a log line on the span it belongs to. A span that began but has not ended lasts until the last record.
Span ids grow from case and step, so the same log gives the same trace; cases that share a trace id share a trace.
Ids, names and rules only, unless `contents` is asked for. It does not know how OTLP export names its spans' ids.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import (
    Arrived,
    Call,
    Child,
    Closed,
    Decided,
    Decision,
    Done,
    Entry,
    Fired,
    Intent,
    Noted,
    Opened,
    Parked,
    Review,
    Timer,
    Undone,
    Unparked,
    Withdrawn,
)
from casework.protocols.wire import Completed, Failed, Task
from casework.runtime.flow.replay import MARK
from casework.runtime.store.base import CaseKey, CaseRow, Record
from casework.runtime.traceparent import derived_traceparent, trace_ids

_ENDS: Final = (Completed, Failed, Done, Undone, Decided, Withdrawn, Arrived, Unparked, Fired)


@dataclass(slots=True, eq=False)
class _Span:
    """One span while it is built."""

    trace_id: str
    span_id: str
    name: str
    start: int
    parent: "_Span | None"
    process: str
    end: int | None = None
    tags: dict[str, str | float | bool] = field(default_factory=dict[str, "str | float | bool"])
    logs: list[tuple[int, dict[str, str | float | bool]]] = field(
        default_factory=list[tuple[int, dict[str, "str | float | bool"]]]
    )


def jaeger_json(logs: Iterable[tuple[CaseRow, Sequence[Record]]], *, contents: bool = False) -> dict[str, object]:
    """Give the upload format of the Jaeger UI for one case or several, each with its whole log.

    A case whose parent is among them hangs below the step that opened it, else below that parent, if they share a
    trace.
    """
    built = [_Fold(row, contents=contents).run(records) for row, records in logs]
    opened_by = {(fold.row.key.tenant, case_id): span for fold in built for case_id, span in fold.children.items()}
    roots = {fold.row.key: fold.root for fold in built}
    traces: dict[str, list[_Span]] = {}
    processes: dict[str, CaseRow] = {}
    for fold in built:
        tenant, case_id = fold.row.key
        above = opened_by.get((tenant, case_id)) or roots.get(CaseKey(tenant, fold.row.parent))
        if above is not None and above.trace_id == fold.root.trace_id:
            fold.root.parent = above
        traces.setdefault(fold.root.trace_id, []).extend(fold.spans)
        processes.setdefault(_service(fold.row), fold.row)
    return {"data": [_trace(trace_id, spans, processes) for trace_id, spans in traces.items()]}


class _Fold:
    """The spans of one case."""

    def __init__(self, row: CaseRow, *, contents: bool) -> None:
        self.row = row
        self.children: dict[str, _Span] = {}
        self.spans: list[_Span] = []
        self._contents = contents
        self._open: dict[str, _Span] = {}
        self._seen: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._trace_id, root_id = _ids(row, "")
        self.root = self._new("", f"invoke_workflow {row.flow}", row.opened_at)
        if not row.parent:
            self.root.span_id = root_id
        self.root.tags |= {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": row.flow,
            "gen_ai.conversation.id": row.key.case_id,
            "casework.tenant": row.key.tenant,
            "casework.status": row.status.value,
        }

    def run(self, records: Sequence[Record]) -> "_Fold":
        """Take a whole log, in order."""
        for record in records:
            try:
                entry: Entry | None = decode_entry(record.frame)
            except ProtocolError:
                entry = None
            self._take(record, entry)
            self._latest[_scope(record.step_id)] = record.at
        last = records[-1].at if records else self.row.opened_at
        for span in self.spans:
            if span.end is None:
                span.end = last
                span.tags["casework.ended"] = False
        return self

    def _take(self, record: Record, entry: Entry | None) -> None:
        match entry:
            case Opened():
                self._trace_id, span_id = _ids(self.row, entry.trace)
                self.root.trace_id, self.root.start = self._trace_id, record.at
                if not self.row.parent:
                    # A case that another opened carries that one's traceparent: the id in it is taken.
                    self.root.span_id = span_id
            case Closed():
                self.root.end = record.at
                _result(self.root, "" if entry.result == "completed" else entry.result)
            case Call():
                began = record.at - entry.took if entry.took else self._since(record)
                span = self._new(record.step_id, f"execute_tool {entry.tool}", began)
                span.end = record.at
                span.tags |= _tool_tags(entry.tool, entry.verdict.rule, "read_only")
                if not entry.took:
                    span.tags["casework.start"] = "from the record before it"
                _result(span, entry.failure or "")
            case Child():
                span = self._new(record.step_id, f"open {entry.case_id}", record.at)
                span.end = record.at
                self.children[entry.case_id] = span
            case Task() | Intent() | Review() | Parked() | Timer() if not _given_on(record, entry):
                self._start(record, entry)
            case _ if isinstance(entry, _ENDS) and record.step_id in self._open:
                self._end(record, entry)
            case _:
                fields = _fields(record.kind, entry, contents=self._contents)
                self._enclosing(record.step_id).logs.append((record.at, fields))

    def _start(self, record: Record, entry: Task | Intent | Review | Parked | Timer) -> None:
        name, tags = _started(entry)
        span = self._new(record.step_id, name, record.at)
        span.tags |= tags
        if self._contents and isinstance(entry, Parked):
            span.tags["casework.reason"] = entry.reason
        self._open[record.step_id] = span

    def _end(self, record: Record, entry: Entry) -> None:
        span = self._open.pop(record.step_id)
        span.end = record.at
        match entry:
            case Completed():
                span.tags["casework.confidence"] = entry.confidence
                _agent(span, entry.agent)
            case Failed():
                _agent(span, entry.agent)
                _result(span, entry.kind)
            case Undone():
                _result(span, entry.kind)
            case Decided():
                span.tags["casework.review.action"] = entry.action.value
            case Withdrawn() | Unparked():
                span.tags["casework.withdrawn"] = True
            case _:
                return

    def _new(self, step_id: str, name: str, start: int) -> _Span:
        ordinal = self._seen.get(step_id, 0)
        self._seen[step_id] = ordinal + 1
        key = self.row.key
        text = "\0".join((key.tenant, key.case_id, step_id, str(ordinal)))
        made = hashlib.sha256(text.encode()).hexdigest()[:16]
        parent = self._enclosing(step_id) if self.spans else None
        span = _Span(self._trace_id, made, name, start, parent, _service(self.row))
        if step_id:
            span.tags["casework.step.id"] = step_id
        self.spans.append(span)
        return span

    def _enclosing(self, step_id: str) -> _Span:
        """Give the open span that a step is part of: its task or call, else the case."""
        outer = _scope(step_id)
        while outer:
            found = self._open.get(outer)
            if found is not None:
                return found
            outer = _scope(outer)
        return self._open.get(step_id, self.root)

    def _since(self, record: Record) -> int:
        """Estimate when a call began whose log says only when it ended: after what came before it in its scope."""
        scope = _scope(record.step_id)
        return max(self._latest.get(scope, 0), self._enclosing(record.step_id).start)


def _given_on(record: Record, entry: Entry) -> bool:
    """Tell whether it is a task that goes on with another deadline, which is no other span."""
    return isinstance(entry, Task) and MARK in record.step_id


def _scope(step_id: str) -> str:
    """Give the step of which this one is a part: `a@2:b` is part of `a`."""
    return step_id.rpartition(":")[0].rpartition("@")[0] or step_id.rpartition(":")[0]


def _ids(row: CaseRow, traceparent: str) -> tuple[str, str]:
    derived = trace_ids(derived_traceparent("\0".join(row.key)))
    assert derived is not None, "a derived traceparent is one"
    return trace_ids(traceparent) or derived


def _service(row: CaseRow) -> str:
    return f"{row.crew}.{row.flow}"


def _started(entry: Task | Intent | Review | Parked | Timer) -> tuple[str, dict[str, str | float | bool]]:
    match entry:
        case Task():
            tags: dict[str, str | float | bool] = {"gen_ai.operation.name": "invoke_agent"}
            return f"invoke_agent {entry.task}", tags | {"casework.task.name": entry.task, "casework.task.id": entry.id}
        case Intent():
            return f"execute_tool {entry.tool}", _tool_tags(entry.tool, entry.verdict.rule, entry.tier.value)
        case Review():
            return "review", {"casework.rule": entry.rule, "casework.review.id": entry.id}
        case Parked():
            return "park", {"casework.key": entry.key}
        case Timer():
            return "timer", {"casework.due": str(entry.due)}


def _tool_tags(tool: str, rule: str, tier: str) -> dict[str, str | float | bool]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "casework.rule": rule,
        "casework.tier": tier,
    }


def _agent(span: _Span, agent: str) -> None:
    if agent:
        span.name = f"invoke_agent {agent}"
        span.tags["gen_ai.agent.name"] = agent


def _result(span: _Span, failure: str) -> None:
    if failure:
        span.tags |= {"error": True, "error.type": failure}


def _fields(kind: str, entry: Entry | None, *, contents: bool) -> dict[str, str | float | bool]:
    fields: dict[str, str | float | bool] = {"event": kind}
    match entry:
        case Decision():
            fields |= {"subject": entry.subject, "rule": entry.rule, "confidence": entry.confidence}
            if contents:
                fields |= {"chosen": entry.chosen, "options": ", ".join(entry.options), "why": entry.why}
        case Noted():
            fields["level"] = entry.level
            if contents:
                fields |= {"text": entry.text, "place": entry.place}
        case Failed():
            fields |= {"error.type": entry.kind.value, "attempt": entry.attempt}
        case _:
            pass
    return fields


def _trace(trace_id: str, spans: list[_Span], rows: Mapping[str, CaseRow]) -> dict[str, object]:
    services = list(dict.fromkeys(span.process for span in spans))
    names = {service: f"p{number}" for number, service in enumerate(services, start=1)}
    return {
        "traceID": trace_id,
        "spans": [_span(span, names) for span in sorted(spans, key=_depth)],
        "processes": {
            names[service]: {
                "serviceName": service,
                "tags": _tags({"casework.crew": rows[service].crew, "casework.version": rows[service].version}),
            }
            for service in services
        },
    }


def _depth(span: _Span) -> int:
    """Give how deep a span lies: the Jaeger UI wants a parent before its children."""
    depth, above = 0, span.parent
    while above is not None:
        depth, above = depth + 1, above.parent
    return depth


def _span(span: _Span, processes: Mapping[str, str]) -> dict[str, object]:
    assert span.end is not None, "every span was ended"
    references = []
    if span.parent is not None:
        references = [{"refType": "CHILD_OF", "traceID": span.trace_id, "spanID": span.parent.span_id}]
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": references,
        "startTime": span.start,
        "duration": max(0, span.end - span.start),
        "tags": _tags(span.tags),
        "logs": [{"timestamp": at, "fields": _tags(fields)} for at, fields in span.logs],
        "processID": processes[span.process],
        "warnings": None,
    }


def _tags(values: Mapping[str, str | float | bool]) -> list[dict[str, object]]:
    return [{"key": key, "type": _type(value), "value": value} for key, value in values.items()]


def _type(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    return "float64" if isinstance(value, float) else "string"
