"""Fan-out: branches side by side, and one value of what they give.

A branch that fails is recorded with what became of it: the others go on without it, or all of them stop. What it wrote
is undone. Each branch has a share of the terms; what the merge runs itself has one as well.
It does not know what its branches do, nor how their values become one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import GenericAlias
from typing import Any, Final

from msgspec.structs import replace

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.errors import Failure, PatternFailed, kind_of
from casework.actors.patterns.merging import Collect, Merge, Merging
from casework.actors.patterns.pipeline import weight_flaws
from casework.actors.patterns.shape import fits, twice, unheard
from casework.actors.patterns.sidebyside import TOGETHER, Branch, side_by_side
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case, Result

#: What is decided when a branch fails.
OPTIONS: Final = ("go on without it", "stop")


@dataclass(slots=True, frozen=True, eq=False)
class FanOut:
    """Different branches, each given the same value."""

    name: str
    branches: tuple[Pattern, ...]
    merge: Merge
    at_least: int | None = None
    """Branches that have to succeed; None: all, 0: it goes on with what there is."""
    together: int = TOGETHER
    """Branches that run at the same time, at most."""
    weights: tuple[float, ...] = ()
    """How calls and money are divided among the branches; empty: evenly."""
    kind: str = field(default="merge", init=False)

    @property
    def takes(self) -> Any:
        """What its branches take."""
        return next((branch.takes for branch in self.branches if branch.takes is not object), object)

    @property
    def gives(self) -> Any:
        """What the merge makes of it."""
        return self.merge.gives(self.branches)

    @property
    def parts(self) -> Sequence[Edge]:
        """Its branches, in order, and what the merge runs."""
        return (*(Edge(branch) for branch in self.branches), *self.merge.parts)

    def flaws(self) -> Sequence[str]:
        """Find branches that cannot be given the same value, and figures that mean nothing."""
        return tuple(self._flaws())

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Run the branches and merge what they give.

        Raises:
            PatternFailed: too few of them succeeded; those that still ran are closed, what they wrote in sagas undone.
        """
        weights = self.weights or (1.0,) * len(self.branches)
        shares = _shares(terms, weights, self.merge, heard=self.at_least is not None)
        names = _apart([branch.name for branch in self.branches])
        branches = [
            Branch(name, part, given, share)
            for name, part, share in zip(names, self.branches, shares[:-1], strict=True)
        ]
        needed = len(branches) if self.at_least is None else self.at_least
        running = _Running(self.name, given, self.merge, needed, self.together)
        return await running(case, branches, shares[-1])

    def _flaws(self) -> Iterator[str]:
        who, count = f"fan-out {self.name!r}", len(self.branches)
        if not count:
            yield f"{who} has no branches: give it at least one"
        for name in twice([branch.name for branch in self.branches]):
            yield f"{who} has two branches called {name!r}, which the log could not tell apart: rename one of them"
        for branch in self.branches:
            if not fits(self.takes, branch.takes):
                yield (
                    f"{who} takes {type_name(self.takes)}, but its branch {branch.name!r} takes "
                    f"{type_name(branch.takes)}: begin that branch with a Code step that makes the one of the other"
                )
        if self.at_least is not None and not 0 <= self.at_least <= count:
            yield f"{who} wants at least {self.at_least} of {count} branches: ask for 0 to {count}, or None for all"
        yield from weight_flaws(who, self.weights, count, "branch")
        yield from _flaws(who, self.branches, self.at_least, self.together)
        yield from self.merge.flaws(who, self.branches)


@dataclass(slots=True, frozen=True, eq=False)
class ForEach:
    """The same pattern for each item of a list, side by side; every item has an even share of the terms."""

    name: str
    pattern: Pattern
    items_max: int
    """Items that it takes at most; a longer list is refused before anything is sent, never cut."""
    merge: Merge = field(default_factory=Collect)
    at_least: int | None = None
    """Items that have to succeed, of a shorter list all of it; None: all, 0: it goes on with what there is."""
    together: int = TOGETHER
    """Items that are worked on at the same time, at most."""
    kind: str = field(default="merge", init=False)

    @property
    def takes(self) -> Any:
        """A list of what the pattern takes."""
        return GenericAlias(list, (self.pattern.takes,))

    @property
    def gives(self) -> Any:
        """What the merge makes of it."""
        return self.merge.gives([self.pattern])

    @property
    def parts(self) -> Sequence[Edge]:
        """The pattern, and what the merge runs."""
        return (Edge(self.pattern, f"each of at most {self.items_max}"), *self.merge.parts)

    def flaws(self) -> Sequence[str]:
        """Find figures that mean nothing."""
        return tuple(self._flaws())

    async def __call__(self, case: Case, given: Sequence[object], terms: Terms, /) -> Result[Any]:
        """Run the pattern for each item and merge what it gives.

        Raises:
            PatternFailed: there are more items than it takes, or too few of them succeeded.
        """
        if len(given) > self.items_max:
            message = f"{len(given)} items, where it takes {self.items_max}: split the list, or raise items_max"
            raise PatternFailed(self.name, FailureKind.INVALID, message)
        shares = _shares(terms, (1.0,) * len(given), self.merge, heard=self.at_least is not None)
        branches = [
            Branch(f"{self.pattern.name}[{number}]", self.pattern, item, share)
            for number, (item, share) in enumerate(zip(given, shares[:-1], strict=True))
        ]
        needed = len(branches) if self.at_least is None else min(self.at_least, len(branches))
        running = _Running(self.name, given, self.merge, needed, self.together)
        return await running(case, branches, shares[-1])

    def _flaws(self) -> Iterator[str]:
        who = f"fan-out {self.name!r}"
        if self.items_max < 1:
            yield f"{who} takes at most {self.items_max} items: give items_max of at least 1"
        if self.at_least is not None and not 0 <= self.at_least <= self.items_max:
            yield f"{who} wants at least {self.at_least} items: ask for 0 to {self.items_max}, or None for all"
        yield from _flaws(who, [self.pattern], self.at_least, self.together)
        yield from self.merge.flaws(who, [self.pattern])


@dataclass(slots=True, eq=False)
class _Running:
    """One run of either."""

    name: str
    given: object
    merge: Merge
    needed: int
    together: int
    left: int = 0
    """Branches that have not failed."""

    async def __call__(self, case: Case, branches: Sequence[Branch], merging_terms: Terms) -> Result[Any]:
        self.left = len(branches)
        came = await side_by_side(case, branches, partial(self._heard, case), together=self.together)
        results = {each.name: each.result for each in came if each.result is not None}
        return await self.merge(case, Merging(self.name, self.given, results), merging_terms)

    async def _heard(self, case: Case, branch: Branch, failure: Failure) -> None:
        self.left -= 1
        enough = self.left >= self.needed
        why = f"{failure}; {self.left} are left, {self.needed} needed"
        await case.decide(
            f"{self.name}/{branch.name}",
            OPTIONS,
            OPTIONS[0] if enough else OPTIONS[1],
            rule="fan_out.at_least",
            why=why,
        )
        if not enough:
            raise PatternFailed(self.name, kind_of(failure), f"{branch.name}: {why}") from failure


def _apart(names: Sequence[str]) -> list[str]:
    """Tell namesakes apart as steps are: `look`, `look#1`; that is a flaw, but nothing may be lost by it."""
    counted = [names[:at].count(name) for at, name in enumerate(names)]
    return [f"{name}#{count}" if count else name for name, count in zip(names, counted, strict=True)]


def _shares(terms: Terms, weights: Sequence[float], merge: Merge, *, heard: bool) -> tuple[Terms, ...]:
    """Divide the terms among the branches, and the merge last, which gets as much as a branch if it runs anything."""
    if not weights:
        return (terms,)
    if not merge.parts:
        return (*terms.shares(weights, heard=heard), terms.narrowed("merge", calls=0, micros=0))
    *shares, merging = terms.shares((*weights, sum(weights) / len(weights)), heard=heard)
    return (*shares, replace(merging, heard=terms.heard))


def _flaws(who: str, branches: Sequence[Pattern], at_least: int | None, together: int) -> Iterator[str]:
    if together < 1:
        yield f"{who} runs {together} at the same time: give `together` of at least 1"
    for task in dict.fromkeys(task for branch in branches for task in unheard(branch)) if at_least is not None else ():
        yield (
            f"{who} may go on without a branch, but the task {task!r} waits for somebody when it fails, and so does "
            f"{who}: give the task on_stop=OnStop.FAIL"
        )
