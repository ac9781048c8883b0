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
from casework.runtime.store.base import Store

#: Cases whose files are written before they are dropped from the store together.
TOGETHER_MAX: Final = 100

OlderThan = Annotated[str, Parameter(name="--older-than", help="Days since the chapter of now began, such as 90d.")]
Into = Annotated[Path, Parameter(name="--into", help="Folder for the files; it is made.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Only tell what would be done.")]


@dataclass(slots=True)
class Done:
    """What was done."""

    filed: list[Filed]
    accounts: list[str]
    left: list[str]
    """Cases that are not as they were written, and stay as they are."""


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
        _tell(anyio.run(reading, store, partial(earlier_chapters, tenant=tenant, before=before)), None, json_=json_)
        return Exit.OK
    into.mkdir(parents=True, exist_ok=True)

    async def write(owned: Store) -> Done:
        done = Done([], [], [])
        earlier = await earlier_chapters(owned, tenant, before)
        for start in range(0, len(earlier), TOGETHER_MAX):
            await _compact(owned, earlier[start : start + TOGETHER_MAX], done, into.resolve(), person(by))
        if done.filed:
            await _shrink(owned)
        return done

    done = anyio.run(owning, store, write)
    _tell([each.earlier for each in done.filed], done, json_=json_)
    return Exit.WRONG if done.left else Exit.OK


async def _compact(owned: Store, earlier: list[Earlier], done: Done, folder: Path, by: str) -> None:
    """Have the files of some cases on the disk, then drop what is in them."""
    world, filed = World(), list[Filed]()
    for each in earlier:
        try:
            kept, text = await chapter_file(owned, owned.url, each)
        except ExportInvalid as error:
            tell("warning", f"{each.row.key.case_id}: left as it is: {error}")
            done.left.append(each.row.key.case_id)
            continue
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


def _tell(earlier: list[Earlier], done: Done | None, *, json_: bool) -> None:
    frames, size = sum(each.frames for each in earlier), sum(each.size for each in earlier)
    files = {each.earlier.row.key.case_id: each.sha256 for each in done.filed} if done else {}
    if json_:
        named = [
            {
                "case": each.row.key.case_id,
                "records": each.frames,
                "bytes": each.size,
                "file": files.get(each.row.key.case_id),
            }
            for each in earlier
        ]
        said = {"done": done is not None, "accounts": done.accounts if done else [], "left": done.left if done else []}
        say_json({**said, "cases": named, "records": frames, "bytes": size})
        return
    if not earlier:
        tell("note", "no case has earlier chapters that are old enough and still have contents")
        return
    rows = [(each.row.key.case_id, f"{each.frames} records", files.get(each.row.key.case_id, "")) for each in earlier]
    say_columns(rows[:LINES_MAX])
    if len(earlier) > LINES_MAX:
        say(f"... {len(earlier) - LINES_MAX} more")
    what = f"went into files; the account is case {', '.join(done.accounts)}" if done else "would go into files"
    say(f"earlier chapters of {len(earlier)} cases, {frames} records, {size} bytes {what}")
