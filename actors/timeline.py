"""A case's log as lines that a person can read: what happened, when, in which step, and why.

A pure fold of the records, with no help from anything but the log itself. A record that this version cannot read is a
line that says so; nothing stops the lines after it. It does not know on what they are shown, and leaves it to whoever
shows them to make them safe for a terminal.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from typing import Final

from msgspec import Raw

from casework.protocols.codec import decode_entry, plain
from casework.protocols.effects import Effect
from casework.protocols.errors import FrameUnknown, ProtocolError
from casework.protocols.records import (
    Arrived,
    Call,
    Cancel,
    Chapter,
    Child,
    Closed,
    Decided,
    Decision,
    Done,
    Drawn,
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
    Sent,
    Stopped,
    Timer,
    Undone,
    Unparked,
    Verdict,
    Withdrawn,
    Won,
)
from casework.protocols.wire import Completed, Evidence, Failed, Task
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.taskwork import HELD
from casework.runtime.store.base import Record

#: Characters of a value that a line shows; the whole of it is in the log.
VALUE_CHARS_MAX: Final = 300

Details = tuple[tuple[str, str], ...]


@dataclass(slots=True, frozen=True)
class TimelineLine:
    """One record, told."""

    seq: int
    at: int
    """Microseconds since the epoch."""
    step: str
    kind: str
    text: str
    """What happened, in a sentence."""
    details: Details = ()
    """Pairs of (name, text) in the order in which they are shown; of a decision, what its sentence says, in parts."""


def timeline(records: Iterable[Record]) -> list[TimelineLine]:
    """Tell a log, one line for each record, in order."""
    return [_line(record) for record in records]


def _line(record: Record) -> TimelineLine:
    text, details = _told(record)
    kept = tuple((name, shown) for name, shown in details if shown)
    return TimelineLine(record.seq, record.at, record.step_id, record.kind, text, kept)


def _told(record: Record) -> tuple[str, Details]:
    if not record.frame:
        return f"a record of kind {record.kind} whose contents were removed", ()
    try:
        entry = decode_entry(record.frame)
        if isinstance(entry, Task) and split_mark(record.step_id)[1] == HELD:
            return f"task {entry.task} goes on: its own time stood still while it was held", ()
        return _tell(entry)
    except FrameUnknown:
        return f"a record of kind {record.kind}, which this version does not know", ()
    except ProtocolError as error:
        return f"a record of kind {record.kind} that cannot be read", (("why", str(error)),)


def _shown(raw: Raw) -> str:
    """Show a value on one line, cut where it is long; an absent one is empty."""
    value = plain(raw)
    text = "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _named(evidence: Iterable[Evidence]) -> str:
    return ", ".join(f"{each.label} ({each.ref})" if each.label else each.ref for each in evidence)


def _ruled(verdict: Verdict) -> str:
    """Show what the gate said of a call; its options are always to allow it, to have a person approve it, to refuse."""
    return f"{verdict.rule}: {verdict.why}" if verdict.why else verdict.rule


def _effects(effects: Iterable[Effect]) -> str:
    told = ((each, f": {each.why}" if each.why else "") for each in effects)
    return "; ".join(f"{each.step_id} by {each.tool}, key {each.key}{why}" for each, why in told)


@singledispatch
def _tell(entry: object) -> tuple[str, Details]:
    return f"a record of kind {type(entry).__name__}", ()


@_tell.register
def _(entry: Opened) -> tuple[str, Details]:
    below = f", below case {entry.parent}" if entry.parent else ""
    text = f"the case was opened: flow {entry.flow} version {entry.version} of crew {entry.crew}{below}"
    return text, (("inputs", _shown(entry.inputs)), ("source", entry.source_hash), ("policy", entry.policy_hash))


@_tell.register
def _(entry: Task) -> tuple[str, Details]:
    tools = ", ".join(entry.tools_allowed)
    return f"task {entry.task} was given out: {entry.goal}", (("inputs", _shown(entry.inputs)), ("tools", tools))


@_tell.register
def _(entry: Completed) -> tuple[str, Details]:
    text = f"{entry.agent or 'the agent'} completed it with confidence {entry.confidence:.2f}"
    return text, (("value", _shown(entry.value)), ("evidence", _named(entry.evidence)))


@_tell.register
def _(entry: Failed) -> tuple[str, Details]:
    return f"attempt {entry.attempt} failed ({entry.kind}): {entry.message}", (("agent", entry.agent),)


@_tell.register
def _(entry: Call) -> tuple[str, Details]:
    arguments, rule = ("arguments", _shown(entry.arguments)), ("rule", _ruled(entry.verdict))
    if entry.failure is None:
        return f"tool {entry.tool} was called", (arguments, ("value", _shown(entry.value)), rule)
    if not entry.verdict.allowed:
        return f"a call of tool {entry.tool} was refused: {entry.message}", (arguments, rule)
    return f"a call of tool {entry.tool} gave no value ({entry.failure}): {entry.message}", (arguments, rule)


@_tell.register
def _(entry: Intent) -> tuple[str, Details]:
    undoes = f" to undo {entry.undoes}" if entry.undoes else ""
    text = f"tool {entry.tool} ({entry.tier}) is about to be called{undoes}"
    return text, (("arguments", _shown(entry.arguments)), ("rule", _ruled(entry.verdict)), ("key", entry.key))


@_tell.register
def _(entry: Done) -> tuple[str, Details]:
    found = f", as {entry.found_by} found out" if entry.found_by else ""
    return f"tool {entry.tool} did it{found}", (("value", _shown(entry.value)),)


@_tell.register
def _(entry: Undone) -> tuple[str, Details]:
    return f"tool {entry.tool} did not do it ({entry.kind}): {entry.message}", ()


@_tell.register
def _(entry: Review) -> tuple[str, Details]:
    details = (
        ("summary", entry.summary),
        ("proposal", _shown(entry.proposal)),
        ("rule", entry.rule),
        ("evidence", _named(entry.evidence)),
        ("review", entry.id),
    )
    return f"a person is asked: {entry.title}", details


@_tell.register
def _(entry: Decided) -> tuple[str, Details]:
    what = {"approve": "approved", "reject": "rejected", "edit": "edited"}[entry.action]
    return f"{entry.by} {what} it", (("reason", entry.reason), ("edited", _shown(entry.edited)))


@_tell.register
def _(entry: Withdrawn) -> tuple[str, Details]:
    return "the person is not asked any more: something else came first", (("review", entry.review_id),)


@_tell.register
def _(entry: Parked) -> tuple[str, Details]:
    return f"the case waits for {entry.key}", (("reason", entry.reason),)


@_tell.register
def _(entry: Unparked) -> tuple[str, Details]:
    return f"the case does not wait for {entry.key} any more: something else came first", ()


@_tell.register
def _(entry: Arrived) -> tuple[str, Details]:
    evidence = _named([entry.evidence]) if entry.evidence else ""
    return f"{entry.key} arrived from {entry.by}", (("value", _shown(entry.value)), ("evidence", evidence))


@_tell.register
def _(entry: Timer) -> tuple[str, Details]:
    return "the case waits for a moment", (("due", str(entry.due)),)


@_tell.register
def _(entry: Fired) -> tuple[str, Details]:
    return "the moment came", (("due", str(entry.due)),)


@_tell.register
def _(entry: Child) -> tuple[str, Details]:
    return f"case {entry.case_id} of flow {entry.flow} was opened below this one", (("inputs", _shown(entry.inputs)),)


@_tell.register
def _(entry: Sent) -> tuple[str, Details]:
    return f"{entry.key} was sent to case {entry.case_id}", (("value", _shown(entry.value)),)


@_tell.register
def _(entry: Stopped) -> tuple[str, Details]:
    return f"case {entry.case_id} was asked to stop", (("reason", entry.reason),)


@_tell.register
def _(entry: Reported) -> tuple[str, Details]:
    result = f" ({entry.result})" if entry.result else ""
    details = (("needs", ", ".join(entry.needs)), ("reasons", "; ".join(entry.reasons)))
    return f"case {entry.case_id} reported that it is {entry.status}{result}", details


@_tell.register
def _(entry: Drawn) -> tuple[str, Details]:
    return "a moment, number or id was drawn", (("value", _shown(entry.value)),)


@_tell.register
def _(entry: Noted) -> tuple[str, Details]:
    level = "" if entry.level == "info" else f"{entry.level}: "
    return f"{level}{entry.text}", (("place", entry.place), ("data", _shown(entry.data)))


@_tell.register
def _(entry: Decision) -> tuple[str, Details]:
    options, confidence = ", ".join(entry.options), f"{entry.confidence:.2f}"
    details = (
        ("options", options),
        ("chosen", entry.chosen),
        ("rule", entry.rule),
        ("confidence", confidence),
        ("why", entry.why),
        ("inputs", entry.inputs_hash),
        ("policy", entry.policy_hash),
    )
    why = f": {entry.why}" if entry.why else ""
    by = f"by rule {entry.rule}, confidence {confidence}"
    return f"decided on {entry.subject}: {entry.chosen or 'none'} of [{options}] {by}{why}", details


@_tell.register
def _(entry: Won) -> tuple[str, Details]:
    return f"branch {entry.branch} ended first", ()


@_tell.register
def _(entry: Cancel) -> tuple[str, Details]:
    return f"{entry.by} asked the case to stop", (("reason", entry.reason),)


@_tell.register
def _(entry: Halted) -> tuple[str, Details]:
    return "the case cannot go on by itself", (("reason", entry.reason),)


@_tell.register
def _(entry: Chapter) -> tuple[str, Details]:
    return f"chapter {entry.number} began: replay starts here", (("state", _shown(entry.state)),)


@_tell.register
def _(entry: Migrated) -> tuple[str, Details]:
    text = f"{entry.by} had the case go on with version {entry.version} of its flow, before {entry.version_before}"
    return text, (("reason", entry.reason), ("source", entry.source_hash), ("source before", entry.source_hash_before))


@_tell.register
def _(entry: Reckoned) -> tuple[str, Details]:
    written = ", ".join(f"{write.step_id} ({write.standing})" for write in entry.writes)
    return f"something failed; writes before: {len(entry.writes)}", (("writes", written),)


@_tell.register
def _(entry: Partial) -> tuple[str, Details]:
    done, undone, unknown = (_effects(each) for each in (entry.done, entry.undone, entry.unknown))
    counts = f"{len(entry.done)} done, {len(entry.undone)} undone, {len(entry.unknown)} unknown"
    return f"the case is partial: {counts}", (("done", done), ("undone", undone), ("unknown", unknown))


@_tell.register
def _(entry: Closed) -> tuple[str, Details]:
    return f"the case closed: {entry.result}", (("value", _shown(entry.value)), ("error", entry.error))
