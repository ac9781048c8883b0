"""Facts about one pattern that a picture tells: who does it, with which tools, how much harm it can do, its figures.

They are read off the pattern's own fields, so a kind that nobody has thought of here tells its figures as well.
It does not know where they are drawn.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from casework.actors.drawing.kinds import look_of
from casework.actors.patterns.base import Pattern
from casework.actors.patterns.description import figures, type_name
from casework.actors.patterns.flows import named_tools, names
from casework.protocols.wire import RiskTier

if TYPE_CHECKING:
    from casework.actors.crew import Crew

#: Fields that are told in another way, or are no figures.
_ASIDE: Final = frozenset({"name", "kind", "takes", "gives", "parts", "goal", "tools", "tier", "title", "event"})


#: Seconds, and what so many are called.
_TIMES: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(slots=True, frozen=True, kw_only=True)
class Facts:
    """What is told of one pattern."""

    kind: str
    name: str
    takes: str
    gives: str
    agent: str
    """Who does it, of a task; empty if nobody in the crew has the skill, and of anything else."""
    tools: tuple[str, ...]
    tier: RiskTier
    human: bool
    """Whether a person decides here."""
    approved: bool
    """Whether the policy has a rule by which a person approves calls of one of its tools."""
    about: str
    """A sentence, if there is one."""
    figures: tuple[tuple[str, str], ...]


def facts_of(pattern: Pattern, crew: "Crew") -> Facts:
    """Gather what is told of a pattern."""
    fields, tools = figures(pattern), named_tools(pattern)
    tier = fields.get("tier", RiskTier.READ_ONLY)
    agent = crew.skills.get(pattern.name, "") if pattern.kind == "task" else ""
    approved = any(rule.tool in tools for rule in crew.policy.approvals if rule.tool)
    return Facts(
        kind=pattern.kind,
        name=pattern.name,
        takes=type_name(pattern.takes),
        gives=type_name(pattern.gives),
        agent=agent,
        tools=tools,
        tier=tier if isinstance(tier, RiskTier) else RiskTier.READ_ONLY,
        human=look_of(pattern.kind).human,
        approved=approved,
        about=str(fields.get("goal") or fields.get("title") or ""),
        figures=tuple(_figures(fields, _defaults(pattern))),
    )


def time_of(seconds: float) -> str:
    """Say how long something takes, in the largest unit of which it is at least one."""
    unit, sign = next((each for each in _TIMES if seconds >= each[0]), _TIMES[-1])
    return f"{seconds / unit:g} {sign}"


def _defaults(pattern: object) -> Mapping[str, object]:
    if not dataclasses.is_dataclass(pattern):
        return {}
    return {each.name: each.default for each in dataclasses.fields(pattern)}


def _figures(fields: Mapping[str, object], defaults: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Give the figures that were set to something else than they are by themselves."""
    for name, value in fields.items():
        if name in _ASIDE or value == defaults.get(name, dataclasses.MISSING):
            continue
        if isinstance(value, Struct):
            yield from _figures({each: getattr(value, each) for each in value.__struct_fields__}, {})
        elif shown := _lasting(name, value) or _shown(value):
            yield name, shown


def _lasting(name: str, value: object) -> str:
    return time_of(value) if name.endswith("seconds") and isinstance(value, int | float) else ""


def _shown(value: object) -> str:
    match value:
        case None | True | False:
            return ""
        case enum.Enum():
            return str(value.value)
        case int() | float():
            return f"{value:,.10g}"
        case str():
            return value
        case tuple() if all(isinstance(each, str) for each in cast("tuple[object, ...]", value)):
            return ", ".join(names(cast("tuple[object, ...]", value)))
        case Pattern():
            return ""
        case _ if dataclasses.is_dataclass(value):
            return str(getattr(value, "name", "") or type(value).__name__.lower())
        case _:
            return ""
