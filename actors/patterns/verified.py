"""Plan, execute, verify: what was done counts as done only when it was read back and an invariant holds over it.

The plan only reads. What is executed runs in a saga: if it fails, cannot be read back, or the invariant does not hold
over its result and what was read, then everything that it wrote is undone, and whoever is declared takes over.
It does not know what is written, nor how that is undone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.errors import FAILURES, PatternFailed
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.shape import below, tier_of, writes
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.flow.case import Case, Result


@dataclass(slots=True, frozen=True, eq=False)
class Proof:
    """What must hold, by a name that the log uses."""

    name: str
    holds: Callable[[Any, Any], bool]
    """Given the result and what was read back."""


@dataclass(slots=True, frozen=True, eq=False)
class Verified:
    """Does what was planned, and proves it."""

    name: str
    plan: Pattern
    execute: Pattern
    """Takes the plan."""
    read_back: Pattern | None = None
    """Takes the result, and reads what is there now in another way than it was written."""
    invariant: Proof | None = None
    otherwise: Pattern | None = None
    """Takes the plan once everything is undone: a person, or a place to park. None: the failure goes on."""
    kind: str = field(default="verified", init=False)

    @property
    def takes(self) -> Any:
        """Give what the plan takes."""
        return self.plan.takes

    @property
    def gives(self) -> Any:
        """Give what executing gives."""
        return self.execute.gives

    @property
    def parts(self) -> Sequence[Edge]:
        """Give plan, execution, reading back, and who takes over."""
        later = ((self.read_back, "reads back"), (self.otherwise, "otherwise"))
        parts = (Edge(part, label) for part, label in later if part is not None)
        return (Edge(self.plan, "plans"), Edge(self.execute, "executes"), *parts)

    def flaws(self) -> Sequence[str]:
        """Say what is missing for a write to be verified or undone."""
        return tuple(self._flaws(f"verified {self.name!r}"))

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Plan, execute and verify.

        Raises:
            TaskFailed, CallFailed, ReviewRejected, PatternFailed: it failed, everything is undone, and nobody is
                declared to take over; an invariant that does not hold is a PatternFailed (CRITERION).
        """
        planning, *rest, instead = terms.shares([1.0] * 4)
        doing, reading = [replace(each, heard=each.heard or self.otherwise is not None) for each in rest]
        planned = await self.plan(case, given, planning.narrowed(self.name, tier=RiskTier.READ_ONLY))
        try:
            async with case.saga():
                return await self._proven(case, planned.value, doing, reading)
        except FAILURES as error:
            if self.otherwise is None:
                raise
            await self._record(case, "otherwise", str(error), planned.value)
        return await self.otherwise(case, planned.value, instead)

    async def _proven(self, case: Case, planned: object, terms: Terms, reading: Terms) -> Result[Any]:
        if self.read_back is None or self.invariant is None:
            raise PatternFailed(self.name, FailureKind.CRITERION, "nothing would verify it, so it was not begun")
        done = await self.execute(case, planned, terms)
        reading = reading.narrowed(self.name, tier=RiskTier.READ_ONLY)
        state = (await self.read_back(case, done.value, reading)).value
        if not self.invariant.holds(done.value, state):
            raise PatternFailed(self.name, FailureKind.CRITERION, f"invariant {self.invariant.name!r} does not hold")
        await self._record(case, "done", "", [done.value, state])
        return done

    async def _record(self, case: Case, chosen: str, why: str, inputs: object) -> None:
        rule = self.invariant.name if self.invariant is not None else "no_invariant"
        await case.decide(self.name, ("done", "otherwise"), chosen, rule=rule, why=why, inputs=inputs)

    def _flaws(self, who: str) -> Iterator[str]:
        if self.read_back is None or self.invariant is None:
            yield (
                f"{who} would count as done without having been verified; give it `read_back`, which reads what is "
                "there now, and an `invariant` over that and the result"
            )
        if self.otherwise is None and tier_of(self.execute) is RiskTier.IRREVERSIBLE:
            final = next(each for each in below(self.execute) if _tier(each) is RiskTier.IRREVERSIBLE)
            yield f"{who} cannot undo {final.name!r}, which is irreversible; say in `otherwise` who takes over"
        if writes(self.plan):
            yield f"{who} writes in its plan, which nothing verifies; do that in `execute`"
        if self.read_back is not None:
            writers = [each.name for each in below(self.execute) if _tier(each) is not RiskTier.READ_ONLY]
            for each in below(self.read_back):
                if _tier(each) is not RiskTier.READ_ONLY:
                    yield f"{who} reads back by {each.name!r}, which may write; read back by what only reads"
                elif each.name in writers:
                    yield f"{who} reads back by {each.name!r}, which has written it; read back in another way"
            yield from misfits(who, self.read_back, given=self.execute.gives)
        yield from misfits(who, self.execute, given=self.plan.gives)
        if self.otherwise is not None:
            yield from misfits(who, self.otherwise, given=self.plan.gives, wanted=self.gives)


def _tier(pattern: Pattern) -> RiskTier:
    """Give what a leaf declares; whatever is made of others declares nothing itself."""
    return getattr(pattern, "tier", RiskTier.READ_ONLY)
