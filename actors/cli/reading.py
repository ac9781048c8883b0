"""Sub-commands that only look: cases, verify, trace; and what other such commands need for it.

They open the store for reading, whoever owns it. They do not know whether anything runs.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.files import write_files
from casework.actors.cli.options import STORE, TENANT, JsonOption, StoreOption, TenantOption
from casework.actors.cli.output import moment, say, say_columns, say_json, tell
from casework.actors.trace import jaeger_json
from casework.runtime.archived import ArchiveFile, Joined, verify_archived, without_files
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, Record, StoreReader, WaitKind
from casework.runtime.store.urls import open_reader
from casework.runtime.store.verify import NOBODY, Finding
from casework.runtime.store.verify import verify as verify_store
from casework.runtime.verifier import Unreadable

T = TypeVar("T")

#: Cases below the one that is traced, at most: the Jaeger UI does not draw more than some ten thousand spans.
TRACE_CASES_MAX: Final = 2_000

Status = Annotated[CaseStatus | None, Parameter(name="--status", help="Only open, parked or closed ones.")]
File = Annotated[Path, Parameter(name=["-o", "--output"], help="Where to write it.")]
Contents = Annotated[bool, Parameter(name="--contents", negative="", help="With texts of decisions and notes.")]
ArchiveOption = Annotated[
    tuple[Path, ...],
    Parameter(name="--archive", negative="", help="A file that `compact` made, or the folder of all; can be repeated."),
]
Alone = Annotated[bool, Parameter(name="--alone", negative="", help="Without the cases below it.")]


def cases(*, store: StoreOption = STORE, status: Status = None, json_: JsonOption = False) -> int:
    """List cases, where they stand and what they wait for."""
    rows = read_store(store, lambda reader: reader.cases(status=status))
    if json_:
        say_json([case_json(row) for row in rows])
    elif rows:
        say_columns([(row.key.case_id, row.flow, standing_of(row), waits_told(row)) for row in rows])
    else:
        tell("note", f"{store} has no such case")
    return Exit.OK


def verify(*, store: StoreOption = STORE, archive: ArchiveOption = (), json_: JsonOption = False) -> int:
    """Check every record of every case against the hash chain; exit code 1 if any is not what was written."""
    files = [ArchiveFile(str(path), path.read_bytes()) for path in _files(archive)]
    whole = any(path.is_dir() for path in archive)  # a folder of all: what is missing there is told

    async def read(reader: StoreReader) -> tuple[int, list[Finding], list[Joined], list[Joined]]:
        findings = await verify_store(reader)
        count = len(await reader.cases())
        try:
            wrong, joined = await verify_archived(reader, store, files)
        except Unreadable as error:
            raise Quit(Exit.USAGE, str(error)) from error
        known = {finding.key for finding in findings} - {NOBODY}
        told = {each.key for each in joined} | {each.key for each in (*findings, *wrong)}
        bare = await without_files(reader, told) if whole else []
        # Of a case that is not as written in the store its files can only say the same again.
        return count, [*findings, *(each for each in wrong if each.key not in known)], joined, bare

    count, findings, joined, bare = read_store(store, read)
    if json_:
        kept = [{"case": each.key.case_id, "records": each.records, "missing": each.missing} for each in joined + bare]
        said = {"archived": kept} if archive else {}
        say_json({"cases": count, "findings": list(map(_finding_json, findings)), **said})
    else:
        say(*map(_told, findings))
        say(*(f"case {each.key.case_id} with its files: {_contents(each)}" for each in joined))
        say(*(f"case {each.key.case_id} without a good file here: {_contents(each)}" for each in bare))
        wrong = len({each.key for each in findings} - {NOBODY})
        beside = ", but not all that is kept beside them" if findings else ""
        say(f"{count} cases, {wrong} of them not as written" if wrong else f"{count} cases, all as written{beside}")
    return Exit.WRONG if findings else Exit.OK


def _contents(joined: Joined) -> str:
    gone = f"{joined.missing} of them without contents" if joined.missing else "all with their contents"
    return f"{joined.records} records, {gone}"


def _files(archive: Sequence[Path]) -> list[Path]:
    """Give the files meant, each once; of a folder all that compaction put there."""
    found = [each for path in archive for each in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return list(dict.fromkeys(found))


def _finding_json(finding: Finding) -> dict[str, object]:
    said = {"seq": finding.seq, "why": finding.why}
    if finding.account:
        return {"account": finding.account, **said}
    return (
        {"why": finding.why}
        if finding.key == NOBODY
        else {"tenant": finding.key.tenant, "case": finding.key.case_id, **said}
    )


def _told(finding: Finding) -> str:
    if finding.account:
        return f"account {finding.account} entry {finding.seq}: {finding.why}"
    if finding.key == NOBODY:
        return f"the store: {finding.why}"
    return f"case {finding.key.case_id} record {finding.seq}: {finding.why}"


def trace(
    case: str,
    *,
    output: File,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    alone: Alone = False,
    contents: Contents = False,
    json_: JsonOption = False,
) -> int:
    """Write the trace of a case and of those below it as a file that the Jaeger UI opens by upload.

    Parameters
    ----------
    case
        Id of the case.
    """

    async def read(reader: StoreReader) -> list[tuple[CaseRow, list[Record]]]:
        rows = [await find_case(reader, CaseKey(tenant, case))]
        for row in rows:
            if not alone:
                below = await reader.cases(tenant, parent=row.key.case_id)
                rows.extend(below[: TRACE_CASES_MAX - len(rows)])
        return [(row, list(await reader.records(row.key))) for row in rows]

    logs = read_store(store, read)
    made = jaeger_json(logs, contents=contents)
    write_files((output, json.dumps(made).encode()))
    said = {"file": str(output.resolve()), "cases": len(logs), "records": sum(len(records) for _, records in logs)}
    if json_:
        say_json(said)
    else:
        say(f"{said['file']}: {said['cases']} cases, {said['records']} records; open it in the Jaeger UI by upload")
    return Exit.OK


async def find_case(reader: StoreReader, key: CaseKey) -> CaseRow:
    """Give a case's row.

    Raises:
        Quit: there is no such case.
    """
    row = await reader.case(key)
    if row is None:
        raise Quit(Exit.NOT_FOUND, f"there is no case {key.case_id!r}; `casework cases` lists them")
    return row


def case_json(row: CaseRow) -> dict[str, object]:
    """Give what `--json` says of a case."""
    return {
        "tenant": row.key.tenant,
        "case": row.key.case_id,
        "flow": row.flow,
        "version": row.version,
        "crew": row.crew,
        "parent": row.parent,
        "status": row.status,
        "result": row.result,
        "records": row.next_seq,
        "opened_at": row.opened_at,
        "changed_at": row.changed_at,
        "waits": row.waits,
    }


def standing_of(row: CaseRow) -> str:
    """Say in a word or two where a case stands."""
    return f"{row.status} ({row.result})" if row.result else row.status.value


def waits_told(row: CaseRow) -> str:
    """Say what a case waits for but its children: what somebody is to give, then moments, several as one."""
    if row.status is CaseStatus.PARKED and not row.waits:
        return "what it waits for is not kept any more: see `casework verify`"
    given = [wait for wait in row.waits if wait.kind not in {WaitKind.CHILD, WaitKind.TIMER}]
    moments = [wait for wait in row.waits if wait.kind is WaitKind.TIMER]
    told = [f"{wait.key}: {wait.reason}" if wait.reason else wait.key for wait in given]
    if moments:
        first = moment(min(wait.due for wait in moments))
        alone = len(moments) == 1
        told.append(f"{moments[0].key} until {first}" if alone else f"{len(moments)} moments from {first} on")
    return "; ".join(told)


def read_store(url: str, look: Callable[[StoreReader], Awaitable[T]]) -> T:
    """Open a store for reading, look, and close it again."""

    async def read() -> T:
        reader = await open_reader(url, World())
        try:
            return await look(reader)
        finally:
            await reader.aclose()

    return anyio.run(read)
