"""The sub-command compact: earlier chapters of long cases leave the store for files. It does not know what they say."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit
from casework.actors.cli.exporting import days_ago, owning, reading
from casework.actors.cli.options import STORE, TENANT, ByOption, JsonOption, StoreOption, TenantOption, person
from casework.actors.cli.output import say, say_columns, say_json, tell
from casework.actors.cli.standing import LINES_MAX
from casework.runtime.compaction import (
    Earlier,
    Filed,
    account_of,
    chapter_file,
    drop_chapters,
    earlier_chapters,
    keep_file,
)
from casework.runtime.errors import ExportInvalid, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store.archive import ChapterArchive
from casework.runtime.store.base import Store, StoreReader

#: Cases whose files are written before they are dropped from the store together.
TOGETHER_MAX: Final = 100

OlderThan = Annotated[str, Parameter(name="--older-than", help="Days since the chapter of now began, such as 90d.")]
Into = Annotated[Path, Parameter(name="--into", help="Folder for the files; it is made.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Only tell what would be done.")]


@dataclass(slots=True)
class Done:
    """What was done, or would be."""

    filed: list[Filed]
    accounts: list[str]
    left: list[str]
    """Cases that are not as they were written, and stay as they are."""
    dry: bool = False
    """It was only looked what there is to do."""


def compact(
    *,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    older_than: OlderThan = "0d",
    into: Into = Path("casework-archive"),
    dry_run: DryRun = False,
    by: ByOption = "",
    json_: JsonOption = False,
) -> int:
    """Put earlier chapters of long cases into files, and drop them from the store; their hashes stay and verify."""
    world = World()
    before = days_ago(older_than, world)
    if dry_run:
        return _tell(anyio.run(reading, store, partial(_look, url=store, tenant=tenant, before=before)), json_=json_)
    into.mkdir(parents=True, exist_ok=True)

    async def write(owned: Store) -> Done:
        done = Done([], [], [])
        earlier = await earlier_chapters(owned, tenant, before)
        for start in range(0, len(earlier), TOGETHER_MAX):
            await _compact(owned, earlier[start : start + TOGETHER_MAX], done, into.resolve(), person(by))
        if done.filed:
            await _shrink(owned)
        return done

    return _tell(anyio.run(owning, store, write), json_=json_)


async def _look(reader: StoreReader, url: str, tenant: str, before: int) -> Done:
    """Do all that is done but to write: what is left as it is now will be left then."""
    done = Done([], [], [], dry=True)
    for each in await earlier_chapters(reader, tenant, before):
        checked = await _checked(reader, url, each, done)
        if checked is not None:
            done.filed.append(checked[0])
    return done


async def _checked(reader: StoreReader, url: str, earlier: Earlier, done: Done) -> tuple[Filed, bytes] | None:
    """Make the file of a case; one that is not as it was written is told, and left."""
    try:
        return await chapter_file(reader, url, earlier)
    except ExportInvalid as error:
        tell("warning", f"{earlier.row.key.case_id}: left as it is: {error}")
        done.left.append(earlier.row.key.case_id)
        return None


async def _compact(owned: Store, earlier: list[Earlier], done: Done, folder: Path, by: str) -> None:
    """Have the files of some cases on the disk, then drop what is in them."""
    world, filed = World(), list[Filed]()
    for each in earlier:
        checked = await _checked(owned, owned.url, each, done)
        if checked is not None:
            kept, text = checked
            await world.offload.run(partial(keep_file, folder, kept.sha256, text))
            filed.append(kept)
    if filed:
        account = account_of(filed, by=by, now=world.clock.wall_micros(), name=world.ids.new()[-8:])
        await drop_chapters(owned, filed, account)
        done.filed += filed
        done.accounts.append(account.row.key.case_id)


async def _shrink(owned: Store) -> None:
    try:
        if isinstance(owned, ChapterArchive):
            await owned.shrink()
    except StoreUnavailable as error:
        # The room inside the file is used again, whatever its size.
        tell("warning", f"the space is free, but the file did not become smaller: {error}")


def _tell(done: Done, *, json_: bool) -> int:
    frames, size = sum(each.earlier.frames for each in done.filed), sum(each.earlier.size for each in done.filed)
    wrong = Exit.WRONG if done.left else Exit.OK
    if json_:
        named = [
            {
                "case": each.earlier.row.key.case_id,
                "records": each.earlier.frames,
                "bytes": each.earlier.size,
                "file": each.sha256,
            }
            for each in done.filed
        ]
        said = {"done": not done.dry, "accounts": done.accounts, "left": done.left}
        say_json({**said, "cases": named, "records": frames, "bytes": size})
        return wrong
    if not done.filed:
        tell("note", "no case has earlier chapters that are old enough, as they were written, and still have contents")
        return wrong
    rows = [(each.earlier.row.key.case_id, f"{each.earlier.frames} records", each.sha256) for each in done.filed]
    say_columns(rows[:LINES_MAX])
    if len(rows) > LINES_MAX:
        say(f"... {len(rows) - LINES_MAX} more")
    what = "would go into files" if done.dry else f"went into files; the account is case {', '.join(done.accounts)}"
    say(f"earlier chapters of {len(rows)} cases, {frames} records, {size} bytes {what}")
    return wrong
