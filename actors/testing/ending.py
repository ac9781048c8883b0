"""How a run ended, in a form in which two runs can be compared: result, effects, cost, and what the log means.

Meaning leaves out what belongs to the occasion (ids, deadlines, attempts, the order of branches side by side) and
what a crash may add without harm: a call that is known not to have happened, the question what became of one. What
the flow drew from its case (time, chance, ids) may differ between runs, and is replaced by the name of its step
wherever it turns up. It does not know how the runs differed.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from casework.actors.crew import Crew
from casework.actors.testing.log import CaseLog
from casework.actors.testing.people import UNKNOWN_RULE
from casework.actors.testing.tools import Outside, ToolCall
from casework.actors.tools import Tool
from casework.protocols.codec import Plain, pack, plain, plain_entry
from casework.protocols.records import (
    Call,
    Closed,
    Done,
    Drawn,
    Entry,
    Halted,
    Intent,
    Opened,
    Reckoned,
    Review,
    Undone,
)
from casework.protocols.wire import Cost, Failed, RiskTier
from casework.runtime.flow.replay import split_mark
from casework.runtime.store.base import CaseRow

#: Fields of records that belong to the occasion.
OCCASIONAL: Final = frozenset(
    {
        "agent", "at", "attempt", "call_before", "cost", "deadline", "due", "expires", "found_by", "id", "inputs_hash",
        "message_id", "needs", "policy_hash", "proposal_hash", "queued", "review_id", "sender", "task_id", "took",
        "trace", "tries", "type", "verdict", "worked",
    }
)  # fmt: skip
#: Mark of the end of a call that came when nobody waited for it.
LATE: Final = "late"
#: Characters from which on something drawn is looked for inside of texts as well.
DRAWN_CHARS_MIN: Final = 9
#: Characters of a value that a difference shows.
SHOWN_CHARS_MAX: Final = 400
#: Characters that two long values share and that are shown before the place where they part.
SHARED_CHARS_SHOWN: Final = 60

#: What the steps of a case mean: by step without ordinals and attempts, in no order across steps.
Meaning = dict[str, list[str]]


@dataclass(slots=True, frozen=True)
class Effects:
    """Writes that happened, alike ones counted."""

    times: Mapping[str, int]
    """How often, by tool and arguments."""
    keys: Mapping[str, tuple[str, ...]]
    """Under which keys."""


@dataclass(slots=True, frozen=True)
class Seen:
    """What was seen beside the log."""

    outside: Outside
    faked: Collection[str]
    """Tools with fakes, which reach nothing."""
    watched: object
    appends: int


@dataclass(slots=True, frozen=True)
class Ending:
    """How a run ended."""

    value: Plain
    """What the flow returned, as plain data."""
    result: str
    """How the case closed; empty while it has not."""
    standing: str
    """Why it has not, or the error with which it closed; else empty."""
    effects: Effects
    cost: Cost
    meaning: Mapping[str, Meaning]
    """By case."""
    watched: Plain
    """What `watch` saw of the world."""
    calls: Mapping[tuple[str, str], int]
    """How often each tool without a fake was called, by its name and what lets it be called again: see `AGAIN`."""
    unsettled: int
    """Writes that were asked about, or found not to have happened."""
    appends: int
    """Appends with records, in the process that was killed or in the only one."""


def ending_of(crew: Crew, rows: Sequence[CaseRow], logs: Sequence[CaseLog], seen: Seen) -> Ending:
    """Bring together how a run ended; the first case is the one that was opened."""
    drawn = _drawn(logs)
    last = logs[0].entries[-1]
    value, standing = None, _standing(rows, logs)
    if isinstance(last, Closed):
        value, standing = _named(plain(last.value), drawn), last.error or standing
    return Ending(
        value=value,
        result=rows[0].result,
        standing=standing,
        effects=_effects(crew, seen.outside.effects(), drawn),
        cost=_sum(log.cost for log in logs),
        meaning={log.case_id: _meaning(log, drawn) for log in logs},
        watched=_named(plain(pack(seen.watched)), drawn),
        calls=Counter(_again(crew.tools.get(name)) for name in seen.outside.reached() if name not in seen.faked),
        unsettled=sum(_unsettled(entry) for log in logs for entry in log.entries),
        appends=seen.appends,
    )


def difference(whole: Ending, other: Ending, *, may_stop: bool = False) -> str:
    """Give the first difference that matters, the gravest first; empty if there is none.

    With `may_stop`, a run with a write whose end nobody saw may end otherwise, but with no effect more than `whole`.
    """
    unsaid = other.unsettled > whole.unsettled
    if may_stop and unsaid:
        return _effects_differ(whole.effects, other.effects, fewer=False)
    if other.standing != whole.standing and not other.result:
        advice = f". {UNSAID}" if unsaid and not other.standing.endswith(DRAW) else ""
        return f"the case did not end: {other.standing}{advice}"
    return (
        _effects_differ(whole.effects, other.effects, unsaid=unsaid)
        or _differ("what `watch` saw", whole.watched, other.watched, _outside(whole.calls, other.calls))
        or _differ("how the case closed", [whole.result, whole.standing], [other.result, other.standing])
        or _differ("what the flow returned", whole.value, other.value, DRAW)
        or _meaning_differs(whole.meaning, other.meaning)
        or _differ("the cost", _shown(whole.cost), _shown(other.cost))
    )


DRAW: Final = "A flow must do the same again when it runs again: take time, chance and ids from its case."
OUTSIDE: Final = "An effect made outside of a tool is made again whenever its code runs again: make it a tool."
OTHERWISE: Final = (
    "Otherwise it was made outside of a tool, and is made again whenever its code runs again: make it one."
)
#: What lets a tool be called again, and what must then hold.
AGAIN: Final[Mapping[str, str]] = {
    "keyed": "it is declared `keyed`: it must do nothing more under a key that it had before",
    "lookup": "its `lookup` said that it had not happened: that must be the truth",
    "read": "it is declared READ_ONLY: if it changes anything, declare it as a write",
    "": "it was said not to have happened: that must be the truth",
}
TWICE: Final = (
    "A write that is repeated although it may have happened is made twice: declare it `keyed`, or give it a `lookup` "
    "that tells the truth, and repeat it only after a failure that says it did not happen."
)
UNSAID: Final = (
    "Nobody saw the write end: declare it `keyed`, and it is made again under its key; a `lookup` spares a person the "
    "question, but makes no write. Or have the flow go on from a write that did not happen, or say `may_stop=True`."
)


def _standing(rows: Sequence[CaseRow], logs: Sequence[CaseLog]) -> str:
    """Say why a case has not ended; empty if it has."""
    for row, log in zip(rows, logs, strict=True):
        halted = [entry.reason for entry in log.entries if isinstance(entry, Halted)]
        if halted:
            advice = f". {DRAW}" if "ReplayMismatch" in halted[-1] else ""
            return f"case {log.case_id} stopped: {halted[-1]}{advice}"
        if log is logs[0] and not row.result:
            waits = "; ".join(
                f"{wait.kind} {wait.key}{f' ({wait.reason})' if wait.reason else ''}" for wait in row.waits
            )
            return f"case {log.case_id} is {row.status} and waits for {waits or 'nothing that was given'}"
    return ""


def _drawn(logs: Sequence[CaseLog]) -> dict[object, str]:
    """Name everything that the flows drew by the step that drew it, and the keys of writes by the write."""
    drawn: dict[object, str] = {}
    for log in logs:
        for record, entry in zip(log.records, log.entries, strict=True):
            if isinstance(entry, Drawn):
                drawn[plain(entry.value)] = f"<{record.step_id} of {log.case_id}>"
            elif isinstance(entry, Intent):
                # It grows from the identity of the case, which is another one if the case was opened anew.
                drawn[entry.key] = f"<key of {_unnumbered(record.step_id)} of {log.case_id}>"
    return drawn


def _named(value: Plain, drawn: Mapping[object, str]) -> Plain:
    """Put the names of what was drawn in its place."""
    match value:
        case dict():
            return {str(_named(name, drawn)): _named(each, drawn) for name, each in value.items()}
        case list():
            return [_named(each, drawn) for each in value]
        case str():
            for known, name in drawn.items():
                text = str(known)
                if len(text) >= DRAWN_CHARS_MIN:
                    value = value.replace(text, name)
            return value
        case int() | float() if not isinstance(value, bool):
            return drawn.get(value, value)
        case _:
            return value


def _meaning(log: CaseLog, drawn: Mapping[object, str]) -> Meaning:
    steps: Meaning = {}
    ended: set[str] = set()
    for record, entry in zip(log.records, log.entries, strict=True):
        step_id, mark = split_mark(record.step_id)
        # A call whose end was found out before anybody asked again stands aside, and is an end all the same.
        aside = mark and not (mark == LATE and isinstance(entry, Call | Done) and step_id not in ended)
        # A reckoning lists writes in the order in which they ended, which branches side by side may change.
        if aside or isinstance(entry, Opened | Closed | Intent | Undone | Failed | Reckoned):
            continue
        ended.add(step_id)
        fields = {name: value for name, value in plain_entry(record.frame).items() if name not in OCCASIONAL}
        text = "" if isinstance(entry, Drawn) else _shown(_named(fields, drawn))
        known = steps.setdefault(f"{_unnumbered(step_id)} ({record.kind})", [])
        # A read that was repeated in a new attempt says the same again.
        if not (isinstance(entry, Call) and text in known):
            known.append(text)
    return {step: sorted(texts) for step, texts in sorted(steps.items())}


def _unsettled(entry: Entry) -> bool:
    return isinstance(entry, Undone) or (isinstance(entry, Review) and entry.rule == UNKNOWN_RULE)


def _unnumbered(step_id: str) -> str:
    """Leave out ordinals and attempts: after a crash a write may be the second one that was tried."""
    parts = step_id.replace(":", "/:").split("/")
    return "/".join(part.partition("#")[0].partition("@")[0] for part in parts).replace("/:", ":")


def _effects(crew: Crew, calls: Iterable[ToolCall], drawn: Mapping[object, str]) -> Effects:
    times: Counter[str] = Counter()
    keys: dict[str, tuple[str, ...]] = {}
    made: set[tuple[str, str]] = set()
    for call in calls:
        if (call.tool, call.key) in made and crew.tools.get(call.tool).keyed:
            continue
        made.add((call.tool, call.key))
        effect = f"{call.tool} {_shown(_named(plain(pack(call.arguments)), drawn))}"
        times[effect] += 1
        keys[effect] = (*keys.get(effect, ()), call.key[:8])
    return Effects(dict(times), keys)


def _again(tool: Tool) -> tuple[str, str]:
    """Say what lets a tool be called again after a crash, beside its name."""
    if tool.tier is RiskTier.READ_ONLY:
        return tool.name, "read"
    return tool.name, "keyed" if tool.keyed else "lookup" if tool.looked_up else ""


def _outside(whole: Mapping[tuple[str, str], int], other: Mapping[tuple[str, str], int]) -> str:
    """Advise on a change outside that no effect accounts for."""
    again = [called for called, times in other.items() if times > whole.get(called, 0)]
    told = [f"Tool {name!r} was called again, since {AGAIN[why]}." for name, why in again]
    return " ".join([*told, OTHERWISE]) if told else OUTSIDE


def _effects_differ(whole: Effects, other: Effects, *, fewer: bool = True, unsaid: bool = False) -> str:
    for effect in dict.fromkeys((*whole.times, *other.times)):
        before, now = whole.times.get(effect, 0), other.times.get(effect, 0)
        if now > before or (fewer and now < before):
            keys = ", ".join(other.keys.get(effect, ())) or "none"
            advice = TWICE if now > before > 0 else UNSAID if unsaid and not _elsewhere(effect, whole, other) else DRAW
            return f"effect {effect} was made {_often(now)} (keys: {keys}) instead of {_often(before)}. {advice}"
    return ""


def _elsewhere(effect: str, whole: Effects, other: Effects) -> bool:
    """Say whether a tool changed its arguments: what it was to do was not done, and something else was."""
    tools = [
        {each.partition(" ")[0] for each in one.times if each not in another.times}
        for one, another in ((whole, other), (other, whole))
    ]
    return effect.partition(" ")[0] in tools[0] & tools[1]


def _meaning_differs(whole: Mapping[str, Meaning], other: Mapping[str, Meaning]) -> str:
    for case_id in dict.fromkeys((*whole, *other)):
        before, now = whole.get(case_id, {}), other.get(case_id, {})
        for step in dict.fromkeys((*before, *now)):
            found = _differ(f"step {step} of case {case_id}", before.get(step, []), now.get(step, []), DRAW)
            if found:
                return found
    return ""


def _differ(what: str, whole: object, other: object, advice: str = "") -> str:
    if whole == other:
        return ""
    before, now = _apart(whole, other)
    return f"{what} differs.\n  not killed: {before}\n  killed:     {now}\n{advice}".rstrip()


def _apart(whole: object, other: object) -> tuple[str, str]:
    """Show two values; if they are long, without the items that both lists have, and from shortly before they part."""
    before, now = _text(whole), _text(other)
    if max(len(before), len(now)) <= SHOWN_CHARS_MAX:
        return before, now
    if isinstance(whole, list) and isinstance(other, list):
        items, others = cast("list[object]", whole), cast("list[object]", other)
        alone, others_alone = _alone(items, others), _alone(others, items)
        if alone or others_alone:
            before, now = _text(alone), _text(others_alone)
    parted = (at for at, (one, two) in enumerate(zip(before, now, strict=False)) if one != two)
    shared = next(parted, min(len(before), len(now)))
    start = max(0, shared - SHARED_CHARS_SHOWN) if max(len(before), len(now)) > SHOWN_CHARS_MAX else 0
    return _cut(before, start), _cut(now, start)


def _alone(items: Sequence[object], others: Sequence[object]) -> list[object]:
    """Give the items that the others lack, each as often as it is more there."""
    rest, alone = list(others), list[object]()
    for item in items:
        if item in rest:
            rest.remove(item)
        else:
            alone.append(item)
    return alone


def _shown(value: object) -> str:
    if isinstance(value, Cost):
        return f"{value.calls} calls, {value.micros} micros"
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _shown(value)


def _cut(text: str, start: int) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"


def _often(times: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(times, f"{times} times")


def _sum(costs: Iterable[Cost]) -> Cost:
    given = list(costs)
    return Cost(calls=sum(cost.calls for cost in given), micros=sum(cost.micros for cost in given))
