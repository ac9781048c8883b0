"""Merging: what makes one value of the results of several branches.

    Collect    a list of them, in the order of the branches
    Combine    a function of the values by branch, for branches that give different things
    Resolve    one of them, field by field, for branches that say the same thing of different sources

It does not know how the branches were run, nor which of them failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Any, Protocol

from casework.actors.conflicts import Checked, ConflictRule, Said, rule_flaws
from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.errors import PatternFailed
from casework.actors.patterns.pipeline import gathered
from casework.actors.patterns.resolving import Sources, resolved
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import Evidence, FailureKind
from casework.runtime.flow.case import Case, Result


@dataclass(slots=True, frozen=True, eq=False)
class Merging:
    """What is merged: who merges, what the branches were given, and the results of those that gave any."""

    name: str
    given: object
    results: Mapping[str, Result[Any]]
    """By branch, in the order of the branches."""

    @property
    def confidence(self) -> float:
        """How sure the least sure of them is."""
        return min((each.confidence for each in self.results.values()), default=1.0)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All that supports any of them."""
        return gathered([each.evidence for each in self.results.values()])


class Merge(Protocol):
    """A way to make one value of several."""

    @property
    def parts(self) -> Sequence[Edge]:
        """Give the patterns that it may run itself."""
        ...

    def gives(self, branches: Sequence[Pattern]) -> Any:
        """Give the type of value that it makes of what these branches give."""
        ...

    def flaws(self, name: str, branches: Sequence[Pattern]) -> Sequence[str]:
        """Say what is wrong with it for these branches, each with what to do about it."""
        ...

    async def __call__(self, case: Case, merging: Merging, terms: Terms, /) -> Result[Any]:
        """Make the value."""
        ...


@dataclass(slots=True, frozen=True, eq=False)
class Collect:
    """Give a list of the values; a branch that failed, and without which it went on, is not in it."""

    parts: Sequence[Edge] = field(default=(), init=False)

    def gives(self, branches: Sequence[Pattern]) -> Any:
        """Give a list of what they all give, or of anything."""
        first = branches[0].gives if branches else object
        return GenericAlias(list, (first if all(each.gives == first for each in branches) else object,))

    def flaws(self, name: str, branches: Sequence[Pattern]) -> Sequence[str]:
        """Find nothing: a list is made of anything."""
        return ()

    async def __call__(self, case: Case, merging: Merging, terms: Terms, /) -> Result[Any]:
        """Make the list; as sure as its least sure value."""
        values = [each.value for each in merging.results.values()]
        return Result(values, merging.confidence, merging.evidence, "")


@dataclass(slots=True, frozen=True, eq=False)
class Combine:
    """Give what a pure function makes of the values by branch; one that failed is not among them."""

    function: Callable[[Mapping[str, Any]], Any]
    type: Any
    """What it gives."""
    parts: Sequence[Edge] = field(default=(), init=False)

    def gives(self, branches: Sequence[Pattern]) -> Any:
        """Give what the function is said to give."""
        return self.type

    def flaws(self, name: str, branches: Sequence[Pattern]) -> Sequence[str]:
        """Find nothing: a function takes anything."""
        return ()

    async def __call__(self, case: Case, merging: Merging, terms: Terms, /) -> Result[Any]:
        """Call the function; its value is as sure as the least sure of those it was given."""
        values = {name: each.value for name, each in merging.results.items()}
        return Result(self.function(values), merging.confidence, merging.evidence, "")


@dataclass(slots=True, frozen=True, eq=False)
class Resolve:
    """Give one value of those that differ, field by field, each conflict by its rule."""

    rules: Mapping[str, ConflictRule] = field(default_factory=dict[str, ConflictRule])
    """By field."""
    otherwise: ConflictRule | None = None
    """For fields without a rule, and for values that have no fields; None: a person decides."""

    @property
    def parts(self) -> Sequence[Edge]:
        """What verifies."""
        rules = [*self.rules.items(), ("", self.otherwise)]
        found = [(name, rule.by) for name, rule in rules if isinstance(rule, Checked)]
        return tuple(Edge(by, f"verify {name}".strip()) for name, by in found)

    def gives(self, branches: Sequence[Pattern]) -> Any:
        """Give what all of them give."""
        return branches[0].gives if branches else object

    def flaws(self, name: str, branches: Sequence[Pattern]) -> Sequence[str]:
        """Find branches that do not say the same thing, and rules for what they do not say."""
        if not branches:
            return ()
        first, *others = branches
        flaws = [
            f"{name} resolves conflicts, but {first.name!r} gives {type_name(first.gives)} and {other.name!r} gives "
            f"{type_name(other.gives)}: have both give one type, or merge them with Combine"
            for other in others
            if other.gives != first.gives
        ]
        return flaws + rule_flaws(name, first.gives, self.rules)

    async def __call__(self, case: Case, merging: Merging, terms: Terms, /) -> Result[Any]:
        """Resolve what differs; the value of a single branch is taken as it is.

        Raises:
            ReviewRejected: a person had to decide, and wanted none of it.
            PatternFailed: no branch gave anything.
        """
        results = merging.results
        if not results:
            raise PatternFailed(merging.name, FailureKind.UNAVAILABLE, "no branch gave anything to merge")
        if len(results) == 1:
            return next(iter(results.values()))
        said = tuple(Said(name, each.value, each.confidence, each.step) for name, each in results.items())
        sources = Sources(merging.name, merging.given, said, merging.evidence)
        return await resolved(case, sources, self.rules, self.otherwise, terms)
