"""Verifies the files into which earlier chapters went together with what stayed in the store: one verdict for both.

A file must be as it was written, and the case in the store must be the same one, only further: each record of the file
stands in the store under the same hash. What was dropped there is put back from the files, and all of it verified.
It does not know where the files are kept.
"""

from collections.abc import Container, Mapping, Sequence
from typing import cast

from msgspec import Struct

from casework.runtime import verifier
from casework.runtime.export import export_case
from casework.runtime.store.base import CaseKey, StoreReader
from casework.runtime.store.verify import NOBODY, Finding


class ArchiveFile(Struct, frozen=True):
    """A file that compaction made, or any other export of cases of the store."""

    name: str
    text: bytes


class Joined(Struct, frozen=True):
    """A case as it is with its files."""

    key: CaseKey
    records: int
    missing: int
    """Records whose contents neither the store nor a file has."""


async def verify_archived(
    reader: StoreReader, url: str, archive: Sequence[ArchiveFile]
) -> tuple[list[Finding], list[Joined]]:
    """Verify files with the cases of the store that they are of; gives what is wrong, and the cases that are not.

    Raises:
        Unreadable: one of them is no export; nothing was verified.
        ArchiveMissing: the store cannot give whole cases.
        StoreUnavailable, StoreInvalid: it cannot be read.
    """
    found: list[Finding] = []
    parts: dict[CaseKey, list[dict[str, object]]] = {}
    for file in archive:
        document = _loaded(file)
        wrong = verifier.findings(document)
        found += [Finding(NOBODY, 0, f"{file.name}: {each}") for each in wrong]
        for case in () if wrong else cast("list[dict[str, object]]", document["cases"]):
            key = CaseKey(str(case["tenant"]), str(case["case_id"]))
            parts.setdefault(key, []).append({**document, "cases": [case], "name": file.name})
    whole: list[Joined] = []
    for key, documents in parts.items():
        result = await _join(reader, url, key, documents)
        if isinstance(result, Joined):
            whole.append(result)
        else:
            found.append(result)
    return found, whole


async def without_files(reader: StoreReader, but: Container[CaseKey]) -> list[Joined]:
    """Give the cases, but some, whose earlier chapters are not in the store any more.

    Raises:
        StoreUnavailable, StoreInvalid: it cannot be read.
    """
    found: list[Joined] = []
    for row in await reader.cases():
        if row.chapter < 1 or row.key in but:
            continue
        records = await reader.records(row.key)
        if not all(record.frame for record in records[1 : row.chapter]):
            found.append(Joined(row.key, len(records), sum(not record.frame for record in records)))
    return found


def _loaded(file: ArchiveFile) -> dict[str, object]:
    try:
        return verifier.load(file.text)
    except verifier.Unreadable as error:
        raise verifier.Unreadable(f"{file.name}: {error}") from error


async def _join(
    reader: StoreReader, url: str, key: CaseKey, documents: Sequence[dict[str, object]]
) -> Joined | Finding:
    try:
        text = await export_case(reader, url, key, with_artifacts=False)
    except KeyError:
        return Finding(key, 0, f"{documents[0]['name']} is of it, and it is not in the store")
    now = verifier.load(text)
    for document in documents:
        place = _parting(_records(now), _records(document))
        if place is not None:
            return Finding(key, place, f"the store has another record here than {document['name']}, or none")
    joined = verifier.joined(now, *documents)
    wrong = verifier.findings(now) or verifier.findings(joined, put_back=True)
    if wrong:
        return Finding(key, wrong[0].seq or 0, f"with its files: {wrong[0].why}")
    records = _records(joined)
    return Joined(key, len(records), sum(record["frame"] is None for record in records))


def _parting(now: Sequence[Mapping[str, object]], then: Sequence[Mapping[str, object]]) -> int | None:
    """Give the first place of an earlier log at which the one of now does not go on as that one did."""
    hashes = [record["hash"] for record in now]
    places = (at for at, record in enumerate(then) if at >= len(hashes) or hashes[at] != record["hash"])
    return next(places, None)


def _records(document: Mapping[str, object]) -> list[dict[str, object]]:
    (case,) = cast("list[dict[str, object]]", document["cases"])
    return cast("list[dict[str, object]]", case["records"])
