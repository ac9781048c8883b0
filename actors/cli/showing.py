"""The sub-command `show`: one case's story, where its time went, who saw what of it, from its log alone; and what
it has not read.

It does not know whether the case is at work.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, TENANT, JsonOption, StoreOption, TenantOption
from casework.actors.cli.output import moment, say, say_columns, say_json
from casework.actors.cli.reading import case_json, find_case, read_store, standing_of
from casework.actors.cli.unread import Unread, unread
from casework.actors.seen import Seen
from casework.actors.seen import seen as who_saw
from casework.actors.timeline import timeline
from casework.actors.times import CaseTimes, Gap, StepTimes
from casework.actors.timing import timing
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseKey, CaseRow, Record, StoreReader

Times = Annotated[bool, Parameter(name="--times", negative="", help="Where its time went, and the critical path.")]
Sight = Annotated[bool, Parameter(name="--seen", negative="", help="Who saw which fields; never their contents.")]

#: Parts of a step's time in the order in which they are shown.
_SHOWN: Final = ("queue", "working", "tools", "people", "waiting")


def show(
    case: str,
    *,
    store: StoreOption = STORE,
    tenant: TenantOption = TENANT,
    times: Times = False,
    seen: Sight = False,
    json_: JsonOption = False,
) -> int:
    """Tell the story of one case, from its log alone.

    Parameters
    ----------
    case
        Id of the case.
    """

    async def read(reader: StoreReader) -> tuple[CaseRow, Sequence[Record], Sequence[Unread]]:
        row = await find_case(reader, CaseKey(tenant, case))
        return row, await reader.records(row.key), await unread(reader, row.key)

    row, records, messages = read_store(store, read)
    if times and seen:
        raise Quit(Exit.USAGE, "say either --times or --seen")
    if seen:
        _show_seen(row, who_saw(records), json_=json_)
    elif times:
        _show_times(row, timing(records), json_=json_)
    else:
        _show_story(row, records, messages, json_=json_)
    return Exit.OK


def _show_story(row: CaseRow, records: Sequence[Record], messages: Sequence[Unread], *, json_: bool) -> None:
    lines = timeline(records)
    if json_:
        say_json({**case_json(row), "timeline": lines, "unread": messages})
        return
    _say_title(row)
    for line in lines:
        step = f"[{line.step}] " if line.step not in {"", "case"} else ""
        say(f"{line.seq:>5}  {moment(line.at)}  {step}{line.text}")
        # A decision says all in its sentence but the hashes, which are for machines.
        for name, text in line.details if line.kind != "decision" else ():
            say(f"{'':>32}{name}: {text}")
    for wait in row.waits:
        say(f"it waits for {wait.key} ({wait.kind}): {wait.reason}")
    for message in messages:
        say(f"not in its log: {message.what}; {message.why}")


def _show_times(row: CaseRow, times: CaseTimes, *, json_: bool) -> None:
    if json_:
        said = {"micros": times.micros, "path_micros": _on_path(times), "steps": times.steps, "chain": times.chain}
        say_json({**case_json(row), "times": said})
        return
    _say_title(row)
    head = ("step", "seconds", *_SHOWN)
    say_columns([head, *((_named(each), *_parts(each)) for each in times.steps)])
    say(*(f"{_named(each)}: its own time stood still for {_seconds(each.held)} s" for each in times.steps if each.held))
    say("", f"{_seconds(times.micros)} s in all, {_seconds(_on_path(times))} s of it in steps of the critical path:")
    say_columns([_link(each) for each in times.chain] or [("  no step",)])


def _show_seen(row: CaseRow, told: Sequence[Seen], *, json_: bool) -> None:
    if json_:
        say_json({**case_json(row), "seen": told})
        return
    _say_title(row)
    if told:
        say_columns([(each.who, each.step, each.what, ", ".join(each.fields) or "(the whole)") for each in told])


def _say_title(row: CaseRow) -> None:
    say(f"{row.key.case_id}: flow {row.flow} version {row.version}, {standing_of(row)}")


def _on_path(times: CaseTimes) -> int:
    return sum(each.spent.total for each in times.path)


def _named(step: StepTimes) -> str:
    return step.step if step.over else f"{step.step} (not over)"


def _parts(step: StepTimes) -> list[str]:
    spent = [getattr(step.spent, part) for part in _SHOWN]
    return [_seconds(step.spent.total), *(_seconds(each) if each else "" for each in spent)]


def _link(each: StepTimes | Gap) -> tuple[str, str]:
    if isinstance(each, Gap):
        return f"  ({each.why})", _seconds(each.micros)
    return f"  {_named(each)}", _seconds(each.spent.total)


def _seconds(micros: int) -> str:
    return f"{micros / MICROS:.3f}"
