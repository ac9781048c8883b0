"""Flows that are made of patterns, and flows of one's own that say which patterns they run.

Either way the flow carries its declaration: that is what a crew checks when it is built, what is drawn, and what the
flow's hash is taken of, so a case that began under another declaration is noticed as one whose flow has changed.
It does not know which crew the flow belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, final

from casework.actors.patterns.base import Pattern
from casework.actors.patterns.description import declared_hash, figures
from casework.actors.patterns.terms import SECONDS, Terms
from casework.actors.patterns.walk import walk
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import NAME, Case, Flow
from casework.runtime.flow.pinning import named_version
from casework.runtime.seams import MICROS


@final
@dataclass(slots=True, frozen=True, kw_only=True)
class Allowance:
    """What all the work of one case of a flow may use at most."""

    calls: int
    micros: int
    """Money in millionths of the account's currency."""
    seconds: float
    tools: tuple[str, ...]
    tier: RiskTier

    def terms(self, now: int) -> Terms:
        """Give the terms of a case that begins now, in microseconds since the epoch."""
        deadline = now + round(self.seconds * MICROS)
        return Terms(deadline=deadline, calls=self.calls, micros=self.micros, tools=self.tools, tier=self.tier)


@final
@dataclass(slots=True, frozen=True, kw_only=True, eq=False)
class Declaration:
    """What a flow says of itself."""

    patterns: tuple[Pattern, ...]
    allowance: Allowance | None = None
    """None where the flow hands out terms by itself."""


def pattern_flow(
    pattern: Pattern,
    *,
    inputs: type,
    version: str = "1",
    calls: int = 1_000,
    micros: int = 0,
    seconds: float = SECONDS,
    tools: Sequence[str] = (),
    tier: RiskTier = RiskTier.READ_ONLY,
) -> Flow:
    """Make a flow of a pattern: its name is the pattern's, and what it gives is the pattern's value.

    Args:
        pattern: what its cases run.
        inputs: the Struct that its cases are opened with; the pattern takes it.
        version: the flow's.
        calls: tool and model calls of one case, in all.
        micros: what one case may cost, in millionths of the account's currency.
        seconds: how long a case may take, from its first step on.
        tools: what its parts may ask for; what they name must be among them.
        tier: how much harm its parts may do at most.

    Raises:
        ValueError: the pattern's name cannot be a flow's, or the version is none.
    """
    if not NAME.fullmatch(pattern.name):
        raise ValueError(f"flow name {pattern.name!r} must be 1 to 64 letters, digits, '_', '.' or '-'")
    allowance = Allowance(calls=calls, micros=micros, seconds=seconds, tools=tuple(tools), tier=tier)

    async def run(case: Case, given: object) -> object:
        terms = allowance.terms(await case.now())
        return (await pattern(case, given, terms.within(case.mandate) if case.mandate else terms)).value

    return Flow(
        name=pattern.name,
        version=named_version(pattern.name, version),
        function=run,
        inputs=inputs,
        source_hash=declared_hash([pattern], allowance),
        tools=own_tools([pattern]),
        declaration=Declaration(patterns=(pattern,), allowance=allowance),
    )


def declaring(flow: Flow, *patterns: Pattern) -> Flow:
    """Give a flow of one's own that says which patterns it runs; they count for hash, checks and picture."""
    tools = (*flow.tools, *(tool for tool in own_tools(patterns) if tool not in flow.tools))
    pinned = declared_hash(patterns, flow.source_hash)
    return replace(flow, tools=tools, source_hash=pinned, declaration=Declaration(patterns=patterns))


def own_tools(patterns: Sequence[Pattern]) -> tuple[str, ...]:
    """Name the tools that the flow calls itself: those of every pattern but tasks, which are their agents' own."""
    found: dict[str, None] = {}
    for root in patterns:
        for place in walk(root).places:
            if place.pattern.kind != "task":
                found.update(dict.fromkeys(named_tools(place.pattern)))
    return tuple(found)


def named_tools(pattern: Pattern) -> tuple[str, ...]:
    """Name the tools of one pattern, without those of its parts."""
    return names(figures(pattern).get("tools"))


def names(figure: object) -> tuple[str, ...]:
    """Give the names that a figure lists; none, if it is no list of any."""
    return tuple(map(str, cast("Sequence[object]", figure))) if isinstance(figure, tuple | list) else ()
