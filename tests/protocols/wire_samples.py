"""One sample of every message, and the script that keeps today's bytes of each as a fixture.

    python -m tests.protocols.wire_samples

writes `tests/fixtures/wire/<name>.json` for samples that have none. A fixture that is there is never rewritten:
somebody's log holds such bytes, and every later version must read them.
"""

import json
from pathlib import Path
from typing import Final

from msgspec import Struct

from casework.protocols import effects, records, wire
from casework.protocols.codec import encode, kind_of, pack, plain_entry

FOLDER: Final = Path(__file__).parent.parent / "fixtures" / "wire"

MOMENT: Final = 1_782_900_000_000_000
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RECEIPT: Final = wire.Evidence(ref="input:receipts/bon-001.pdf", sha256="ab" * 32, label="bon-001.pdf")
ALLOWED: Final = records.Verdict(allowed=True, rule="allowed", policy_hash="cd" * 16)
CHANGED: Final = pack({"amount": "12.34", "reason": "mended"})
BOOKING: Final = pack({"category": "travel", "vat": "6.70", "lines": [9, 21], "sure": True, "note": None})
READ: Final = f"categorise:posted/read_receipt {'ab' * 32}"
MANDATE: Final = wire.Mandate(
    tools_allowed=("read_receipt",),
    risk_tier=wire.RiskTier.REVERSIBLE,
    deadline=MOMENT,
    budget=wire.Budget(calls=10, micros=5),
)
SPENT: Final = wire.Cost(calls=2, micros=1500)

SAMPLES: Final[tuple[Struct, ...]] = (
    records.Opened(
        flow="transaction",
        version="1",
        source_hash="ef" * 32,
        crew="bookkeeping",
        inputs=BOOKING,
        policy_hash="cd" * 16,
        parent="2026Q2",
        trace=TRACE,
        purpose="bookkeeping",
        mandate=MANDATE,
        project="2026-q3",
        user="ann",
    ),
    wire.Task(
        id="t-1",
        tenant="default",
        case_id="2026Q2/tx/ing-20260414-01",
        step_id="categorise",
        task="categorise",
        goal="Say what this payment was for",
        success_criteria=(wire.Criterion(name="returned"),),
        inputs=BOOKING,
        tools_allowed=("read_receipt",),
        risk_tier=wire.RiskTier.REVERSIBLE,
        deadline=MOMENT,
        attempts=3,
        budget=wire.Budget(calls=100, micros=5),
        on_stop=wire.OnStop.REVIEW,
        sender="2026Q2/tx/ing-20260414-01",
        purpose="bookkeeping",
        trace=TRACE,
    ),
    wire.Completed(
        task_id="t-1",
        value=BOOKING,
        confidence=0.95,
        evidence=(RECEIPT,),
        cost=SPENT,
        agent="receipts/1",
        attempt=2,
        checked=(wire.Checked(name="posted", met=True, read=(READ,)),),
        queued=150,
        worked=70_000,
    ),
    wire.Failed(
        task_id="t-1",
        kind=wire.FailureKind.TIMEOUT,
        message="no answer within 30 s",
        retryable=True,
        cost=SPENT,
        agent="receipts/1",
        attempt=3,
        checked=(wire.Checked(name="posted", met=False, read=(READ,)),),
        queued=150,
        worked=70_000,
        unseen=True,
    ),
    wire.CallAsked(task_id="t-1", attempt=1, tool="read_receipt", arguments=BOOKING, criterion="posted"),
    wire.CallAnswered(
        value=BOOKING,
        failure=wire.FailureKind.REFUSED,
        message="the policy denies it",
        step_id="categorise:posted/read_receipt",
    ),
    records.Call(
        tool="read_receipt",
        arguments=BOOKING,
        verdict=ALLOWED,
        value=BOOKING,
        failure=wire.FailureKind.UNAVAILABLE,
        message="the circuit is open",
        cost=SPENT,
        tries=3,
        edited=True,
        took=70_000,
    ),
    records.Intent(
        tool="write_overview",
        arguments=BOOKING,
        tier=wire.RiskTier.REVERSIBLE,
        key="0123456789abcdef",
        call_before=MOMENT,
        verdict=ALLOWED,
        edited=True,
        undoes="pay",
        accounts=("agent/acme/clerk", "tenant/acme"),
        micros=2500,
    ),
    records.Done(tool="write_overview", value=BOOKING, cost=SPENT, found_by="lookup"),
    records.Undone(tool="write_overview", kind=wire.FailureKind.UNKNOWN, message="no answer", cost=SPENT),
    records.Review(
        id="r-1",
        title="What is this?",
        proposal=BOOKING,
        proposal_hash="12" * 32,
        rule="low_confidence",
        summary="no pattern knows this payee",
        evidence=(RECEIPT,),
        consequences=(("approve", "it is booked"), ("reject", "it is not")),
        expires=MOMENT,
    ),
    records.Decided(
        review_id="r-1",
        action=records.ReviewAction.EDIT,
        by="anna",
        proposal_hash="12" * 32,
        reason="it was a train",
        edited=CHANGED,
        at=MOMENT,
        expired=True,
    ),
    records.Withdrawn(review_id="r-1"),
    records.Parked(key="receipt:ing-20260414-01", reason="missing_receipt: none fits"),
    records.Unparked(key="receipt:ing-20260414-01"),
    records.Arrived(key="receipt:ing-20260414-01", message_id="m-1", by="anna", value=BOOKING, evidence=RECEIPT),
    records.Timer(due=MOMENT),
    records.Fired(due=MOMENT),
    records.Child(case_id="2026Q2/tx/ing-20260414-01", flow="transaction", inputs=BOOKING, mandate=MANDATE),
    records.Sent(case_id="2026Q2/tx/ing-20260414-01", key="receipt:ing-20260414-01", value=BOOKING),
    records.Stopped(case_id="2026Q2/tx/ing-20260414-01", reason="the quarter was closed"),
    records.Reported(
        message_id="m-2",
        case_id="2026Q2/tx/ing-20260414-01",
        status="parked",
        result="completed",
        needs=("receipt:ing-20260414-01",),
        reasons=("missing_receipt: none fits",),
        kinds=("evidence",),
        value=BOOKING,
    ),
    records.Drawn(value=pack(MOMENT)),
    records.Noted(text="amount has two commas", level="error", place="ing.csv:17", data=BOOKING),
    records.Decision(
        subject="category",
        options=("office", "travel"),
        chosen="travel",
        rule="higher_confidence",
        why="0.95 against 0.80",
        confidence=0.95,
        inputs_hash="34" * 16,
        policy_hash="cd" * 16,
    ),
    records.Won(branch=1),
    records.Cancel(message_id="m-3", by="anna", reason="entered twice"),
    records.Halted(reason="flow transaction 1 has another source"),
    records.Chapter(
        number=2,
        identity="12" * 32,
        flow="ledger",
        version="1",
        source_hash="ab" * 8,
        crew="books",
        state=BOOKING,
        policy_hash="ef" * 16,
        parent="2026",
        trace="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        purpose="bookkeeping",
        mandate=MANDATE,
        project="2026-q3",
        user="ann",
        hasty=3,
        partial=True,
        waited=MOMENT,
    ),
    records.Migrated(
        version="2",
        source_hash="cd" * 8,
        version_before="1",
        source_hash_before="ab" * 8,
        by="anna",
        reason="rounds by the line now",
    ),
    records.Reckoned(
        writes=(
            effects.Write(
                step_id="saga/label.buy",
                tool="label.buy",
                key="56" * 16,
                why="the undo was not called",
                standing=effects.Standing.DONE,
                undo="label.cancel",
                delays=(0.2, 0.4),
            ),
        )
    ),
    records.Partial(
        done=(effects.Effect(step_id="saga/pay", tool="pay", key="78" * 16, why="no tool undoes pay"),),
        undone=(effects.Effect(step_id="saga/label.buy", tool="label.buy", key="56" * 16),),
        unknown=(effects.Effect(step_id="saga/mail", tool="mail", key="90" * 16, why="nobody knows"),),
    ),
    records.Closed(result=records.CaseResult.PARTIAL, value=BOOKING, error="write_overview is unknown"),
)


def write_missing(folder: Path = FOLDER) -> list[str]:
    """Write the fixtures that are not there yet; gives their names."""
    written: list[str] = []
    for sample in SAMPLES:
        path = folder / f"{kind_of(sample)}.json"
        if path.exists():
            continue
        frame = encode(sample)
        content = {"type": type(sample).__name__, "frame": frame.hex(), "says": plain_entry(frame)}
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        written.append(path.name)
    return written


if __name__ == "__main__":
    print("\n".join(write_missing()) or "every sample has its fixture")
