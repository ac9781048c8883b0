"""Resolving: what several sources have said becomes one value, each conflict by its rule, and everything is recorded.

A decision names the sources that were offered and the one that was taken, and in `why` the steps of those that were
not: at those the log has what they said. What came from no task is noted, so no losing value is ever lost.
All that a person has to decide is one question. It does not know who the sources are, nor how a vote is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from msgspec.json import encode
from msgspec.structs import replace

from casework.actors.conflicts import (
    WHOLE,
    Checked,
    ConflictRule,
    HigherConfidence,
    Pick,
    Position,
    Said,
    alike,
    by_field,
    checked,
    dispute,
    positions,
    surer,
)
from casework.actors.patterns.errors import FAILURES
from casework.actors.patterns.terms import Terms
from casework.protocols.records import ReviewAction
from casework.protocols.wire import Evidence
from casework.runtime.errors import ReviewRejected
from casework.runtime.flow.case import Case, Result, Reviewed

#: The rule by which a person is asked about sources that differ.
CONFLICT_RULE: Final = "merge.conflict"
#: Characters of a value that a question shows.
SHOWN_MAX: Final = 80


@dataclass(slots=True, frozen=True, eq=False)
class Sources:
    """What is made one: who asks, what the sources were given, and what they said."""

    name: str
    given: object
    said: tuple[Said, ...]
    evidence: tuple[Evidence, ...]


@dataclass(slots=True, frozen=True, eq=False)
class Question:
    """What a person is asked: the fields that are open, each with what may be taken."""

    rule: str
    open: Mapping[str, Sequence[Position]]
    whys: Mapping[str, str]
    """Why each is open."""


async def resolved(
    case: Case, sources: Sources, rules: Mapping[str, ConflictRule], otherwise: ConflictRule | None, terms: Terms
) -> Result[Any]:
    """Make one value of what was said; as sure as its least sure field.

    Raises:
        ReviewRejected: a person had to decide, and wanted none of it.
    """
    fields = {field: positions(said) for field, said in by_field(sources.said).items()}
    disputed = {field: found for field, found in fields.items() if len(found) > 1}
    settled = {field: agreed(found[0]) for field, found in fields.items() if len(found) == 1}
    ruled = {field: rules.get(field, otherwise) for field in disputed}
    picks, whys = await _ruled(case, sources, disputed, ruled, terms)
    return await decided(case, sources, {**settled, **picks}, Question(CONFLICT_RULE, disputed, whys))


def agreed(position: Position) -> Pick:
    """Take what nobody disputes; as sure as the surest of its sources."""
    return Pick(position.value, position.confidence, position.label, "", "")


async def decided(case: Case, sources: Sources, picks: dict[str, Pick], question: Question) -> Result[Any]:
    """Have a person decide what no pick decides, record every choice, and make the value.

    Raises:
        ReviewRejected: the person wanted none of it.
    """
    disputed = question.open
    left = {field: found for field, found in disputed.items() if field not in picks}
    leading = {field: max(found, key=lambda each: (each.weight, each.confidence)) for field, found in left.items()}
    value = made(sources.said, {**picks, **{field: agreed(found) for field, found in leading.items()}})
    confidences = [pick.confidence for pick in picks.values()]
    if left:
        reviewed = await _ask(case, sources, Question(question.rule, left, question.whys), value)
        value = reviewed.value
        picks = {**picks, **{field: _by_person(field, found, reviewed) for field, found in left.items()}}
    for field, found in disputed.items():
        await record(case, subject(sources.name, field), found, picks[field])
    return Result(value, min(confidences, default=1.0), sources.evidence, "")


async def record(case: Case, what: str, found: Sequence[Position], pick: Pick) -> None:
    """Tell the log what was chosen, and where to find what was not."""
    options = list(dict.fromkeys((*(each.label for each in found), pick.by)))
    lost = [said for each in found if each.label != pick.by for said in each.said]
    names = ", ".join(f"{each.source} ({each.confidence:.2f}{_at_step(each)})" for each in lost)
    heard = [(each.source, each.value, each.confidence) for position in found for each in position.said]
    await case.decide(
        what,
        options,
        pick.by,
        rule=pick.rule,
        why=f"{pick.why}; not taken: {names}" if lost else pick.why,
        confidence=pick.confidence,
        inputs=heard,
    )
    for each in lost:
        if not each.step:
            await case.note(f"{what}: not taken from {each.source}", data=each.value)


def made(said: Sequence[Said], picks: Mapping[str, Pick]) -> Any:
    """Put the value together: the picked fields, the others as the source has them that the most picks are of."""
    if WHOLE in picks:
        return picks[WHOLE].value
    base = max(said, key=lambda each: (_agreeing(each, picks), each.confidence)).value
    assert isinstance(base, Struct), "only Structs are taken apart"
    return replace(base, **{field: pick.value for field, pick in picks.items()})


def subject(name: str, field: str) -> str:
    """Say what a decision is about."""
    return f"{name}.{field}" if field else name


async def _ruled(
    case: Case,
    sources: Sources,
    disputed: Mapping[str, Sequence[Position]],
    rules: Mapping[str, ConflictRule | None],
    terms: Terms,
) -> tuple[dict[str, Pick], dict[str, str]]:
    """Give the picks that the rules make, and of every other conflict why a person has to decide it."""
    picks: dict[str, Pick] = {}
    whys: dict[str, str] = {}

    async def find_out(field: str, rule: Checked, within: Terms) -> None:
        try:
            found = await rule.by(case, dispute(field, disputed[field], sources.given), within)
        except FAILURES as failure:
            whys[field] = str(failure)
            return
        if found.value is None:
            whys[field] = f"{rule.by.name} cannot tell"
        else:
            picks[field] = checked(disputed[field], found.value, found.confidence, rule)

    for field, rule in rules.items():
        pick = surer(disputed[field], rule) if isinstance(rule, HigherConfidence) else None
        if pick is not None:
            picks[field] = pick
        else:
            whys[field] = "there is no rule for it" if rule is None else f"rule {rule.name}"
    tested = [(field, rule) for field, rule in rules.items() if isinstance(rule, Checked)]
    if tested:
        shares = terms.shares([1.0] * len(tested), heard=True)
        await case.gather(*(find_out(*each, share) for each, share in zip(tested, shares, strict=True)))
    return picks, whys


async def _ask(case: Case, sources: Sources, question: Question, value: Any) -> Reviewed[Any]:
    fields = ", ".join(field for field in question.open if field)
    title = f"{sources.name}: which {fields} is right?" if fields else f"{sources.name}: which is right?"
    reviewed = await case.review(
        title,
        value,
        rule=question.rule,
        summary="; ".join(_shown(field, found, question.whys[field]) for field, found in question.open.items()),
        evidence=sources.evidence,
        consequences=(
            (ReviewAction.APPROVE, "it goes on with this"),
            (ReviewAction.EDIT, "it goes on with what you put in its place"),
            (ReviewAction.REJECT, f"{sources.name} fails"),
        ),
    )
    if reviewed.action is ReviewAction.REJECT:
        raise ReviewRejected(title, reviewed.by, reviewed.reason)
    return reviewed


def _by_person(field: str, found: Sequence[Position], reviewed: Reviewed[Any]) -> Pick:
    value = getattr(reviewed.value, field) if field else reviewed.value
    same = next((each for each in found if alike(each.value, value)), None)
    why = f"{reviewed.by} decided" + (f": {reviewed.reason}" if reviewed.reason else "")
    return Pick(value, 1.0, same.label if same else f"person:{reviewed.by}", "conflict.person", why)


def _agreeing(said: Said, picks: Mapping[str, Pick]) -> int:
    return sum(alike(getattr(said.value, field), pick.value) for field, pick in picks.items())


def _at_step(said: Said) -> str:
    return f", {said.step}" if said.step else ""


def _shown(field: str, found: Sequence[Position], why: str) -> str:
    claims = " or ".join(f"{_short(each.value)} ({each.label}, {each.confidence:.2f})" for each in found)
    return f"{field}: {claims}; {why}" if field else f"{claims}; {why}"


def _short(value: object) -> str:
    text = encode(value).decode()
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
