"""A whole case led through its flow once more, from its log alone: nothing is called, sent or written.

Who owns a case replays its last chapter, up to where its log ends. Here each chapter is replayed, and what ended it is
held to the log as well: what the flow returned must be, byte for byte, what the log says that the case ended with, and
so must be what a chapter left to the next one.
It does not know where a log is kept.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from casework.protocols.codec import decode_entry, encode, kind_of
from casework.protocols.errors import CaseworkError
from casework.protocols.records import Chapter, Closed, Entry
from casework.runtime.flow.case import Flow
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.reading import Reader, Reading, next_chapter
from casework.runtime.flow.standing import closing
from casework.runtime.fold import fold
from casework.runtime.store.base import CaseRow, Record


class Retraced(Struct, frozen=True):
    """How far a flow did what its case's log says."""

    records: int
    """Of the chapters that were replayed."""
    chapters: int
    """How many were replayed, the first one counting as well."""
    unread: int = 0
    """Chapters whose contents are no longer kept; nobody can replay them from here."""
    difference: str = ""
    """The first thing that the flow does otherwise; empty if there is none."""
    waits: tuple[str, ...] = ()
    """Steps at which a case that goes on stands."""


def retraced(reader: Reader, row: CaseRow, records: Sequence[Record]) -> Retraced:
    """Replay all chapters of a case; ends at the first difference."""
    starts = [0, *(record.seq for record in records if record.kind == "chapter")]
    told = Retraced(0, 0)
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        chapter = records[start:end]
        if not all(record.frame for record in chapter):
            told = replace(told, unread=told.unread + 1)
            continue
        told = _through(told, reader, row, chapter, records[end] if end < len(records) else None)
        if told.difference:
            break
    return told


def _through(
    told: Retraced, reader: Reader, row: CaseRow, chapter: Sequence[Record], following: Record | None
) -> Retraced:
    """Replay one chapter, up to the record that ended the case or began the next chapter."""
    closed = chapter[-1] if chapter[-1].kind == "closed" else None
    folded = fold(row.key, chapter)
    pinned = replace(row, version=folded.version, source_hash=folded.source_hash, claims=0)
    told = replace(told, records=told.records + len(chapter), chapters=told.chapters + 1)
    reading = reader.read(pinned, chapter[:-1] if closed else chapter)
    engine, flow = reading.engine, reading.flow
    if engine is None or flow is None:
        return replace(told, difference=reading.reason)
    try:
        end = closed or following
        if end is None:
            return replace(told, waits=tuple(engine.pending))
        return replace(told, difference=_end(reading, engine, flow, pinned, end))
    except CaseworkError as error:
        return replace(told, difference=f"{type(error).__name__}: {error}")
    finally:
        engine.close()


def _end(reading: Reading, engine: Engine, flow: Flow, row: CaseRow, end: Record) -> str:
    """Say what is different about the record that ended a chapter; raises what making it raises."""
    place = f"record {end.seq} is {end.kind}"
    if engine.outputs:
        beyond = engine.outputs[0]
        return f"{place}, but the flow goes on: {kind_of(beyond.entry)} at step {beyond.step_id}"
    if engine.turning is None and not engine.finished:
        return f"{place}, but the flow waits at {', '.join(engine.pending) or 'no step'}"
    entry: Chapter | Closed
    if engine.turning is not None:
        entry = next_chapter(reading, row, engine.turning, flow.inputs)
    else:
        entry = closing(engine.value, engine.error)
    # Of a chapter whose contents are no longer kept only that it began is known. An earlier release may have written
    # the same with fewer fields; the values in them are compared as bytes.
    if kind_of(entry) != end.kind or (end.frame and _apart(entry, decode_entry(end.frame))):
        return f"{place}, but the flow ends with another {kind_of(entry)}"
    return ""


def _apart(entry: Chapter | Closed, told: Entry) -> bool:
    """Tell whether a record is another one; an earlier release had no words for what was accepted or waited for."""
    if isinstance(entry, Chapter) and isinstance(told, Chapter):
        entry = replace(entry, partial=entry.partial and told.partial, waited=entry.waited if told.waited else 0)
    return decode_entry(encode(entry)) != told
