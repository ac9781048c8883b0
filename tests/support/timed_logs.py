"""Logs made by hand, moment by moment, for tests of what is told of where time went."""

from typing import Any

from casework.protocols.codec import encode, kind_of, pack
from casework.protocols.records import (
    Arrived,
    Call,
    CaseResult,
    Closed,
    Decided,
    Decision,
    Entry,
    Fired,
    Intent,
    Opened,
    Parked,
    Review,
    ReviewAction,
    Timer,
    Verdict,
)
from casework.protocols.wire import Budget, Completed, Failed, FailureKind, OnStop, RiskTier, Task
from casework.runtime.store.base import Record

ALLOWED = Verdict(allowed=True, rule="allowed", policy_hash="p")
OPENED = Opened(flow="f", version="1", source_hash="s", crew="w")
CLOSED = Closed(result=CaseResult.COMPLETED)
PARKED = Parked(key="k", reason="r")
ARRIVED = Arrived(key="k", message_id="m", by="ann")
TIMER, FIRED = Timer(due=1), Fired(due=1)
REVIEW = Review(id="r", title="t", proposal=pack(1), proposal_hash="h", rule="u")
DECIDED = Decided(review_id="r", action=ReviewAction.APPROVE, by="ann", proposal_hash="h")
INTENT = Intent(tool="pay", arguments=pack({}), tier=RiskTier.REVERSIBLE, key="k", call_before=1, verdict=ALLOWED)
ROUTE = Decision(subject="route", options=("w0",), chosen="w0", rule="route.free")
RETRY = Decision(subject="retry", options=("retry", "stop"), chosen="retry", rule="retry.read_only")
TASK = Task(
    id="t",
    tenant="default",
    case_id="c",
    step_id="book",
    task="book",
    goal="Book it",
    success_criteria=(),
    inputs=pack({"a": 1}),
    tools_allowed=("look",),
    risk_tier=RiskTier.READ_ONLY,
    deadline=1,
    attempts=1,
    budget=Budget(calls=1),
    on_stop=OnStop.PARK,
    sender="flow:f",
    purpose="p",
)


def call(took: int = 0) -> Call:
    return Call(tool="look", arguments=pack({}), verdict=ALLOWED, took=took)


def failed(kind: FailureKind = FailureKind.UNAVAILABLE, **fields: Any) -> Failed:
    return Failed(task_id="t", kind=kind, message="m", **fields)


def completed(**fields: Any) -> Completed:
    return Completed(task_id="t", agent="reader/1", **fields)


def log(*told: tuple[int, str, Entry], epoch: int = 1) -> list[Record]:
    """Make records of moments, steps and entries."""
    return [
        Record(seq, epoch, kind_of(entry), step, at, encode(entry), b"") for seq, (at, step, entry) in enumerate(told)
    ]
