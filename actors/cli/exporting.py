"""Sub-commands for what leaves a store: export, import and retain. They do not know what an export looks like."""

import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, TypeVar

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.files import write_files
from casework.actors.cli.options import STORE, TENANT, ByOption, JsonOption, StoreOption, TenantOption, person
from casework.actors.cli.output import moment, say, say_columns, say_json, tell
from casework.actors.cli.standing import LINES_MAX
from casework.runtime.errors import ExportOngoing
from casework.runtime.export import export_case, import_cases, imported
from casework.runtime.retention import Old, account_of, drop_contents, old_cases
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey, Store, StoreReader
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.verifier import findings, load

T = TypeVar("T")

#: How long ago something was, as it is typed.
_AGE: Final = re.compile(r"(\d{1,5})d")
_DAY_MICROS: Final = 86_400 * MICROS

File = Annotated[Path, Parameter(name=["-o", "--output"], help="Where to write it.")]
WithChildren = Annotated[bool, Parameter(name="--with-children", negative="", help="With all cases below it.")]
WithoutArtifacts = Annotated[
    bool, Parameter(name="--without-artifacts", negative="", help="Name delivered files by their hash alone.")
]
Verifier = Annotated[
    Path | None, Parameter(name="--verifier", help="Write the verifier beside it: one file that needs only Python.")
]
TakeOver = Annotated[
    bool,
    Parameter(name="--take-over", negative="", help="Take cases that have not ended; they go on nowhere else."),
]
OlderThan = Annotated[str, Parameter(name="--older-than", help="Days since they closed, such as 365d.")]
Yes = Annotated[bool, Parameter(name="--yes", negative="", help="Do it; otherwise it is only told.")]


def export(
    case: str,
    *,
    output: File,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    with_children: WithChildren = False,
    without_artifacts: WithoutArtifacts = False,
    verifier: Verifier = None,
    json_: JsonOption = False,
) -> int:
    """Write a case as open JSON that anybody can read and check without Casework.

    Parameters
    ----------
    case
        Id of the case.
    """
    key = CaseKey(tenant, case)

    async def read(reader: StoreReader) -> bytes:
        try:
            return await export_case(
                reader, store, key, with_children=with_children, with_artifacts=not without_artifacts
            )
        except KeyError as error:
            name = error.args[0]
            raise Quit(Exit.NOT_FOUND, f"there is no case {name!r}; `casework cases` lists them") from error

    text = anyio.run(reading, store, read)
    beside = [] if verifier is None else [(verifier, files("casework.runtime").joinpath("verifier.py").read_bytes())]
    write_files((output, text), *beside)
    _tell_export(str(output.resolve()), text, json_=json_)
    # What is wrong in the store is exported as it is, for somebody to look at.
    wrong = findings(load(text))
    for why in map(str, wrong):
        tell("warning", why)
    return Exit.WRONG if wrong else Exit.OK


def import_(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    store: StoreOption = STORE,
    take_over: TakeOver = False,
    json_: JsonOption = False,
) -> int:
    """Take exported cases into a store that does not have them, after everything in the file was checked.

    Parameters
    ----------
    file
        What `casework export` wrote.
    """
    what = imported(file.read_bytes())

    async def write(owned: Store) -> tuple[CaseKey, ...]:
        try:
            return await import_cases(owned, what, take_over=take_over)
        except ExportOngoing as error:
            raise Quit(Exit.USAGE, f"{error} (--take-over)") from error

    keys = anyio.run(owning, store, write)
    if json_:
        say_json({"cases": [key.case_id for key in keys]})
    else:
        say(f"{keys[0].case_id}: imported" if len(keys) == 1 else f"{keys[0].case_id}: imported, {len(keys)} cases")
    for note in what.notes:
        tell("note", note)
    return Exit.OK


def retain(
    *,
    older_than: OlderThan,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    yes: Yes = False,
    by: ByOption = "",
    json_: JsonOption = False,
) -> int:
    """Drop for good what long closed cases contained; their hashes stay and still verify."""
    world = World()
    now, before = world.clock.wall_micros(), days_ago(older_than, world)
    if not yes:
        _tell_old(anyio.run(reading, store, partial(old_cases, tenant=tenant, before=before)), json_=json_)
        return Exit.OK

    async def write(owned: Store) -> tuple[str, list[Old]]:
        old = await old_cases(owned, tenant, before)
        if not old:
            return "", old
        account = account_of(old, before=before, by=person(by), now=now, name=world.ids.new()[-8:])
        await drop_contents(owned, old, account)
        return account.row.key.case_id, old

    account, old = anyio.run(owning, store, write)
    _tell_old(old, account=account, json_=json_)
    return Exit.OK


def days_ago(older_than: str, world: World) -> int:
    """Give the moment so many days ago, as they are typed; raises Quit."""
    age = _AGE.fullmatch(older_than)
    if age is None:
        raise Quit(Exit.USAGE, f"--older-than {older_than[:50]!r}: write a number of days, such as 365d")
    return world.clock.wall_micros() - int(age[1]) * _DAY_MICROS


def _tell_export(path: str, text: bytes, *, json_: bool) -> None:
    cases = json.loads(text)["cases"]
    records, head = sum(len(case["records"]) for case in cases), cases[0]["head"]
    if json_:
        say_json({"file": path, "cases": len(cases), "records": records, "head": head})
    else:
        say(f"{path}: {len(cases)} cases, {records} records, head {head}")


def _tell_old(old: list[Old], *, json_: bool, account: str = "") -> None:
    frames, size = sum(each.frames for each in old), sum(each.size for each in old)
    if json_:
        named = [{"case": each.row.key.case_id, "records": each.frames, "bytes": each.size} for each in old]
        say_json({"done": bool(account), "account": account, "cases": named, "records": frames, "bytes": size})
        return
    if not old:
        tell("note", "no case that is old enough has contents")
        return
    rows = [(each.row.key.case_id, f"closed {moment(each.row.changed_at)}", f"{each.frames} records") for each in old]
    say_columns(rows[:LINES_MAX])
    if len(old) > LINES_MAX:
        say(f"... {len(old) - LINES_MAX} more")
    done = f"dropped; the account is case {account}" if account else "would be dropped; --yes does it, for good"
    say(f"contents of {len(old)} cases, {frames} records, {size} bytes {done}")


async def reading(url: str, look: Callable[[StoreReader], Awaitable[T]]) -> T:
    """Open a store to look at it; raises as `open_reader`."""
    reader = await open_reader(url, World())
    try:
        return await look(reader)
    finally:
        await reader.aclose()


async def owning(url: str, act: Callable[[Store], Awaitable[T]]) -> T:
    """Own a store for a moment; raises as `open_store`. If cancelled, it is given up all the same."""
    store = await open_store(url, World())
    try:
        return await act(store)
    finally:
        await store.aclose()
