"""The sub-command migrate: a parked case goes on with another version of its flow, or is told why it cannot.

The version is tried here first, on what the log says; who owns the case tries it again and has the last word. It does
not know what the versions do.
"""

from typing import Annotated

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.forking import CrewOption, crew_of, reader_of
from casework.actors.cli.options import STORE, TENANT, ByOption, JsonOption, StoreOption, TenantOption, person
from casework.actors.cli.output import say, say_json
from casework.actors.cli.reading import find_case, read_store
from casework.actors.cli.working import write
from casework.actors.cli.writing import check_delivered, tell_aftermath
from casework.protocols.codec import encode
from casework.runtime.errors import MigrationRefused
from casework.runtime.flow.migration import tried, wished
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseRow, DeliverResult, StoreDoor, StoreReader

To = Annotated[str, Parameter(name="--to", help="Version of its flow to go on with.")]
Reason = Annotated[str, Parameter(name="--reason", help="Why; it stands in the log.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Only say whether it could be moved.")]


def migrate(
    case: str,
    /,
    *,
    to: To,
    reason: Reason = "",
    dry_run: DryRun = False,
    by: ByOption = "",
    crew: CrewOption = "",
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    json_: JsonOption = False,
) -> int:
    """Have a parked case go on with another version of its flow, if that does all that the log says.

    Exit code 1, with the first difference, if it does not; then nothing was changed.

    Parameters
    ----------
    case
        Id of the case.
    """
    if not (dry_run or reason.strip()):
        raise Quit(Exit.USAGE, "--reason: say why; it stands in the log of the case")
    key = CaseKey(tenant, case)

    async def attempt(reader: StoreReader) -> tuple[str, str]:
        row = await find_case(reader, key)
        flow = await tried(reader, reader_of(await crew_of(reader, crew)), row, to)
        return flow.version, flow.source_hash

    async def act(reader: StoreReader, door: StoreDoor) -> DeliverResult:
        arrived = wished(case, f"migrate:{World().ids.new()}", to, by=person(by), reason=reason)
        return await door.deliver(tenant, case, arrived.message_id, encode(arrived))

    async def look(reader: StoreReader) -> CaseRow:
        return await find_case(reader, key)

    try:
        pinned = read_store(store, attempt)
    except MigrationRefused as error:
        raise Quit(Exit.WRONG, str(error)) from error
    if dry_run:
        text = f"{case}: version {to} does all that its log says"
        say_json({"what": text}) if json_ else say(text)
        return Exit.OK
    result, after = anyio.run(write, store, act)
    check_delivered(store, case, result)
    row = read_store(store, look)
    moved = (row.version, row.source_hash) == pinned
    text = f"{case}: {'goes on' if moved else 'is asked to go on'} with version {to}"
    tell_aftermath(text, after, json_=json_)
    return Exit.OK if moved or not after.resumed else Exit.WRONG
