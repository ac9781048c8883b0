"""What is left after chaos: the store and the bank are compared, and nobody is asked who took part.

Whoever was asked how a write ended that has no key has answered by then, so a case that was acknowledged and did not
close is lost. It does not know what was done to whom.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from casework.protocols.codec import decode_entry
from casework.protocols.records import Closed, Review
from casework.runtime.store.base import CaseRow, CaseStatus, Record, StoreReader, WaitKind
from casework.runtime.store.verify import verify
from tests.support.chaos_bank import Report
from tests.support.chaos_service import case_id

#: The rule under which a person is asked how a write ended.
UNKNOWN = "effect.unknown"
#: What the step of an end is called besides when its task was no longer waited for.
_LATE = ":(late)"


class Findings(NamedTuple):
    """What a run has left behind."""

    cases: int  #: acknowledged as opened
    records: int
    asked: int  #: cases in which a person was asked whether an unkeyed write had happened
    again: int  #: keyed writes that were sent again, and that the bank kept from happening again
    poisoned: int  #: cases parked because their processes had ended, though they did nothing to them
    lost: int  #: acknowledged, and neither closed nor poisoned
    doubled: int  #: effects that happened twice
    missing: int  #: effects of closed cases that did not happen
    gaps: int  #: logs with a gap, a break in their chain, or a record of a replaced epoch
    unasked: int  #: cases with a write of unknown end about which nobody was asked

    @property
    def wrong(self) -> dict[str, int]:
        """Name what must not be there and is."""
        must_not = ("lost", "doubled", "missing", "gaps", "unasked")
        return {name: getattr(self, name) for name in must_not if getattr(self, name)}


def rests(row: CaseRow) -> bool:
    """Tell whether a case goes no further by itself."""
    if row.status is CaseStatus.PARKED:
        return any(wait.kind in {WaitKind.REVIEW, WaitKind.OPERATOR} for wait in row.waits)
    return row.status is CaseStatus.CLOSED


async def findings(store: StoreReader, report: Report, acknowledged: Collection[int]) -> Findings:
    """Compare the logs with the bank's books."""
    rows = {row.key.case_id: row for row in await store.cases()}
    logs = {name: await store.records(row.key) for name, row in rows.items()}
    broken = {found.key.case_id for found in await verify(store)}
    asked = {name for name, log in logs.items() if UNKNOWN in _rules(log)}
    poisoned = {name for name, row in rows.items() if any("poison" in w.reason for w in row.waits)}
    closed = {name for name, row in rows.items() if row.status is CaseStatus.CLOSED}
    known = [case_id(number) for number in acknowledged]
    return Findings(
        cases=len(acknowledged),
        records=sum(map(len, logs.values())),
        asked=len(asked),
        again=report.again,
        poisoned=len(poisoned),
        lost=sum(name not in closed | poisoned for name in known),
        doubled=_more_than_once(report.paid) + _more_than_once(report.wired),
        missing=sum((_missing(name, logs[name], report) for name in closed), 0),
        gaps=len(broken | {name for name, log in logs.items() if not dense(log)}),
        unasked=sum(name not in asked and _open_intents(log) for name, log in logs.items()),
    )


def together(parts: Iterable[Findings]) -> Findings:
    """Add up what several runs have left behind."""
    return Findings(*map(sum, zip(*parts, strict=True)))


def dense(log: Iterable[Record]) -> bool:
    """Tell whether a log has no gap, and no record of an epoch that had been replaced."""
    return all(later.seq == earlier.seq + 1 and later.epoch >= earlier.epoch for earlier, later in pairwise(log))


def _rules(log: Iterable[Record]) -> set[str]:
    entries = (decode_entry(record.frame) for record in log if record.kind == "review")
    return {entry.rule for entry in entries if isinstance(entry, Review)}


def _open_intents(log: Iterable[Record]) -> bool:
    intents = {record.step_id for record in log if record.kind == "intent"}
    ends = {record.step_id.removesuffix(_LATE) for record in log if record.kind in {"done", "undone"}}
    return bool(intents - ends)


def _missing(name: str, log: Sequence[Record], report: Report) -> int:
    """Count what a closed case says happened and the bank knows nothing of."""
    entry = decode_entry(log[-1].frame)
    assert isinstance(entry, Closed), "the last record of a closed case says how it ended"
    sent = b"unsent" not in bytes(entry.value)
    return int(name not in report.paid) + int(sent is not (name in report.wired))


def _more_than_once(happened: Mapping[str, int]) -> int:
    return sum(times - 1 for times in happened.values())
