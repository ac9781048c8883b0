"""Patterns within patterns, for tests: every kind with one place, of those that it has, in which another stands.

Everything takes and gives a Job. A leaf delegates to an agent, which writes where it may, then waits ten seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from casework.actors.patterns import (
    Alternative,
    Assignment,
    Bounds,
    Choice,
    Combine,
    Edge,
    EvidenceGate,
    FanOut,
    Handoff,
    HumanGate,
    Instead,
    Manager,
    Need,
    Pattern,
    Pipeline,
    Proof,
    Router,
    Subscription,
    Subtask,
    Terms,
    Verified,
    Vote,
    Voter,
)
from casework.actors.patterns.errors import PatternFailed
from casework.protocols.wire import FailureKind, OnStop, RiskTier
from casework.runtime import Case, Result
from tests.support.pattern_crew import LEDGER, Job, code

#: Seconds that a leaf takes.
LEAF_SECONDS: Final = 10.0
#: The topic in which an event stands that every subscription takes.
TOPIC_ID: Final = "jobs"


@dataclass(slots=True, frozen=True, eq=False)
class Leaf:
    """One task, within what it is given: all of it."""

    name: str = "leaf"
    skill: str = "work"
    takes: Any = Job
    gives: Any = Job
    kind: str = field(default="leaf", init=False)
    parts: Sequence[Edge] = field(default=(), init=False)

    def flaws(self) -> Sequence[str]:
        return ()

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        writing = terms.tier is not RiskTier.READ_ONLY
        task = Assignment(
            self.skill if writing else "look",
            Job,
            Job,
            "do it",
            tools=LEDGER if writing else (),
            tier=RiskTier.REVERSIBLE if writing else RiskTier.READ_ONLY,
            seconds=10_000.0,
            attempts=1,
            calls=terms.calls,
            micros=terms.micros,
            on_stop=OnStop.FAIL,
        )
        result = await task(case, Job(given.number, await case.new_id()), terms)
        await case.sleep(LEAF_SECONDS)
        return Result(given, 1.0, (), result.agent)


def _fails(job: Job) -> Job:
    raise PatternFailed("fails", FailureKind.ERROR, "as it should")


LEAF = Leaf()
FAILS = code("fails", _fails)
TRUE, FALSE = Proof("true", lambda _done, _there: True), Proof("false", lambda _done, _there: False)
BOUNDS = Bounds(rounds=2, seconds=100_000, shares=6, quiet=1)


def _manager(planner: Pattern, worker: Pattern, combiner: Pattern) -> Manager:
    workers = {"a": worker, "b": LEAF}
    return Manager(
        "manager",
        Job,
        Job,
        planner,
        workers,
        combiner,
        lambda job, found: job,
        lambda plan: [Subtask("a", plan), Subtask("b", Job(plan.number + 1))],
        lambda job, found: job,
        BOUNDS,
    )


def _router(first: Pattern, second: Pattern, *, to: str) -> Router:
    chooser = code("choose", lambda job: Choice(route=to), gives=Choice)
    hands = code("hands", lambda job: Handoff(route="second"), gives=Handoff)
    return Router("router", Job, Job, chooser, {"first": first, "second": second, "hands": hands}, "first")


def _evidence(late: Pattern) -> EvidenceGate:
    return EvidenceGate("evidence", Job, Job, (Need("paper", Job, "?"),), lambda job, _: job, seconds=30, late=late)


def _alternative(first: Pattern, then: Pattern) -> Alternative:
    return Alternative("alternative", first, {FailureKind.ERROR: (Instead(then),)})


def _fan_out(*branches: Pattern) -> FanOut:
    return FanOut("fan_out", branches, Combine(lambda values: next(iter(values.values())), Job))


def _vote(*voters: Pattern) -> Vote:
    return Vote("vote", tuple(Voter(each, f"source: {number}") for number, each in enumerate(voters)), 2)


#: Each kind with each of its places: makes a pattern in which another one stands there.
Places: TypeAlias = Mapping[str, Callable[[Pattern], Pattern]]
NO_MORE: Final[Places] = {}
PLACES: Final[Places] = {
    "pipeline, first": lambda inner: Pipeline("pipeline", (inner, LEAF)),
    "pipeline, last": lambda inner: Pipeline("pipeline", (LEAF, inner)),
    "fan-out": lambda inner: _fan_out(inner, Leaf("other")),
    "vote": lambda inner: _vote(inner, Leaf("other")),
    "alternative, first": lambda inner: _alternative(inner, LEAF),
    "alternative, then": lambda inner: _alternative(FAILS, inner),
    "router, chosen": lambda inner: _router(inner, LEAF, to="first"),
    "router, handed to": lambda inner: _router(LEAF, inner, to="hands"),
    "manager, plans": lambda inner: _manager(inner, LEAF, LEAF),
    "manager, works": lambda inner: _manager(LEAF, inner, LEAF),
    "manager, combines": lambda inner: _manager(LEAF, LEAF, inner),
    "verified, plans": lambda inner: Verified("verified", inner, LEAF, LEAF, TRUE),
    "verified, executes": lambda inner: Verified("verified", LEAF, inner, LEAF, TRUE),
    "verified, reads back": lambda inner: Verified("verified", LEAF, LEAF, inner, TRUE),
    "verified, otherwise": lambda inner: Verified("verified", LEAF, LEAF, LEAF, FALSE, inner),
    "approval, approved": lambda inner: HumanGate("approval", Job, Job, "Shall it?", "shall", approved=inner),
    "evidence, too late": _evidence,
    "subscription": lambda inner: Subscription("subscription", TOPIC_ID, Job, inner),
}


def tree(places: Sequence[str], leaf: Pattern = LEAF, more: Places = NO_MORE) -> Pattern:
    """Make a pattern of patterns: the first place is the outermost, and the leaf stands in the last.

    `more` are the places of a pattern that is not among those here.
    """
    made = leaf
    for place in reversed(places):
        made = (more.get(place) or PLACES[place])(made)
    return made
