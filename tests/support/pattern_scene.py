"""A scene for patterns: agents that say or do as they are told, tools of every tier, and a crew around one pattern.

The tool `wait` waits by the clock of the world; the others reach nothing, so that tests put fakes in their place.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from msgspec import Struct

from casework.actors import Agent, Answer, Crew, Policy, Tool, ToolContext, Work, WorkFailed, tool
from casework.actors.agent import Skill
from casework.actors.patterns import Assignment, Edge, Pattern, Terms, pattern_flow
from casework.actors.policy import Limits
from casework.actors.testing import CaseBench, CaseLog, FakeTool
from casework.protocols.records import Decision, Noted
from casework.protocols.wire import FailureKind, OnStop, RiskTier, Task
from casework.runtime import Case, Result
from casework.runtime.store.base import CaseStatus


class Order(Struct, frozen=True):
    """What every part is given, unless it says otherwise."""

    number: str = "o-1"


class Receipt(Struct, frozen=True):
    """What most sources say something of."""

    date: str
    amount: int


class Seconds(Struct, frozen=True):
    seconds: float


class Booked(Struct, frozen=True):
    number: str
    result: str


async def stands(arguments: Any, value: object, context: ToolContext) -> bool:
    raise AssertionError("a fake reads back by itself")


async def look(arguments: Any, context: ToolContext) -> str | None:
    raise AssertionError("a fake looks by itself")


@tool(tier=RiskTier.READ_ONLY)
async def wait(arguments: Seconds, context: ToolContext) -> None:
    """Wait as long as one is told, by the clock of the world."""
    await context.world.clock.sleep(arguments.seconds)


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Order, context: ToolContext) -> Receipt:
    raise AssertionError("no test reaches the world")


@tool(tier=RiskTier.READ_ONLY, micros_max=10)
async def think(arguments: Order, context: ToolContext) -> str:
    raise AssertionError("no test reaches the world")


@tool(tier=RiskTier.REVERSIBLE, verify=stands, undo="unbook", keyed=True)
async def book(arguments: Order, context: ToolContext) -> str:
    raise AssertionError("no test reaches the world")


@tool(tier=RiskTier.IRREVERSIBLE, verify=stands, keyed=True)
async def unbook(arguments: Booked, context: ToolContext) -> str:
    raise AssertionError("no test reaches the world")


@tool(tier=RiskTier.IRREVERSIBLE, verify=stands, lookup=look)
async def pay(arguments: Order, context: ToolContext) -> str:
    raise AssertionError("no test reaches the world")


TOOLS: tuple[Tool, ...] = (wait, read, think, book, unbook, pay)
NAMES = tuple(each.name for each in TOOLS)


def fakes(**instead: FakeTool) -> dict[str, FakeTool]:
    """Give fakes that do as they are asked; `instead` names others."""
    made = {"book": FakeTool("booked"), "unbook": FakeTool("gone"), "pay": FakeTool("paid"), "think": FakeTool("so")}
    return {**made, "read": FakeTool(Receipt("2026-01-05", 12)), **instead}


def says(value: object, confidence: float = 1.0, *, seconds: float = 0.0, does: str = "") -> Skill:
    """Make a skill that says this, after so long, and after having called the tool `does` with what it was given."""

    async def work_on(inputs: Struct, work: Work) -> object:
        if seconds:
            await work.call("wait", {"seconds": seconds}, returns=type(None))
        if does:
            await work.call(does, inputs, returns=object)
        return Answer(value, confidence)

    return Skill(Order, type(value), work_on)


def fails(
    kind: FailureKind = FailureKind.ERROR, *, seconds: float = 0.0, does: str = "", times: int = 1_000_000
) -> Skill:
    """Make a skill that fails so many times, after having done what `says` does; then it says a receipt."""
    left = {"times": times}

    async def work_on(inputs: Struct, work: Work) -> object:
        if seconds:
            await work.call("wait", {"seconds": seconds}, returns=type(None))
        if does:
            await work.call(does, inputs, returns=object)
        if left["times"] > 0:
            left["times"] -= 1
            raise WorkFailed("it does not work", kind=kind)
        return Receipt("2026-01-05", 12)

    return Skill(Order, Receipt, work_on)


def doing(function: Callable[[Any, Work], Awaitable[object]], takes: type[Struct], gives: type) -> Skill:
    """Make a skill of a function."""
    return Skill(takes, gives, function)


def task(name: str, *, takes: Any = Order, gives: Any = Receipt, **more: Any) -> Assignment:
    """Declare the task of a skill; its failure is heard at once."""
    figures = {"on_stop": OnStop.FAIL, "attempts": 1, "tools": ("wait",), **more}
    return Assignment(name, takes, gives, f"do {name}", **figures)


def writing(name: str, tool: str = "book", *, tier: RiskTier = RiskTier.REVERSIBLE, **more: Any) -> Assignment:
    """Declare a task that writes with a tool."""
    return task(name, tools=("wait", tool), tier=tier, **more)


def crew(pattern: Pattern, skills: Mapping[str, Skill], *, checked: bool = True, **figures: Any) -> Crew:
    """Make a crew around a pattern; every skill is an agent of its own, and may call every tool."""
    most = RiskTier.IRREVERSIBLE
    flow = pattern_flow(pattern, inputs=Order, **{"tools": NAMES, "tier": most, "micros": 1_000, **figures})
    flow = flow if checked else replace(flow, declaration=None)
    agents = [Agent(name, {name: known}, tools=NAMES, tier_max=most) for name, known in skills.items()]
    everything = Limits(tools=NAMES, tier_max=most)
    policy = Policy(name="patterns", agents={each.name: everything for each in agents}, flows={flow.name: everything})
    return Crew("patterns", flows=[flow], agents=agents, tools=TOOLS, policy=policy)


@dataclass(slots=True, frozen=True, eq=False)
class Kept:
    """A pattern around another one that keeps the results it gives."""

    inner: Pattern
    results: list[Result[Any]] = field(default_factory=list[Result[Any]])
    name: str = "kept"
    kind: str = "kept"
    takes: Any = object
    gives: Any = object

    @property
    def parts(self) -> Sequence[Edge]:
        return (Edge(self.inner),)

    def flaws(self) -> Sequence[str]:
        return ()

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        self.results.append(await self.inner(case, given, terms))
        return self.results[-1]


async def kept(pattern: Pattern, skills: Mapping[str, Skill], **figures: Any) -> Result[Any]:
    """Run a pattern to its end, within a minute of virtual time, and give its result."""
    keeping = Kept(pattern)
    with anyio.fail_after(5):
        async with CaseBench(crew(keeping, skills, **figures), tools=fakes()) as bench:
            await bench.open("kept", "c", Order())
            await bench.forward(minutes=1)
            assert bench.row("c").status is CaseStatus.CLOSED, bench.log("c").told()
    return keeping.results[-1]


def decisions(log: CaseLog, subject: str) -> list[Decision]:
    """Give what was decided of a subject, in order."""
    return [entry for entry in log.entries if isinstance(entry, Decision) and entry.subject == subject]


def notes(log: CaseLog) -> list[Noted]:
    """Give what was noted."""
    return [entry for entry in log.entries if isinstance(entry, Noted)]


def tasks(log: CaseLog) -> dict[str, Task]:
    """Give the tasks that were sent, by skill."""
    return {entry.task: entry for entry in log.entries if isinstance(entry, Task)}
