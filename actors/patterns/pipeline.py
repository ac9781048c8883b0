"""Pipelines: steps one after another, each given what the one before it gave.

It does not know how long its steps take, nor what they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.shape import fits
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import Evidence
from casework.runtime.flow.case import Case, Result


@dataclass(slots=True, frozen=True, eq=False)
class Pipeline:
    """Steps one after another; as sure as its least sure step, with the evidence of all of them."""

    name: str
    steps: tuple[Pattern, ...]
    weights: tuple[float, ...] = ()
    """How calls and money are divided among the steps; empty: evenly."""
    kind: str = field(default="pipeline", init=False)

    @property
    def takes(self) -> Any:
        """What its first step takes."""
        return self.steps[0].takes if self.steps else object

    @property
    def gives(self) -> Any:
        """What its last step gives."""
        return self.steps[-1].gives if self.steps else object

    @property
    def parts(self) -> Sequence[Edge]:
        """Its steps, in order."""
        return tuple(Edge(step) for step in self.steps)

    def flaws(self) -> Sequence[str]:
        """Find steps that do not fit together, and shares that do not fit the steps."""
        return tuple(self._flaws())

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Run the steps; raises what the first that fails raises, and runs none after it."""
        result: Result[Any] = Result(given, 1.0, (), "")
        confidence, evidence = 1.0, tuple[Evidence, ...]()
        for step, share in zip(self.steps, terms.shares(self.weights or [1.0] * len(self.steps)), strict=True):
            result = await step(case, result.value, share)
            confidence = min(confidence, result.confidence)
            evidence = gathered((evidence, result.evidence))
        return Result(result.value, confidence, evidence, result.agent, result.step)

    def _flaws(self) -> Iterator[str]:
        if not self.steps:
            yield f"pipeline {self.name!r} has no steps: give it at least one"
        yield from weight_flaws(f"pipeline {self.name!r}", self.weights, len(self.steps), "step")
        for before, after in pairwise(self.steps):
            if not fits(before.gives, after.takes):
                yield (
                    f"pipeline {self.name!r}: {before.name!r} gives {type_name(before.gives)}, but {after.name!r} "
                    f"takes {type_name(after.takes)}: put a Code step between them that makes the one of the other"
                )


def gathered(evidence: Sequence[tuple[Evidence, ...]]) -> tuple[Evidence, ...]:
    """Put evidence of several parts together, in order, each thing once."""
    return tuple(dict.fromkeys(each for part in evidence for each in part))


def weight_flaws(who: str, weights: Sequence[float], count: int, what: str) -> Iterator[str]:
    """Find what is wrong with how something divides its terms among so many parts."""
    if weights and len(weights) != count:
        yield f"{who} has {len(weights)} weights: give one for each {what}, of which there are {count}, or none at all"
    if any(weight <= 0 for weight in weights):
        yield f"{who} gives a {what} nothing of its terms: make every weight larger than 0"
