"""Sub-commands that go back in a case's log: replay and fork. They only read the store, whoever owns it.

They do not know how a flow is replayed, what a sandbox lets through, nor what counts as different.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from msgspec.structs import asdict

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, TENANT, JsonOption, StoreOption, TenantOption
from casework.actors.cli.output import moment, say, say_json, tell
from casework.actors.cli.reading import find_case, read_store, standing_of
from casework.actors.cli.working import remembered
from casework.actors.crew import Crew, load_crew
from casework.actors.policy import policy_hash
from casework.actors.sandbox import rehearse
from casework.actors.timeline import timeline
from casework.runtime.departing import departure
from casework.runtime.errors import ArchiveMissing
from casework.runtime.export import artifacts_of
from casework.runtime.flow.reading import Reader
from casework.runtime.fork import forked
from casework.runtime.retracing import Retraced, retraced
from casework.runtime.seams import World
from casework.runtime.store.archive import ArchiveReader, Transfer
from casework.runtime.store.base import CaseKey, CaseRow, Record, StoreReader

CrewOption = Annotated[
    str, Parameter(name="--crew", help="The crew, as module:attribute; the one that the store remembers if left out.")
]
At = Annotated[int, Parameter(name="--at", help="Number of the last record that is kept, as `casework show` lists it.")]
To = Annotated[str, Parameter(name="--to", help="Version of its flow to go on with; the one it has if left out.")]


def replay(
    *cases: str,
    crew: CrewOption = "",
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    json_: JsonOption = False,
) -> int:
    """Lead cases through their flows once more, from their logs alone; nothing is called.

    Exit code 1 if a flow does anything else than its log says.

    Parameters
    ----------
    cases
        Ids of the cases; all of the tenant if left out.
    """

    async def read(reader: StoreReader) -> list[tuple[CaseRow, Retraced]]:
        keys = [CaseKey(tenant, case) for case in cases] or [row.key for row in await reader.cases(tenant)]
        loaded, told = await crew_of(reader, crew), list[tuple[CaseRow, Retraced]]()
        for key in keys:
            row = await find_case(reader, key)
            # What a command says of other cases, as `retain` does, no flow wrote.
            known = await reader.records(key) if row.source_hash else ()
            told.append((row, retraced(reader_of(loaded), row, known) if known else Retraced(0, 0)))
        return told

    told = read_store(store, read)
    if json_:
        say_json([{"case": row.key.case_id, **asdict(each)} for row, each in told])
    elif not told:
        tell("note", f"{store} has no case of tenant {tenant!r}")
    else:
        say(*(f"{row.key.case_id}: {_sentence(each)}" for row, each in told))
    return Exit.WRONG if any(each.difference for _, each in told) else Exit.OK


def fork(
    case: str,
    *,
    at: At,
    to: To = "",
    crew: CrewOption = "",
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    json_: JsonOption = False,
) -> int:
    """Let a case go on from an earlier record, in memory, with all that it would write refused.

    A write that the case made in just the same way comes to what it came to then. The case itself is not touched.

    Parameters
    ----------
    case
        Id of the case.
    """
    whole, after = read_store(store, partial(_forked, url=store, key=CaseKey(tenant, case), at=at, to=to, crew=crew))
    other = departure(whole.records, after.records, at)
    lines = timeline(after.records)[at + 1 :]
    if json_:
        row = {"status": after.row.status, "result": after.row.result, "flow": after.row.flow}
        waits = [asdict(wait) for wait in after.row.waits]
        say_json(
            {"case": case, "at": at, **row, "version": after.row.version, "waits": waits, "timeline": lines}
            | {"differs_at": other.seq if other else None, "difference": other.what if other else ""}
        )
        return Exit.OK
    say(f"{case} from record {at} on: flow {after.row.flow} version {after.row.version}, {standing_of(after.row)}")
    for line in lines:
        step = f"[{line.step}] " if line.step not in {"", "case"} else ""
        say(f"{line.seq:>5}  {moment(line.at)}  {step}{line.text}")
    say(*(f"it waits for {wait.key} ({wait.kind}): {wait.reason}" for wait in after.row.waits))
    say(f"record {other.seq} is the first that is different: {other.what}" if other else "it does what its case did")
    return Exit.OK


async def _forked(
    reader: StoreReader, url: str, key: CaseKey, at: int, to: str, crew: str
) -> tuple[Transfer, Transfer]:
    """Fork a case and let the fork go on; give the case as it is, and the fork as it then stands."""
    loaded = await crew_of(reader, crew)
    if not isinstance(reader, ArchiveReader):
        raise ArchiveMissing(url)
    await find_case(reader, key)
    whole = await reader.transfer(key)
    assert whole is not None, "a case is never taken out of a store"
    parted = forked(reader_of(loaded), whole, at, to=to)
    artifacts = [(name, data) for name, data in (await artifacts_of(reader, [parted])).items() if data is not None]
    settings, below = await remembered(reader), await _below(reader, key)
    return whole, await rehearse(loaded, parted, whole.records, at, below=below, artifacts=artifacts, settings=settings)


async def _below(reader: StoreReader, key: CaseKey) -> list[Sequence[Record]]:
    """Give the logs of all cases below one."""
    keys, logs = [key], list[Sequence[Record]]()
    for each in keys:
        rows = await reader.cases(key.tenant, parent=each.case_id)
        keys.extend(row.key for row in rows)
        logs.extend([await reader.records(row.key) for row in rows])
    return logs


async def crew_of(reader: StoreReader, name: str) -> Crew:
    """Load the crew that was named, or that the store remembers; raises Quit, CrewInvalid."""
    settings = await remembered(reader)
    named = name or settings.get("crew", "")
    if not named:
        raise Quit(Exit.USAGE, "the store remembers no crew; name it by --crew module:attribute")
    return load_crew(named, folder=Path.cwd() if name else Path(settings.get("folder", ".")))


def reader_of(crew: Crew) -> Reader:
    """Give what reads cases with the flows of a crew."""
    return Reader(crew.flows, World(), policy_hash(crew.policy))


def _sentence(each: Retraced) -> str:
    if each.difference:
        return each.difference
    if not each.chapters:
        return f"nothing to replay: {'its contents are no longer kept' if each.unread else 'no flow wrote it'}"
    said = f"{each.records} records, and its flow does what they say"
    if each.waits:
        said += f"; it waits at {', '.join(each.waits)}"
    return f"{said}; contents of earlier chapters are no longer kept" if each.unread else said
