"""Patterns: the ways in which agents work together, each a value that says what it is and runs over a case.

A pattern takes a value of one type and gives a `Result` of another; it is made of parts, which are patterns as well,
so any of them stands wherever another may. Running one is an ordinary call inside a flow:

    found = await pipeline(case, order, terms)

What it is made of can be read without running it: that is what a crew checks when it is built, and what is drawn.
It does not know which flow runs it, nor how deep it stands.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from casework.actors.patterns.terms import Terms
from casework.actors.retry import PASSING
from casework.protocols.errors import REMEDIES
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Result


@dataclass(slots=True, frozen=True, eq=False)
class Edge:
    """One arrow of a declaration: a pattern below another, and what the way to it is called."""

    pattern: "Pattern"
    label: str = ""
    """What is written on the arrow: a route, an option, `yes`, a failure."""


@runtime_checkable
class Pattern(Protocol):
    """A way of working, declared as a value."""

    @property
    def name(self) -> str:
        """What it is called in logs and pictures; a step's name."""
        ...

    @property
    def kind(self) -> str:
        """The word for its shape: `pipeline`, `merge`, `router`, `vote` ..."""
        ...

    @property
    def takes(self) -> Any:
        """The type of value that it is given; `object` takes any."""
        ...

    @property
    def gives(self) -> Any:
        """The type of value that it results in."""
        ...

    @property
    def parts(self) -> Sequence[Edge]:
        """Give what it is made of, in order; empty for a leaf."""
        ...

    def flaws(self) -> Sequence[str]:
        """Say what is wrong with the declaration itself, each with what to do about it; not of the parts."""
        ...

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Run it within these terms; raises what its parts raise."""
        ...


@dataclass(slots=True, frozen=True, eq=False)
class Assignment:
    """A leaf: one task, delegated to the agent that has the skill; runs within what is left of its terms."""

    name: str
    """The skill that is asked for."""
    takes: Any
    gives: Any
    goal: str
    tools: tuple[str, ...] = ()
    tier: RiskTier = RiskTier.READ_ONLY
    criteria: tuple[str, ...] = ("returned",)
    seconds: float = 60.0
    attempts: int = 3
    calls: int = 100
    micros: int = 0
    on_stop: OnStop = OnStop.PARK
    kind: str = field(default="task", init=False)
    parts: Sequence[Edge] = field(default=(), init=False)

    def flaws(self) -> Sequence[str]:
        """Find no goal and no criterion; a crew checks skills, tools and names of criteria against what it has."""
        goal = () if self.goal.strip() else (f"has no goal; {REMEDIES['goal']}",)
        return goal if self.criteria else (*goal, f"is never done; {REMEDIES['success_criteria']}")

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Delegate it; its own figures count where the terms leave more, tools and tier must be within them.

        Raises:
            Widened: it names a tool or a tier that the terms do not allow.
            TaskFailed: it ended without a value, as `Case.delegate` says.
        """
        within = terms.narrowed(
            self.name,
            calls=min(self.calls, terms.calls),
            micros=min(self.micros, terms.micros),
            tools=self.tools,
            tier=self.tier,
        )
        return await case.delegate(
            self.name,
            given,
            returns=self.gives,
            goal=self.goal,
            tools=within.tools,
            tier=within.tier,
            criteria=self.criteria,
            deadline_seconds=self.seconds,
            deadline=within.deadline,
            attempts=self.attempts,
            calls=within.calls,
            micros=within.micros,
            on_stop=self.on_stop,
        )


@dataclass(slots=True, frozen=True, eq=False)
class Code:
    """A leaf: a piece of the flow's own code between agents, `async def f(case, given, terms)`, which gives a value."""

    name: str
    takes: Any
    gives: Any
    function: Callable[[Case, Any, Terms], Awaitable[Any]]
    tools: tuple[str, ...] = ()
    """Tools that it calls itself; they need to be among the flow's."""
    tier: RiskTier = RiskTier.READ_ONLY
    """The riskiest of them."""
    kind: str = field(default="code", init=False)
    parts: Sequence[Edge] = field(default=(), init=False)

    def flaws(self) -> Sequence[str]:
        """Find nothing."""
        return ()

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Run the function; its value counts as sure.

        Raises:
            Widened: it names a tool or a tier that the terms do not allow.
        """
        within = terms.narrowed(self.name, tools=self.tools, tier=self.tier)
        return Result(await self.function(case, given, within), 1.0, (), "")


@dataclass(slots=True, frozen=True, eq=False)
class Use:
    """A leaf: one call of a tool, made by the flow itself; it needs to be among the flow's tools."""

    name: str
    """The tool."""
    takes: Any
    gives: Any
    tier: RiskTier = RiskTier.READ_ONLY
    tools: tuple[str, ...] = field(init=False)
    """The tool alone."""
    kind: str = field(default="tool", init=False)
    parts: Sequence[Edge] = field(default=(), init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tools", (self.name,))

    def flaws(self) -> Sequence[str]:
        """Find nothing: a crew checks the tool against what it has."""
        return ()

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Call it; what it returned counts as sure.

        One that did not answer, or could not be called, is waited for unless the terms say that this is heard of: the
        case parks under `go_on:CASE:TOOL`, and calls it again when that arrives.

        Raises:
            Widened: the terms do not allow the tool or its tier, or leave no call.
            CallFailed, ReviewRejected: it has no value, as `Case.call` says.
        """
        terms.narrowed(self.name, calls=1, tools=self.tools, tier=self.tier)
        while True:
            try:
                return Result(await case.call(self.name, given, returns=self.gives), 1.0, (), "")
            except CallFailed as failed:
                if terms.heard or failed.kind not in PASSING:
                    raise
                kind, why = failed.kind, str(failed)
            await case.decide(self.name, ("park",), "park", rule=f"use.{kind}", why=why)
            await case.park(f"go_on:{case.id}:{self.name}", reason=why)
