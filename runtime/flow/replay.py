"""Replay: a fresh engine is led through a case's log until it stands where the log ends.

What the flow causes must be what the log says it caused, in the same order: kind, step and declared arguments are
compared (never deadline, ids or trace, which belong to the first time). The first difference is a ReplayMismatch
that names both sides; nothing is guessed. Records of inner scopes (tool calls of a task, attempts, approvals) are
not the flow's doing: they are handed back for those who carry the steps out. But the first of them of a call that the
flow makes itself has the bytes with which it was asked for, and the flow is held to these.
It does not know how the log was read.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Final

from msgspec import Struct

from casework.protocols.codec import decode_entries, kind_of, pack
from casework.protocols.records import (
    Call,
    Cancel,
    Child,
    Decision,
    Done,
    Drawn,
    Entry,
    Halted,
    Intent,
    Migrated,
    Noted,
    Parked,
    Partial,
    Review,
    Sent,
    Stopped,
    Timer,
    Undone,
    Unparked,
    Withdrawn,
    Won,
)
from casework.protocols.wire import Task
from casework.runtime.errors import ReplayMismatch
from casework.runtime.flow.engine import Engine, Output
from casework.runtime.flow.entries import fits
from casework.runtime.flow.operations import CallTool
from casework.runtime.store.base import Record

#: Records that the flow itself causes.
OUTPUTS: Final = frozenset(
    {
        Task,
        Review,
        Parked,
        Timer,
        Child,
        Sent,
        Stopped,
        Drawn,
        Noted,
        Decision,
        Won,
        Withdrawn,
        Unparked,
        Partial,
    }
)
#: Records of what happens to the case or inside its steps, which no flow causes or waits for.
ASIDE: Final = frozenset({Intent, Halted, Migrated})

#: Which of these say with what bytes a call was asked for; only the first of a call says what its flow asked for, for a
#: person may have changed them since.
ASKING: Final = (Call, Intent, Review)

#: Ends of writes: the flow waits for them, and those who carry calls out must know that nothing is unknown.
ENDS: Final = frozenset({Done, Undone})

#: Fields that belong to the first time and not to what was asked.
OCCASIONAL: Final = frozenset({"id", "review_id", "deadline", "trace", "expires", "due", "policy_hash", "sender"})

#: Records that a flow that asks for the same again is given themselves: no other is made to be compared with them.
GIVEN: Final = frozenset({Task, Drawn})

#: Stands in the step id of everything that happens inside a task or call.
INNER: Final = ":"
#: Begins what tells of a task or call itself, such as `pay:(approval)`; no name of a tool can look like it.
MARK: Final = ":("


class Logged(Struct, frozen=True, gc=False):
    """A record with its frame decoded."""

    record: Record
    entry: Entry


def marked(step_id: str, mark: str, number: int = 0) -> str:
    """Name an inner step that tells of a task or call itself: `pay:(attempt)#2`."""
    return f"{step_id}{MARK}{mark})#{number}" if number else f"{step_id}{MARK}{mark})"


def split_mark(step_id: str) -> tuple[str, str]:
    """Give the step that an inner step tells of, and its mark, empty where it has none."""
    step, _, mark = step_id.partition(MARK)
    return step, mark.partition(")")[0]


def decode_log(records: Sequence[Record]) -> list[Logged]:
    """Decode a case's records; raises FrameUnknown or FrameInvalid for one that this version cannot read."""
    return list(map(Logged, records, decode_entries([record.frame for record in records])))


def given(log: Sequence[Logged]) -> dict[str, Entry]:
    """Give what the log has of tasks and draws, by step: the `given` of an engine's setting."""
    return {logged.record.step_id: logged.entry for logged in log if type(logged.entry) in GIVEN}


def replay(engine: Engine, log: Sequence[Logged]) -> list[Logged]:
    """Lead an engine through a log whose first record opened the case; give back the inner records.

    Afterwards `engine.outputs` holds what the flow causes beyond the log's end, and nothing else.

    Raises:
        ReplayMismatch: the flow does something else than its log says.
    """
    inner: list[Logged] = []
    engine.apart(lambda: _lead(engine, log, inner))
    return inner


def _lead(engine: Engine, log: Sequence[Logged], inner: list[Logged]) -> None:
    engine.begin()
    expected, asked = deque(_take(engine)), set[str]()
    for logged in log[1:]:
        entry = logged.entry
        kind = type(entry)
        if INNER in logged.record.step_id or kind in ASIDE:
            inner.append(logged)
            if isinstance(entry, ASKING):
                _hold(engine, logged, entry, asked)
        elif kind in OUTPUTS:
            if not expected:
                raise ReplayMismatch(logged.record.seq, _recorded(logged), _standing(engine))
            _match(engine, expected.popleft(), logged)
        else:
            if expected:
                raise ReplayMismatch(logged.record.seq, _recorded(logged), _caused(expected[0]))
            _feed(engine, logged)
            if kind in ENDS:
                inner.append(logged)
            if engine.outputs:
                expected.extend(_take(engine))
    engine.outputs.extend(expected)
    engine.abandoned.clear()


def _feed(engine: Engine, logged: Logged) -> None:
    entry, record = logged.entry, logged.record
    if isinstance(entry, Cancel):
        engine.cancel(entry.by, entry.reason)
        return
    pending = engine.pending.get(record.step_id)
    if pending is None or not fits(pending.operation, entry):
        raise ReplayMismatch(record.seq, _recorded(logged), _standing(engine))
    engine.feed(record.step_id, entry)


def _hold(engine: Engine, logged: Logged, entry: Call | Intent | Review, asked: set[str]) -> None:
    """Hold a call that the flow makes to the bytes with which the log has it asked for first."""
    step_id = split_mark(logged.record.step_id)[0]
    pending = engine.pending.get(step_id)
    if pending is None or not isinstance(pending.operation, CallTool) or step_id in asked:
        return
    asked.add(step_id)
    recorded = entry.proposal if isinstance(entry, Review) else entry.arguments
    if recorded != pending.operation.arguments:
        now = f"a call at step {step_id} with other arguments"
        raise ReplayMismatch(logged.record.seq, _recorded(logged), now)


def _match(engine: Engine, output: Output, logged: Logged) -> None:
    record = logged.record
    same = output.entry is logged.entry or _alike(output.entry, logged.entry)
    if not same or output.step_id != record.step_id:
        raise ReplayMismatch(record.seq, _recorded(logged), _caused(output))
    pending = engine.pending.get(record.step_id)
    if pending is not None:
        pending.entry, pending.frame = logged.entry, record.frame


def _alike(caused: Entry, recorded: Entry) -> bool:
    """Tell whether two records ask for the same, whatever belongs to the occasion."""
    if type(caused) is not type(recorded):
        return False
    declared = _declared(type(caused))
    ours, theirs = declared(caused), declared(recorded)
    # Values that are equal are so at once; those that come back from bytes as something else are judged by their bytes.
    return ours == theirs or bytes(pack(ours)) == bytes(pack(theirs))


@cache
def _declared(type_: type[Struct]) -> Callable[[Entry], object]:
    """Make what gives the fields that were asked for, without those that belong to the occasion."""
    names = [name for name in type_.__struct_fields__ if name not in OCCASIONAL]
    return attrgetter(*names) if names else _nothing


def _nothing(_: Entry) -> None:
    """Give what a record says that only belongs to its occasion."""


def _take(engine: Engine) -> list[Output]:
    taken, engine.outputs = engine.outputs, []
    return taken


def _recorded(logged: Logged) -> str:
    return f"{logged.record.kind} at step {logged.record.step_id or 'case'}"


def _caused(output: Output) -> str:
    return f"{kind_of(output.entry)} at step {output.step_id}"


def _standing(engine: Engine) -> str:
    if engine.finished:
        return "nothing: it has ended"
    return "nothing: it waits at " + (", ".join(engine.pending) or "no step")
