"""The decision trail of a transaction or receipt, for the overview: its case's log in a person's words.

A pure fold of log records; it leaves out the steps that decided nothing. It does not know what was expected.
"""

import datetime as dt
from collections.abc import Iterable, Iterator

from casework.protocols.codec import decode_entry, plain
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Call, Decided, Decision, Entry, Noted, Parked, Review
from casework.protocols.wire import Completed, Failed
from casework.runtime.store.base import Record
from examples.bookkeeping.overview import TrailEntry

#: Entries of one trail at most; a longer one is for `casework show`.
TRAIL_MAX = 40


def trail_of(records: Iterable[Record]) -> Iterator[TrailEntry]:
    """Give the decisions in a case's log, oldest first."""
    for count, (record, told) in enumerate(_told(records)):
        if count == TRAIL_MAX:
            return
        who, what, why = told
        at = dt.datetime.fromtimestamp(record.at / 1_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        yield TrailEntry(seq=record.seq, who=who, what=what, why=why, at=at)


def _told(records: Iterable[Record]) -> Iterator[tuple[Record, tuple[str, str, str]]]:
    for record in records:
        try:
            told = _tell(record, decode_entry(record.frame))
        except ProtocolError as error:
            told = ("log", "a record that cannot be read", str(error))
        if told is not None:
            yield record, told


def _tell(record: Record, entry: Entry) -> tuple[str, str, str] | None:
    step = record.step_id.partition("#")[0]
    match entry:
        case Decision() if entry.subject.startswith("route "):
            return None  # which of an agent's equal workers had it is for `casework show`
        case Decision():
            offered = f"offered: {', '.join(entry.options)}" if entry.options else ""
            why = "; ".join(part for part in (entry.rule, entry.why, offered) if part)
            return "rule", f"{entry.subject}: {entry.chosen}", f"{why}; confidence {entry.confidence:.2f}"
        case Completed():
            what, why = _answer(step, entry)
            return entry.agent, what, f"{why}confidence {entry.confidence:.2f}"
        case Failed():
            return entry.agent or "runtime", f"{step} failed: {entry.message}", entry.kind
        case Call(failure=failure) if failure is not None:
            return "gate", f"{entry.tool} refused or failed: {entry.message}", entry.verdict.rule
        case Parked():
            return "case", f"waits for {entry.key}", entry.reason
        case Arrived():
            label = entry.evidence.label if entry.evidence else ""
            return entry.by, f"{entry.key} arrived {label}".rstrip(), ""
        case Review():
            return "case", f"asks a person: {entry.title}", entry.rule
        case Decided():
            changed = f" to {plain(entry.edited)}" if entry.action == "edit" else ""
            return entry.by, f"{entry.action}{changed}", entry.reason
        case Noted():
            return "case", entry.text, entry.level
        case _:
            return None


def _answer(step: str, entry: Completed) -> tuple[str, str]:
    """Tell what an agent answered, if it is a proposal; other answers show in what is decided on them."""
    value = plain(entry.value)
    if isinstance(value, dict) and isinstance(value.get("category"), str):
        return f"{step}: {value['category']}", f"{value.get('rule', '')}; "
    return f"{step} done", ""
