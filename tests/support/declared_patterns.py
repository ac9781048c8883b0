"""Patterns for tests of what is made of patterns: one of any kind and with any parts, and a strategy for trees of them.

Run, such a pattern hands its value from part to part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from casework.actors.patterns.base import Assignment, Code, Edge, Pattern
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Result

KINDS = ("pipeline", "merge", "router", "vote", "manager", "approval", "evidence", "of its own")


@dataclass(slots=True, frozen=True, eq=False)
class Made:
    """A pattern of any kind."""

    name: str
    parts: Sequence[Edge] = ()
    kind: str = "pipeline"
    takes: Any = object
    gives: Any = object
    wrong: tuple[str, ...] = ()
    figure: object = None

    def flaws(self) -> Sequence[str]:
        return self.wrong

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        result: Result[Any] = Result(given, 1.0, (), "")
        for edge in self.parts:
            result = await edge.pattern(case, result.value, terms)
        return result


def chain(name: str, *parts: Pattern, **more: Any) -> Made:
    return Made(name, [Edge(part) for part in parts], **more)


async def passes(case: Case, given: Any, terms: Terms) -> Any:
    return given


def code(name: str, function: Callable[..., Any] = passes, *, takes: Any = object, gives: Any = object) -> Code:
    return Code(name, takes, gives, function)


def task(name: str, *, takes: Any = object, gives: Any = object, **more: Any) -> Assignment:
    return Assignment(name, takes, gives, f"do {name}", **more)


_NAMES = st.from_regex(r"[a-z_.-]{1,64}", fullmatch=True)
_LABELS = st.sampled_from(["", "yes", "no", "no agent is free, or it did not answer in time", "<&>\"'"])


def trees(depth: int = 4) -> st.SearchStrategy[Pattern]:
    """Give declarations of every kind, up to so deep."""
    tiers = st.sampled_from(RiskTier)
    tools = st.lists(_NAMES, max_size=3).map(tuple)
    leaves: st.SearchStrategy[Pattern] = st.one_of(
        st.builds(task, _NAMES, tier=tiers, tools=tools, gives=st.sampled_from([int, str, list[int], int | None])),
        st.builds(code, _NAMES),
    )
    for _ in range(depth):
        edges = st.lists(st.builds(Edge, leaves, _LABELS), max_size=4)
        leaves = st.one_of(leaves, st.builds(Made, _NAMES, edges, st.sampled_from(KINDS)))
    return leaves
