"""Cases as open JSON: out of a store, into another one, with the same hashes.

An export holds each case's columns, its inbox and every record with its frame's bytes and, for people, what these say.
Whoever has it needs no Casework to check it (see `verifier`, whose format this is) and none to read it. Exporting what
was imported gives the same bytes. Reviews are not in it: they are a fold of the log. Artifacts that frames name by
content hash are in it as bytes, or by their hash alone.

A case that has not ended is imported only when its owner says that it goes on nowhere else; then it goes on here as
after a crash. It does not know who asks, nor where the text is kept.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Final, cast

from msgspec import Struct

from casework.runtime import verifier
from casework.runtime.errors import ArchiveMissing, CaseThere, ExportInvalid, ExportOngoing, StoreUnavailable
from casework.runtime.flow.case import CASE_ID
from casework.runtime.flow.opening import name_fault
from casework.runtime.fold import decided, fold
from casework.runtime.store.archive import Archive, ArchiveReader, BroughtIn, InboxEntry, Transfer
from casework.runtime.store.base import (
    CaseExists,
    CaseKey,
    CaseRow,
    CaseStatus,
    Record,
    Store,
    StoreReader,
    Wait,
    WaitKind,
)
from casework.runtime.store.crosscheck import difference
from casework.runtime.store.evidence import files_named
from casework.runtime.store.rules import DECIDED, storable
from casework.runtime.store.verify import children

#: How a frame names an artifact, if only in a text: whatever the store has of it goes along.
_ARTIFACT: Final = re.compile(rb"artifact:([0-9a-f]{64})")
#: Columns of a row that an export has as they are.
_COLUMNS: Final = (
    "flow", "version", "source_hash", "crew", "parent", "status", "result", "epoch", "opened_at", "changed_at",
    "chapter",
)  # fmt: skip


class Import(Struct, frozen=True):
    """What an export holds, checked and ready to be taken in."""

    transfers: tuple[Transfer, ...]
    artifacts: tuple[tuple[str, bytes], ...]
    """Pairs of (content hash, bytes); those that were exported by their hash alone are not here."""
    notes: tuple[str, ...] = ()
    """What nothing in the export covers, or is not in it, a line each."""


async def export_case(
    reader: StoreReader, url: str, key: CaseKey, *, with_children: bool = False, with_artifacts: bool = True
) -> bytes:
    """Give a case as JSON, with all cases below it if asked to.

    Raises:
        KeyError: there is no such case.
        ArchiveMissing: the store cannot give whole cases.
        StoreUnavailable, StoreInvalid: it cannot be read.
    """
    if not isinstance(reader, ArchiveReader):
        raise ArchiveMissing(url)
    transfers: list[Transfer] = []
    keys = [key]
    for each in keys:
        transfer = await reader.transfer(each)
        if transfer is None:
            raise KeyError(each.case_id)
        transfers.append(transfer)
        if with_children:
            keys.extend(row.key for row in await reader.cases(key.tenant, parent=each.case_id))
    artifacts = await artifacts_of(reader, transfers) if with_artifacts else dict.fromkeys(_named(transfers))
    evidence = {name for transfer in transfers for name in files_named(transfer)} if with_artifacts else ()
    lost = [name for name in evidence if artifacts[name] is None]
    return exported(transfers, artifacts, lost=lost, with_children=with_children)


async def artifacts_of(reader: StoreReader, transfers: Sequence[Transfer]) -> dict[str, bytes | None]:
    """Give the bytes of what cases name by content hash; None for what the store does not have."""
    return {name: await reader.artifact(name) for name in _named(transfers)}


def exported(
    transfers: Sequence[Transfer],
    artifacts: Mapping[str, bytes | None],
    *,
    lost: Collection[str] = (),
    with_children: bool = False,
) -> bytes:
    """Give cases as JSON, in ASCII; of artifacts without bytes only the hash, and of some that they were lost."""
    document: dict[str, object] = {
        "format": verifier.FORMAT,
        "version": verifier.VERSION,
        "with_children": with_children,
        "cases": [_case(transfer) for transfer in transfers],
        "artifacts": [_artifact(name, data, lost=name in lost) for name, data in artifacts.items()],
    }
    document["checksum"] = verifier.checksum(document)
    return json.dumps(document, indent=1).encode() + b"\n"


def imported(text: bytes) -> Import:
    """Read an export and check all of it.

    Raises:
        ExportInvalid: it is no export, or something in it is not as it was written.
    """
    try:
        document = verifier.load(text)
    except verifier.Unreadable as error:
        raise ExportInvalid((str(error),)) from error
    findings = verifier.findings(document)
    if findings:
        raise ExportInvalid(tuple(map(str, findings)))
    cases = cast("list[dict[str, object]]", document["cases"])
    artifacts = cast("list[dict[str, str | None]]", document["artifacts"])
    if unnamed := tuple(why for case in cases if (why := _misnamed(case))):
        raise ExportInvalid(unnamed)
    try:
        transfers = tuple(_transfer(case) for case in cases)
    except (KeyError, TypeError, ValueError) as error:
        raise ExportInvalid((f"a case lacks what a store needs of it ({type(error).__name__}: {error})",)) from error
    wrong = tuple(why for transfer in transfers if (why := _unfit(transfer)))
    if wrong:
        raise ExportInvalid(wrong)
    kept = tuple(
        (str(each["sha256"]), base64.b64decode(data)) for each in artifacts if (data := each.get("data")) is not None
    )
    return Import(transfers, kept, tuple(_notes(document, cases)))


async def import_cases(store: Store, what: Import, *, take_over: bool = False) -> tuple[CaseKey, ...]:
    """Take in all cases of an export, or none.

    `take_over` says that those which have not ended go on nowhere else.

    Raises:
        CaseThere: one of them is here already.
        ExportOngoing: one of them has not ended, and is not to be taken over.
        ExportInvalid: one of them opened a case that would be nowhere here.
        ArchiveMissing: the store cannot take whole cases.
        StoreUnavailable: nothing was taken in, or it is not known; importing again tells.

    If cancelled, they may or may not be here.
    """
    if not isinstance(store, Archive):
        raise ArchiveMissing(store.url)
    if not take_over:
        for transfer in what.transfers:
            if transfer.row.status is not CaseStatus.CLOSED:
                raise ExportOngoing(transfer.row.key.case_id)
    if absent := [why async for why in _absent(store, what.transfers)]:
        raise ExportInvalid(tuple(absent))
    for name, data in what.artifacts:
        await store.put_artifact(name, data)
    match await store.bring_in(what.transfers):
        case BroughtIn(keys=keys):
            return keys
        case CaseExists(row=row):
            raise CaseThere(row.key.case_id)
        case result:
            raise StoreUnavailable(store.url, result.why)


async def _absent(reader: StoreReader, transfers: Sequence[Transfer]) -> AsyncIterator[str]:
    """Tell which cases would be nowhere here: who opened one may wait for it, and `casework verify` misses it."""
    coming = {transfer.row.key for transfer in transfers}
    for transfer in transfers:
        for seq, child in children(transfer):
            if child not in coming and await reader.case(child) is None:
                place = f"case {transfer.row.key.case_id}: record {seq}"
                yield f"{place}: it opened case {child.case_id}, which is not in the export, nor here; export it too"


def _misnamed(case: Mapping[str, object]) -> str:
    """Say why nobody could have opened a case, or nothing; a verified one has a tenant and an id, which are texts."""
    tenant, case_id = str(case["tenant"]), str(case["case_id"])
    if name_fault(tenant) or not CASE_ID.fullmatch(case_id):
        return f"case {case_id!a} of tenant {tenant!a}: no case has such a name"
    return ""


def _unfit(transfer: Transfer) -> str:
    """Say what `casework verify` would say of a case; nothing if it is fit."""
    case_id = transfer.row.key.case_id
    ids = [entry.id for entry in transfer.inbox]
    if len(set(ids)) < len(ids):
        return f"case {case_id}: a message is in its inbox twice"
    other = difference(transfer)
    return f"case {case_id}: record {other[0]}: {other[1]}" if other else ""


def _notes(document: Mapping[str, object], cases: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for case in cases:
        if bare := verifier.uncovered(case):
            yield f"case {case['case_id']}: nothing covers its {bare} any more, for contents were dropped"
    if missing := len(verifier.named(document, missing=True)):
        yield f"{missing} delivered files that the cases name are not in the export"


def _named(transfers: Sequence[Transfer]) -> list[str]:
    """Give the content hashes that frames name, each once, in the order of the logs."""
    frames = [record.frame for transfer in transfers for record in transfer.records]
    frames += [entry.frame for transfer in transfers for entry in transfer.inbox]
    return list(dict.fromkeys(name.decode() for frame in frames for name in _ARTIFACT.findall(frame)))


def _artifact(name: str, data: bytes | None, *, lost: bool) -> dict[str, object]:
    told: dict[str, object] = {"sha256": name, "data": None if data is None else _base64(data)}
    return {**told, "lost": True} if lost else told


def _case(transfer: Transfer) -> dict[str, object]:
    row = transfer.row
    waits = [{"key": each.key, "kind": each.kind.value, "reason": each.reason, "due": each.due} for each in row.waits]
    inbox = [
        {
            "id": each.id,
            "target": each.target,
            "kind": each.kind,
            "frame": _base64(each.frame) if each.kind else None,
            "seen": each.seen,
        }
        for each in transfer.inbox
    ]
    return {
        "tenant": row.key.tenant,
        "case_id": row.key.case_id,
        **{name: getattr(row, name) for name in _COLUMNS},
        "waits": waits,
        "inbox": inbox,
        "length": row.next_seq,
        "head": row.head.hex(),
        "records": [_record(record) for record in transfer.records],
    }


def _record(record: Record) -> dict[str, object]:
    told: dict[str, object] = {
        "seq": record.seq,
        "epoch": record.epoch,
        "kind": record.kind,
        "step_id": record.step_id,
        "at": record.at,
        "hash": record.hash.hex(),
    }
    if record.frame_hash and not record.frame:
        return {**told, "frame": None, "frame_hash": record.frame_hash.hex(), "content": None}
    return {**told, "frame": _base64(record.frame), "content": verifier.content_of(record.frame)}


# The way back. What was verified has its chain and its types; what only a store needs is checked here.


def _transfer(case: Mapping[str, object]) -> Transfer:
    key = CaseKey(_text(case, "tenant"), _text(case, "case_id"))
    records = tuple(_record_of(each) for each in _maps(case, "records"))
    inbox = tuple(_entry_of(each) for each in _maps(case, "inbox"))
    status = CaseStatus(_text(case, "status"))
    row = CaseRow(
        key=key,
        epoch=_number(case, "epoch"),
        next_seq=_number(case, "length"),
        node="",
        status=status,
        result=_text(case, "result"),
        flow=_text(case, "flow"),
        version=_text(case, "version"),
        source_hash=_text(case, "source_hash"),
        crew=_text(case, "crew"),
        parent=_text(case, "parent"),
        head=bytes.fromhex(_text(case, "head")),
        opened_at=_number(case, "opened_at"),
        changed_at=_number(case, "changed_at"),
        waits=tuple(
            Wait(_text(each, "key"), WaitKind(_text(each, "kind")), _text(each, "reason"), _number(each, "due"))
            for each in _maps(case, "waits")
        ),
        chapter=_number(case, "chapter"),
    )
    decisions = {entry.id.removeprefix(f"{DECIDED}:"): entry.frame for entry in inbox if entry.kind == DECIDED}
    reviews = (
        decided(each, decisions[each.id]) if each.id in decisions else each for each in fold(key, records).reviews
    )
    return Transfer(row, records, inbox, tuple(reviews))


def _record_of(record: Mapping[str, object]) -> Record:
    frame = record["frame"]
    return Record(
        seq=_number(record, "seq"),
        epoch=_number(record, "epoch"),
        kind=_text(record, "kind"),
        step_id=_text(record, "step_id"),
        at=_number(record, "at"),
        frame=b"" if frame is None else base64.b64decode(_text(record, "frame")),
        hash=bytes.fromhex(_text(record, "hash")),
        frame_hash=bytes.fromhex(_text(record, "frame_hash")) if frame is None else b"",
    )


def _entry_of(entry: Mapping[str, object]) -> InboxEntry:
    item_id, target, kind = (_text(entry, name) for name in ("id", "target", "kind"))
    if not kind:
        return InboxEntry(item_id, target)
    return InboxEntry(item_id, target, kind, base64.b64decode(_text(entry, "frame")), seen=entry["seen"] is True)


def _maps(values: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    found = values[name]
    if not isinstance(found, list):
        raise TypeError(f"{name} is no list")
    return cast("list[Mapping[str, object]]", found)


def _text(values: Mapping[str, object], name: str) -> str:
    found = values[name]
    if not isinstance(found, str) or not storable(found):
        raise TypeError(f"{name} is no text")
    return found


def _number(values: Mapping[str, object], name: str) -> int:
    found = values[name]
    if type(found) is not int or not 0 <= found <= verifier.INTEGER_MAX:
        raise TypeError(f"{name} is no number")
    return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
