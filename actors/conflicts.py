"""Conflicts: several sources have said something of the same thing, and not all of them the same.

What was said is compared field by field where it is a Struct, so that two sources may agree on the date and differ on
the amount. Each conflict has a rule, a named value; without one, or when its rule cannot tell, a person decides:

    HigherConfidence    whoever was surer, by more than a margin
    Person              a person
    Checked            a pattern that finds out what is so, such as a look at the source itself

All of it is pure. A field that is UNSET was not said; None was. It does not know who asks the person, nor what runs a
verification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import UNSET, Struct

if TYPE_CHECKING:
    from casework.actors.patterns.base import Pattern

#: Stands for a field's name where a value has no fields, or is compared as a whole.
WHOLE: Final = ""


@dataclass(slots=True, frozen=True, eq=False)
class Said:
    """What one source says."""

    source: str
    value: object
    confidence: float
    step: str = ""
    """Step of the task that the value came from, by which the log has it; empty if it came from none."""
    weight: int = 1


@dataclass(slots=True, frozen=True, eq=False)
class Position:
    """One of the things that are said, and everybody who says it."""

    value: object
    said: tuple[Said, ...]

    @property
    def label(self) -> str:
        """Its sources: what decisions call it, so that no value is copied into them."""
        return "+".join(each.source for each in self.said)

    @property
    def confidence(self) -> float:
        """How sure the surest of its sources is."""
        return max(each.confidence for each in self.said)

    @property
    def weight(self) -> int:
        """What its sources weigh together."""
        return sum(each.weight for each in self.said)


class Claim(Struct, frozen=True, kw_only=True):
    """One of the things that are said, as a verification is told it."""

    sources: tuple[str, ...]
    value: object
    confidence: float


class Dispute(Struct, frozen=True, kw_only=True):
    """What a verification is given: a conflict, and what the sources themselves were given."""

    field: str
    """Empty where whole values differ."""
    claims: tuple[Claim, ...]
    given: object = None


@dataclass(slots=True, frozen=True)
class HigherConfidence:
    """Take whoever was surer by more than `margin`; closer ones are for a person."""

    margin: float = 0.0
    name: str = "higher_confidence"


@dataclass(slots=True, frozen=True)
class Person:
    """Have a person decide."""

    name: str = "person"


@dataclass(slots=True, frozen=True, eq=False)
class Checked:
    """Have a pattern find out: it is given the `Dispute` and gives what is so.

    What it gives counts even if nobody said it. When it fails, or gives None since it cannot tell, a person decides.
    """

    by: "Pattern"
    name: str = "checked"


ConflictRule: TypeAlias = HigherConfidence | Person | Checked

#: The rules that need no figures.
HIGHER_CONFIDENCE: Final = HigherConfidence()
PERSON: Final = Person()


@dataclass(slots=True, frozen=True, eq=False)
class Pick:
    """What a conflict came to."""

    value: object
    confidence: float
    by: str
    """Label of the position that was taken, or who else said so."""
    rule: str
    why: str


def by_field(said: Sequence[Said]) -> dict[str, tuple[Said, ...]]:
    """Take apart what was said: by field for Structs of one type, else as a whole; what nobody said is left out."""
    if not said:
        return {}
    kind = type(said[0].value)
    if not issubclass(kind, Struct) or any(type(each.value) is not kind for each in said):
        return {WHOLE: tuple(said)}
    fields = {name: tuple(_of_field(said, name)) for name in kind.__struct_fields__}
    return {name: found for name, found in fields.items() if found}


def positions(said: Sequence[Said]) -> tuple[Position, ...]:
    """Put together what is the same, in the order in which it was first said."""
    found: list[list[Said]] = []
    for each in said:
        same = next((group for group in found if alike(group[0].value, each.value)), None)
        if same is None:
            found.append([each])
        else:
            same.append(each)
    return tuple(Position(group[0].value, tuple(group)) for group in found)


def alike(one: object, other: object) -> bool:
    """Tell whether two values say the same: equal, and of one type; 1 is not True, but 1.50 is 1.5."""
    return type(one) is type(other) and one == other


def surer(found: Sequence[Position], rule: HigherConfidence) -> Pick | None:
    """Take the position that is surer than all others by more than the margin, if there is one."""
    first, second = sorted(found, key=lambda each: -each.confidence)[:2]
    if not first.confidence - second.confidence > rule.margin:
        return None
    why = f"{first.confidence:.2f} against {second.confidence:.2f}"
    return Pick(first.value, first.confidence, first.label, f"conflict.{rule.name}", why)


def dispute(field: str, found: Sequence[Position], given: object) -> Dispute:
    """Tell a conflict to a verification."""
    claims = tuple(
        Claim(sources=tuple(said.source for said in each.said), value=each.value, confidence=each.confidence)
        for each in found
    )
    return Dispute(field=field, claims=claims, given=given)


def checked(found: Sequence[Position], value: object, confidence: float, rule: Checked) -> Pick:
    """Take what a verification found, whether anybody said it or not."""
    same = next((each for each in found if alike(each.value, value)), None)
    by = same.label if same else rule.by.name
    return Pick(value, confidence, by, f"conflict.{rule.name}", f"{rule.by.name} found it so")


def rule_flaws(who: str, type_: object, rules: Mapping[str, ConflictRule]) -> list[str]:
    """Find rules for fields that the type does not have, and margins that mean nothing."""
    fields = type_.__struct_fields__ if isinstance(type_, type) and issubclass(type_, Struct) else (WHOLE,)
    has = ", ".join(fields) or "no fields: give the rule as `otherwise`"
    unknown = [f"{who} has a rule for {field!r}, which is no field of what it merges; there is {has}"
               for field in rules if field not in fields]  # fmt: skip
    margins = [rule for rule in rules.values() if isinstance(rule, HigherConfidence) and not 0.0 <= rule.margin < 1.0]
    return unknown + [f"{who} wants a margin of {rule.margin}: give one from 0 up to 1" for rule in margins]


def _of_field(said: Sequence[Said], name: str) -> list[Said]:
    values = [(each, getattr(each.value, name)) for each in said]
    return [
        Said(each.source, value, each.confidence, each.step, each.weight)
        for each, value in values
        if value is not UNSET
    ]
