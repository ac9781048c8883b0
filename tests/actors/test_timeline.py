"""A log is told line by line, and nothing in it stops the telling."""

import msgspec
import pytest

from casework.actors.timeline import VALUE_CHARS_MAX, timeline
from casework.protocols.codec import encode, kind_of, pack
from casework.protocols.effects import Effect, Standing, Write
from casework.protocols.records import (
    Arrived,
    Call,
    Cancel,
    CaseResult,
    Chapter,
    Child,
    Closed,
    Decided,
    Decision,
    Done,
    Drawn,
    Entry,
    Fired,
    Halted,
    Intent,
    Migrated,
    Noted,
    Opened,
    Parked,
    Partial,
    Reckoned,
    Reported,
    Review,
    ReviewAction,
    Sent,
    Stopped,
    Timer,
    Undone,
    Unparked,
    Verdict,
    Withdrawn,
    Won,
)
from casework.protocols.wire import Budget, Completed, Evidence, Failed, FailureKind, OnStop, RiskTier, Task
from casework.runtime.store.base import Record

VERDICT = Verdict(allowed=True, rule="allowed", policy_hash="p")
NO = Verdict(allowed=False, rule="denied", policy_hash="p")
TASK = Task(
    id="t",
    tenant="default",
    case_id="c",
    step_id="read",
    task="read",
    goal="Read it",
    success_criteria=(),
    inputs=pack({"a": 1}),
    tools_allowed=("look",),
    risk_tier=RiskTier.READ_ONLY,
    deadline=1,
    attempts=1,
    budget=Budget(calls=1),
    on_stop=OnStop.FAIL,
    sender="flow:f",
    purpose="p",
)

TOLD: list[tuple[Entry, str]] = [
    (Opened(flow="f", version="1", source_hash="s", crew="w", parent="q"), "below case q"),
    (TASK, "task read was given out: Read it"),
    (Completed(task_id="t", agent="reader/1", confidence=0.9), "reader/1 completed it with confidence 0.90"),
    (Failed(task_id="t", kind=FailureKind.TIMEOUT, message="slow"), "attempt 1 failed (timeout): slow"),
    (Call(tool="look", arguments=pack({}), verdict=VERDICT), "tool look was called"),
    (Call(tool="look", arguments=pack({}), verdict=NO, failure=FailureKind.REFUSED, message="no"), "was refused: no"),
    (
        Call(tool="look", arguments=pack({}), verdict=VERDICT, failure=FailureKind.ERROR, message="x"),
        "no value (error)",
    ),
    (
        Intent(tool="w", arguments=pack({}), tier=RiskTier.REVERSIBLE, key="k", call_before=1, verdict=VERDICT),
        "(reversible) is about to be called",
    ),
    (Done(tool="w", found_by="lookup"), "tool w did it, as lookup found out"),
    (Undone(tool="w", kind=FailureKind.ERROR, message="x"), "tool w did not do it (error): x"),
    (Review(id="r", title="How much?", proposal=pack(1), proposal_hash="h", rule="u"), "a person is asked: How much?"),
    (Decided(review_id="r", action=ReviewAction.APPROVE, by="ann", proposal_hash="h"), "ann approved it"),
    (Withdrawn(review_id="r"), "not asked any more"),
    (Parked(key="k", reason="r"), "the case waits for k"),
    (Unparked(key="k"), "does not wait for k any more"),
    (Arrived(key="k", message_id="m", by="ann"), "k arrived from ann"),
    (Timer(due=5), "waits for a moment"),
    (Fired(due=5), "the moment came"),
    (Child(case_id="c/1", flow="g"), "case c/1 of flow g was opened below this one"),
    (Sent(case_id="d", key="k"), "k was sent to case d"),
    (Reported(message_id="m", case_id="c/1", status="closed", result="completed"), "it is closed (completed)"),
    (Stopped(case_id="c/1"), "case c/1 was asked to stop"),
    (Drawn(value=pack(1)), "was drawn"),
    (Noted(text="odd", level="warning"), "warning: odd"),
    (Decision(subject="vat", options=("a", "b"), chosen="a", rule="r"), "decided on vat: a"),
    (Won(branch=1), "branch 1 ended first"),
    (Cancel(message_id="m", by="ann"), "ann asked the case to stop"),
    (Halted(reason="r"), "cannot go on by itself"),
    (
        Chapter(number=2, identity="1", flow="f", version="1", source_hash="s", crew="w"),
        "chapter 2 began",
    ),
    (
        Migrated(version="2", source_hash="b", version_before="1", source_hash_before="a", by="ann"),
        "ann had the case go on with version 2 of its flow, before 1",
    ),
    (
        Reckoned(writes=(Write(step_id="saga/pay", tool="pay", key="k", standing=Standing.DONE),)),
        "something failed; writes before: 1",
    ),
    (
        Partial(done=(Effect(step_id="saga/pay", tool="pay", key="k", why="no tool undoes pay"),)),
        "the case is partial: 1 done, 0 undone, 0 unknown",
    ),
    (Closed(result=CaseResult.PARTIAL), "the case closed: partial"),
]


def _record(seq: int, kind: str, frame: bytes) -> Record:
    return Record(seq=seq, epoch=1, kind=kind, step_id="step", at=7, frame=frame, hash=b"")


@pytest.mark.parametrize(
    ("entry", "text"), TOLD, ids=[f"{number}-{kind_of(entry)}" for number, (entry, _) in enumerate(TOLD)]
)
def test_every_kind_of_record_is_told_in_a_sentence(entry: Entry, text: str) -> None:
    (line,) = timeline([_record(3, kind_of(entry), encode(entry))])
    assert text in line.text
    assert (line.seq, line.at, line.step, line.kind) == (3, 7, "step", kind_of(entry))


def test_every_kind_of_record_stands_in_this_test() -> None:
    assert {type(entry) for entry, _ in TOLD} == set(Entry.__args__)


def test_a_decision_is_told_with_options_chosen_rule_and_confidence() -> None:
    entry = Decision(
        subject="vat", options=("a", "b"), chosen="a", rule="higher", confidence=0.8, why="seen", inputs_hash="1f"
    )
    (line,) = timeline([_record(0, "decision", encode(entry))])
    expected = {"options": "a, b", "chosen": "a", "rule": "higher", "confidence": "0.80", "why": "seen"}
    assert dict(line.details) == expected | {"inputs": "1f"}
    assert line.text == "decided on vat: a of [a, b] by rule higher, confidence 0.80: seen"


def test_a_choice_of_none_says_so() -> None:
    (line,) = timeline([_record(0, "decision", encode(Decision(subject="route", options=(), chosen="", rule="r")))])
    assert line.text == "decided on route: none of [] by rule r, confidence 1.00"


def test_a_call_is_told_with_the_rule_that_ruled_on_it_and_why() -> None:
    verdict = Verdict(allowed=False, rule="tier.task", policy_hash="p", why="irreversible is above read_only")
    (line,) = timeline([_record(0, "call", encode(Call(tool="pay", arguments=pack({}), verdict=verdict)))])
    assert dict(line.details)["rule"] == "tier.task: irreversible is above read_only"


def test_evidence_is_told_by_name_and_place() -> None:
    entry = Completed(task_id="t", evidence=(Evidence(ref="input:a.pdf", label="a.pdf"), Evidence(ref="input:b.pdf")))
    (line,) = timeline([_record(0, "completed", encode(entry))])
    assert dict(line.details)["evidence"] == "a.pdf (input:a.pdf), input:b.pdf"


def test_what_stands_after_a_failure_is_told_by_step_tool_and_key() -> None:
    entry = Partial(
        done=(Effect(step_id="saga/pay", tool="pay", key="12ab", why="no tool undoes pay"),),
        undone=(Effect(step_id="saga/buy", tool="buy", key="34cd"),),
    )
    (line,) = timeline([_record(0, "partial", encode(entry))])
    assert dict(line.details) == {
        "done": "saga/pay by pay, key 12ab: no tool undoes pay",
        "undone": "saga/buy by buy, key 34cd",
    }


def test_a_long_value_is_cut() -> None:
    (line,) = timeline([_record(0, "drawn", encode(Drawn(value=pack("x" * 5_000))))])
    assert len(dict(line.details)["value"]) == VALUE_CHARS_MAX


def test_what_cannot_be_read_is_a_line_and_the_lines_after_it_are_told() -> None:
    unknown = msgspec.msgpack.encode({"type": "from_the_future", "x": 1})
    lines = timeline(
        [
            _record(0, "from_the_future", unknown),
            _record(1, "noted", b"\xff\xff"),
            _record(2, "noted", b""),
            _record(3, "noted", encode(Noted(text="still here"))),
        ]
    )
    assert "does not know" in lines[0].text
    assert "cannot be read" in lines[1].text
    assert "removed" in lines[2].text
    assert lines[3].text == "still here"
