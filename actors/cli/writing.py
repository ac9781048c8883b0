"""Sub-commands that tell a case something: deliver and cancel. They do not know what the case makes of it."""

import hashlib
from pathlib import Path
from typing import Annotated, Final

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, TENANT, ByOption, JsonOption, StoreOption, TenantOption, person
from casework.actors.cli.output import say, say_json, tell
from casework.actors.cli.standing import LINES_MAX, say_overview
from casework.actors.cli.unread import TOO_LATE, is_late, unread
from casework.actors.cli.working import Aftermath, write
from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Cancel
from casework.protocols.wire import Evidence
from casework.runtime.delivery import ARTIFACT_BYTES_MAX, TARGET_BYTES_MAX, awaited_key
from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store.base import (
    CaseKey,
    CaseStatus,
    Delivered,
    DeliverResult,
    Duplicate,
    Nobody,
    StoreDoor,
    StoreReader,
    Unavailable,
    Unknown,
)
from casework.runtime.store.rules import key_fault
from casework.runtime.store.urls import open_reader

#: How keys begin for which nothing is wanted but that it goes on: of a stopped task, an alternative that parks, a case
#: that went no further.
GOING_ON: Final = ("retry:", "go_on:", "operator:")
#: Characters of what was typed that are said back, at most.
ECHO_MAX: Final = 200


def deliver(
    target: Annotated[str, Parameter(name="CASE|KEY")],
    file: Annotated[Path | None, Parameter(name="FILE")] = None,
    /,
    *,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    by: ByOption = "",
    json_: JsonOption = False,
) -> int:
    """Deliver a file to a case, or to whatever waits for a key; the parked case resumes.

    Parameters
    ----------
    target
        A case, if it waits for one thing only, or the key that is waited for.
    file
        What is delivered; left out only to have something go on: a key that begins with retry:, go_on: or operator:.
    """
    if why := key_fault("CASE|KEY", target, TARGET_BYTES_MAX):
        raise Quit(Exit.USAGE, why)
    data = None if file is None else _content(file)

    async def act(reader: StoreReader, door: StoreDoor) -> tuple[DeliverResult, str]:
        key = await awaited_key(reader, CaseKey(tenant, target))
        if data is None and not key.startswith(GOING_ON):
            raise Quit(Exit.USAGE, f"{_short(key)}: name the file that is delivered")
        evidence, item_id = None, f"delivered:{key}:{World().ids.new()}"
        if data is not None and file is not None:
            sha256 = hashlib.sha256(data).hexdigest()
            await door.put_artifact(sha256, data)
            evidence = Evidence(ref=f"artifact:{sha256}", sha256=sha256, label=file.name)
            item_id = f"delivered:{key}:{sha256[:32]}"
        arrived = Arrived(key=key, message_id=item_id, by=person(by), evidence=evidence)
        return await door.deliver(tenant, target, item_id, encode(arrived)), item_id

    (result, item_id), after = anyio.run(write, store, act)
    check_delivered(store, target, result)
    what = "had been delivered before" if isinstance(result, Duplicate) else "delivered"
    tell_aftermath(f"{_short(target)}: {what}", after, json_=json_)
    return in_time(store, result, item_id)


def cancel(
    case: str,
    /,
    *,
    reason: Annotated[str, Parameter(name="--reason", help="Why; it stands in the log.")],
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    by: ByOption = "",
    json_: JsonOption = False,
) -> int:
    """Ask a case to stop; it hears so at once and may take back what it did.

    Parameters
    ----------
    case
        Id of the case.
    """
    if not reason.strip():
        raise Quit(Exit.USAGE, "--reason: say why; it stands in the log of the case")
    item_id = f"cancel:{World().ids.new()}"
    frame = encode(Cancel(message_id=item_id, by=person(by), reason=reason))

    async def act(reader: StoreReader, door: StoreDoor) -> DeliverResult:
        row = await reader.case(CaseKey(tenant, case))
        if row is None or row.status is CaseStatus.CLOSED:
            return Nobody(case)
        return await door.deliver(tenant, case, item_id, frame)

    result, after = anyio.run(write, store, act)
    check_delivered(store, case, result)
    tell_aftermath(f"{case}: asked to stop", after, json_=json_)
    return in_time(store, result, item_id)


def _short(target: str) -> str:
    """Give what was typed, as far as it is worth repeating."""
    return target if len(target) <= ECHO_MAX else f"{target[:ECHO_MAX]}..."


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(ARTIFACT_BYTES_MAX + 1)
    if len(data) > ARTIFACT_BYTES_MAX:
        raise Quit(Exit.USAGE, f"{file}: more than {ARTIFACT_BYTES_MAX >> 20} MiB; deliver a smaller file")
    return data


def check_delivered(url: str, target: str, result: DeliverResult) -> None:
    """Raise Quit where nobody was told, and StoreUnavailable where that is not known."""
    match result:
        case Nobody():
            text = f"no open case is called {_short(target)!r} and none waits for it"
            raise Quit(Exit.NOT_FOUND, f"{text}; see `casework cases --status parked`")
        case Unavailable() | Unknown():
            raise StoreUnavailable(url, f"{result.why}; run it again, which does no harm")
        case _:
            return


def in_time(url: str, result: DeliverResult, item_id: str) -> Exit:
    """Say of which cases it came too late, though the store took it: they closed at the same moment."""

    async def look() -> list[str]:
        reader = await open_reader(url, World())
        try:
            keys = result.keys if isinstance(result, Delivered) else ()
            return [key.case_id for key in keys for each in await unread(reader, key) if is_late(each, item_id)]
        finally:
            await reader.aclose()

    late = anyio.run(look) if isinstance(result, Delivered) else []
    for case_id in late:
        tell("warning", f"{case_id}: {TOO_LATE}")
    return Exit.WRONG if late else Exit.OK


def tell_aftermath(text: str, after: Aftermath, *, json_: bool) -> None:
    """Print what was done, what changed by it, and on standard error what the cases warn of."""
    for notice in after.news.notices[:LINES_MAX]:
        tell(notice.level, f"{notice.case}: {notice.text}")
    if json_:
        said = {"what": text, "resumed": after.resumed, "changed": after.news.changed, "notes": after.news.notices}
        say_json({**said, "overview": after.standing.overview})
        return
    say(text)
    for change in after.news.changed:
        say(f"{change.case}: {change.before} -> {change.after}")
    say_overview(after.standing)
