"""What each kind of fault of a plan is: in words, how it is measured, and under which name a run counts it.

Whoever reads a plan from a file, makes one milder, or tells somebody what is left of one, asks this table.
It does not know how a fault is brought about.
"""

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from casework.runtime.simulation.plan import FaultPlan


class Measure(enum.Enum):
    """What the number of a fault says."""

    CHANCE = "a chance from 0 to 1"
    """Of each single occasion."""
    LONGEST = "seconds, at most"
    APART = "once in so many seconds"
    STEPS = "once in so many steps"


class Kind(NamedTuple):
    """One kind of fault."""

    what: str  #: what happens, as a clause
    measure: Measure
    counted: str = ""  #: the name under which a run counts it; empty: it is not counted
    lasting: str = ""  #: the number of the plan that says how long it lasts, or how far it goes


KINDS: Final[Mapping[str, Kind]] = {
    "latency_seconds": Kind("calls of the store take their time", Measure.LONGEST),
    "loss": Kind("a message is lost", Measure.CHANCE, "loss"),
    "duplication": Kind("a message comes twice", Measure.CHANCE, "duplication"),
    "delay_seconds": Kind("messages come late", Measure.LONGEST),
    "crash_steps": Kind("a process dies at an await", Measure.STEPS, "crash", "down_seconds"),
    "crash_points": Kind("a process dies at a named point", Measure.CHANCE, "crash_points", "down_seconds"),
    "pause_every_seconds": Kind("a node stands still", Measure.APART, "pause", "pause_seconds"),
    "outage_every_seconds": Kind("the store cannot be reached", Measure.APART, "outage", "outage_seconds"),
    "refusal": Kind("a call of the store is refused", Measure.CHANCE, "refusal"),
    "unheard": Kind("an append is done, and nobody hears so", Measure.CHANCE, "unheard"),
    "unheard_claim": Kind("a claim is done, and nobody hears so", Measure.CHANCE, "unheard_claim"),
    "jump_every_seconds": Kind("a node's clock is set wrong", Measure.APART, "jump", "jump_seconds"),
    "tool_seconds": Kind("tools take their time", Measure.LONGEST),
    "tool_failure": Kind("a tool fails before it has done anything", Measure.CHANCE, "tool_failure"),
    "tool_unheard": Kind("a tool does what it should and then fails", Measure.CHANCE, "tool_unheard"),
    "model_nonsense": Kind("a model answers what nobody can use", Measure.CHANCE, "model_nonsense"),
    "person_seconds": Kind("people take their time", Measure.LONGEST),
    "person_twice": Kind("a person says or brings the same again", Measure.CHANCE, "person_twice"),
    "person_contrary": Kind("somebody else decides otherwise afterwards", Measure.CHANCE, "person_contrary"),
}


def kinds_on(plan: FaultPlan) -> tuple[str, ...]:
    """Give the kinds of fault that a plan has at all."""
    return tuple(name for name in KINDS if getattr(plan, name) > 0)


def struck(faults: Mapping[str, int], name: str) -> int | None:
    """Say how often a kind struck, by what a run counted; None if nobody counts it."""
    counted = KINDS[name].counted
    if not counted:
        return None
    times = faults.get(counted, 0)
    # Every death counts as a crash, and those at points by themselves as well.
    return times - faults.get("crash_points", 0) if name == "crash_steps" else times


def struck_in_all(faults: Mapping[str, int]) -> int:
    """Say how often anything struck."""
    return sum(struck(faults, name) or 0 for name in KINDS)
