"""How a case goes on with another version of its flow: an act that somebody asks for, tried first, and recorded.

A case is pinned to the version with which it was opened. Whoever wants it moved delivers a *wish* under a key of its
own; the owner of the parked case leads the other version through the whole of what a replay reads, and only if it
does all that the log says is the move recorded and the case read anew. Otherwise the log says what was different.
It does not know who asked, nor how a wish travels.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from casework.protocols.codec import pack, unpack
from casework.protocols.errors import CaseworkError
from casework.protocols.records import Arrived, Migrated, Noted
from casework.runtime.errors import FlowUnknown, MigrationRefused
from casework.runtime.flow.callhistory import CallHistory
from casework.runtime.flow.case import Flow
from casework.runtime.flow.reading import Reader, Reading
from casework.runtime.flow.replay import INNER, marked
from casework.runtime.flow.standing import ERROR_CHARS_MAX
from casework.runtime.store.base import CaseRow, CaseStatus, Record, StoreReader

#: Step under which stands that a case was moved, or why it was not.
MIGRATED_STEP = marked("case", "migrated")


class Wish(Struct, frozen=True, kw_only=True):
    """What is delivered to have a case go on with another version."""

    version: str
    reason: str = ""


def wish_key(case_id: str) -> str:
    """Name what is delivered to have a case moved."""
    return f"migrate:{case_id}"


def write_wish(version: str, reason: str) -> Raw:
    """Make what is delivered."""
    return pack(Wish(version=version, reason=reason))


def flow_of_version(flows: Mapping[str, Flow], name: str, version: str) -> Flow:
    """Find a version of a flow.

    Raises:
        FlowUnknown: the crew does not have it; the text says which it has.
    """
    known = [flow for flow in flows.values() if flow.name == name]
    for flow in known:
        if flow.version == version:
            return flow
    there = ", ".join(sorted(flow.version for flow in known)) or "none"
    raise FlowUnknown(name, version, f"the crew's versions of it: {there}")


def difference(reader: Reader, row: CaseRow, records: Sequence[Record], flow: Flow) -> str:
    """Lead another version of its flow through a case's log; give the first difference, empty if there is none."""
    moved = msgspec.structs.replace(row, version=flow.version, source_hash=flow.source_hash, claims=0)
    reading = replace(reader, flows={flow.name: flow}).read(moved, records)
    if reading.engine is None:
        return reading.reason
    unasked = _unasked(reading)
    reading.engine.close()
    return f"a person is asked about the call {unasked}, which the flow does not make" if unasked else ""


async def tried(store: StoreReader, reader: Reader, row: CaseRow, version: str) -> Flow:
    """Lead another version of its flow through the log of a parked case, and give that version.

    Raises:
        FlowUnknown: there is no such version of its flow.
        MigrationRefused: the case is not parked, or that version differs from its log; the text says where first.
    """
    flow, case_id = flow_of_version(reader.flows, row.flow, version), row.key.case_id
    if row.status is not CaseStatus.PARKED:
        raise MigrationRefused(case_id, version, f"it is {row.status}, and only a parked case can")
    if why := difference(reader, row, await store.records(row.key, row.chapter), flow):
        raise MigrationRefused(case_id, version, why)
    return flow


def wished(case_id: str, item_id: str, version: str, *, by: str, reason: str) -> Arrived:
    """Make what a case is told that is to be moved."""
    return Arrived(key=wish_key(case_id), message_id=item_id, by=by, value=write_wish(version, reason))


def weigh(reader: Reader, row: CaseRow, records: Sequence[Record], arrived: Arrived) -> Migrated | Noted:
    """Answer a wish that was delivered: the record of the move, or the note that says why the case stays."""
    try:
        wish = unpack(arrived.value, Wish)
        flow = flow_of_version(reader.flows, row.flow, wish.version)
        why = difference(reader, row, records, flow)
    except CaseworkError as error:
        return _stays(f"{type(error).__name__}: {error}")
    if why:
        return _stays(f"version {wish.version} does something else than its log says: {why}")
    return Migrated(
        version=flow.version,
        source_hash=flow.source_hash,
        version_before=row.version,
        source_hash_before=row.source_hash,
        by=arrived.by,
        reason=wish.reason,
    )


def _stays(why: str) -> Noted:
    return Noted(text=f"the case was not migrated: {why}"[:ERROR_CHARS_MAX], level="warning")


def _unasked(reading: Reading) -> str:
    """Give a call that waits for a person and that this flow does not wait for, if there is one."""
    assert reading.engine is not None, "the caller has looked"
    history = CallHistory()
    for logged in reading.inner:
        history.remember(logged.record.step_id, logged.entry, logged.record.at)
    waiting = {step.partition(INNER)[0].partition("@")[0]: step for step in history.asked}
    return next((step for outer, step in waiting.items() if outer not in reading.engine.pending), "")
