"""Dead letters of cases: what was set aside because it broke whoever took it, as often as it may be tried.

    task      a task that stopped: its attempts are used up, or trying again cannot help
    message   a message that no version at work can read, or that ended each process that took it; it stays in the
              inbox of its case
    case      a case that broke its cells or ended its processes, or whose flow, log or row is not what it was

A pure fold of the cases that wait for an operator and of their logs: there is no table of them. One is *redriven*, so
that it is tried again with all that it had at first, or *dropped*, after which its case goes on without it: the flow
hears that the task failed, the message is left out. Who did that and why stands in the log. A case itself is not
dropped: nobody but its flow could say what becomes of what it has written. It knows nothing of what a letter contains.
"""

from collections.abc import Sequence

from msgspec import Struct

from casework.protocols.codec import decode_entry, encode, pack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Decision, Entry, Halted
from casework.protocols.wire import Failed, Task
from casework.runtime.flow.asides import ASIDE_STEP
from casework.runtime.flow.orders import UNREADABLE, Order, message_key, operator_key, retry_key
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.taskwork import ATTEMPT, ROUTE, STOP
from casework.runtime.seams import World
from casework.runtime.store.base import (
    CaseKey,
    CaseRow,
    CaseStatus,
    DeliverResult,
    Record,
    StoreDoor,
    StoreReader,
    Wait,
    WaitKind,
)


class Letter(Struct, frozen=True, kw_only=True):
    """One dead letter."""

    key: str
    """What its case waits for; whoever redrives or drops it names it so."""
    case: CaseKey
    kind: str
    """`task`, `message` or `case`."""
    what: str
    """The skill that was asked for, the id of the message, or the flow."""
    who: str
    """Whom it broke last: the agent with its version, or its worker; of a case, its flow's version."""
    tries: int
    """Attempts at a task in all; of others, how often it was set aside."""
    error: str
    """What the last one ended with: kind and one line, without contents but those that a flow raises."""
    at: int
    """When it was set aside last, in microseconds since the epoch."""


async def dead_letters(reader: StoreReader) -> list[Letter]:
    """Give all dead letters of a store, those first that were set aside first; raises as the reader."""
    found: list[Letter] = []
    for row in await reader.cases(status=CaseStatus.PARKED):
        if any(_is_letter(row, wait) for wait in row.waits):
            found += letters_of(row, await reader.records(row.key))
    return sorted(found, key=lambda letter: letter.at)


def letters_of(row: CaseRow, records: Sequence[Record]) -> list[Letter]:
    """Give the dead letters of one case, from its row and its log."""
    made: list[Letter] = []
    for wait in row.waits if row.status is CaseStatus.PARKED else ():
        if _is_letter(row, wait):
            case_id = row.key.case_id
            if wait.key == operator_key(case_id):
                made.append(_of_case(row, wait, records))
            elif wait.key.startswith(message_key(case_id, "")):
                made.append(_of_message(row, wait, records))
            else:
                made.append(_of_task(row, wait, records))
    return made


async def redrive(door: StoreDoor, letter: Letter, *, by: str, reason: str, world: World) -> DeliverResult:
    """Have a dead letter tried again; `Nobody` if it is none any more. If cancelled, it may have been or not."""
    return await _order(door, letter, Order(reason=reason), by, world)


async def drop(door: StoreDoor, letter: Letter, *, by: str, reason: str, world: World) -> DeliverResult:
    """Have a case go on without a dead letter; `Nobody` if it is none any more.

    Raises:
        ValueError: it is a case, which cannot go on without itself; nothing was said to it.

    If cancelled, it may have been dropped or not.
    """
    if letter.kind == "case":
        raise ValueError("a case is not dropped, for what it wrote would be nobody's: mend what broke it, redrive it")
    return await _order(door, letter, Order(drop=True, reason=reason), by, world)


async def _order(door: StoreDoor, letter: Letter, order: Order, by: str, world: World) -> DeliverResult:
    item_id = f"letter:{world.ids.new()}"
    arrived = Arrived(key=letter.key, message_id=item_id, by=by, value=pack(order))
    return await door.deliver(letter.case.tenant, letter.key, item_id, encode(arrived))


def _is_letter(row: CaseRow, wait: Wait) -> bool:
    case_id = row.key.case_id
    mine = wait.key == operator_key(case_id) or wait.key.startswith(retry_key(case_id, ""))
    return wait.kind is WaitKind.OPERATOR and mine


def _of_task(row: CaseRow, wait: Wait, records: Sequence[Record]) -> Letter:
    step = wait.key.removeprefix(retry_key(row.key.case_id, ""))
    what, who, tries, error, at = "", "", 0, wait.reason, row.changed_at
    for record in records:
        own, mark = split_mark(record.step_id)
        match _entry(record) if own == step else None:
            case Task() as task:
                what = task.task
            case Decision() as route if mark == ROUTE:
                who = route.chosen
            case Decision() if mark == STOP:
                at = record.at
            case Failed() as failed if mark == ATTEMPT:
                who, tries, error = failed.agent or who, failed.attempt, f"{failed.kind}: {failed.message}"
            case _:
                continue
    return Letter(key=wait.key, case=row.key, kind="task", what=what, who=who, tries=tries, error=error, at=at)


def _of_message(row: CaseRow, wait: Wait, records: Sequence[Record]) -> Letter:
    item_id = wait.key.removeprefix(message_key(row.key.case_id, ""))
    told = [(_entry(record), record.at) for record in records if record.step_id == ASIDE_STEP]
    times = [at for entry, at in told if isinstance(entry, Decision) and entry.subject == item_id]
    return Letter(
        key=wait.key,
        case=row.key,
        kind="message",
        what=item_id,
        who=f"version {row.version}",
        tries=max(len(times), 1),
        error=wait.reason,
        at=max(times, default=row.changed_at),
    )


def _of_case(row: CaseRow, wait: Wait, records: Sequence[Record]) -> Letter:
    halts = [record for record in records if record.kind == "halted"]
    last = _entry(halts[-1]) if halts else None
    error, at = (last.reason, halts[-1].at) if isinstance(last, Halted) else (wait.reason, row.changed_at)
    unread = error.startswith(UNREADABLE)
    return Letter(
        key=wait.key,
        case=row.key,
        kind="message" if unread else "case",
        what=error.rpartition(": ")[2] if unread else row.flow,
        who=f"version {row.version}",
        tries=max(len(halts), 1),
        error=error,
        at=at,
    )


def _entry(record: Record) -> Entry | None:
    """Decode a record; None for one that this version cannot read."""
    try:
        return decode_entry(record.frame)
    except ProtocolError:
        return None
