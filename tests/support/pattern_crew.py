"""A crew for tests of patterns: an agent whose skills are plain functions, and tools that write to a ledger.

Its tools reach nothing: tests put fakes in their place.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from msgspec import Struct

from casework.actors import Agent, Answer, Crew, Skill, ToolContext, Work, tool
from casework.actors.patterns import Assignment, Code, Pattern, Terms
from casework.actors.patterns.flows import pattern_flow
from casework.actors.policy import Limits, Policy
from casework.actors.testing import FakeTool
from casework.actors.testing.ending import Ending
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow

#: What the fixture `crashes` is.
Crashes: TypeAlias = Callable[[], Awaitable[Ending]]


class Job(Struct, frozen=True):
    """A piece of work; every pattern here takes one, and most give one."""

    number: int = 0
    word: str = ""


class Undo(Struct, frozen=True):
    number: int
    word: str
    result: Job


async def stands(arguments: Any, value: object, context: ToolContext) -> bool:
    raise AssertionError("a fake reads back by itself")


@tool(name="ledger.write", tier=RiskTier.REVERSIBLE, verify=stands, undo="ledger.erase", keyed=True)
async def write(arguments: Job, context: ToolContext) -> Job:
    raise AssertionError("no test reaches the world")


@tool(name="ledger.erase", tier=RiskTier.IRREVERSIBLE, verify=stands, keyed=True)
async def erase(arguments: Undo, context: ToolContext) -> None:
    raise AssertionError("no test reaches the world")


@tool(name="ledger.read", tier=RiskTier.READ_ONLY)
async def read(arguments: Job, context: ToolContext) -> Job:
    raise AssertionError("no test reaches the world")


TOOLS = (write, erase, read)
NAMES = tuple(each.name for each in TOOLS)
#: What the agent's tasks may ask for.
LEDGER = ("ledger.write", "ledger.read")


def fakes(**instead: FakeTool) -> dict[str, FakeTool]:
    """Give fakes that do what they are asked for; `ledger_read` and the like name others."""
    usual = {
        "ledger.write": FakeTool(does=lambda job: job),
        "ledger.erase": FakeTool(None),
        "ledger.read": FakeTool(does=lambda job: job),
    }
    return {**usual, **{name.replace("_", "."): fake for name, fake in instead.items()}}


def does(function: Callable[[Job], object], *, returns: Any = Job, confidence: float = 1.0) -> Skill:
    """Make a skill of a function of its inputs."""

    async def work(inputs: Job, work: Work) -> object:
        return Answer(function(inputs), confidence)

    return Skill(Job, returns, work)


def calls(name: str) -> Skill:
    """Make a skill that calls one tool with what it is given."""

    async def work(inputs: Job, work: Work) -> object:
        return await work.call(name, inputs, returns=Job)

    return Skill(Job, Job, work)


def task(name: str, *, gives: Any = Job, **more: Any) -> Assignment:
    """Make the task for a skill; one that fails says so."""
    return Assignment(name, Job, gives, f"do {name}", **{"on_stop": OnStop.FAIL, "attempts": 1, **more})


def code(name: str, function: Callable[[Any], Any], *, takes: Any = Job, gives: Any = Job) -> Code:
    """Make a step of a plain function."""

    async def run(case: Case, given: Any, terms: Terms) -> Any:
        return function(given)

    return Code(name, takes, gives, run)


def crew(pattern: Pattern, skills: dict[str, Skill] | None = None, *, flows: Sequence[Flow] = (), **more: Any) -> Crew:
    """Make a crew whose flow runs a pattern, beside others; `more` is what `pattern_flow` takes."""
    return staffed(skills or {}, _flow(pattern, **more), *flows)


def unchecked(pattern: Pattern, skills: dict[str, Skill] | None = None, **more: Any) -> Crew:
    """Make the same crew, with a flow that does not say what it runs: its flaws are found when it runs."""
    return staffed(skills or {}, replace(_flow(pattern, **more), declaration=None))


def _flow(pattern: Pattern, **more: Any) -> Flow:
    return pattern_flow(pattern, inputs=Job, **{"tools": NAMES, "tier": RiskTier.IRREVERSIBLE, **more})


def staffed(skills: dict[str, Skill], *flows: Flow) -> Crew:
    """Make a crew of some flows, which may do whatever its tools can."""
    most = RiskTier.IRREVERSIBLE
    limits = Limits(tools=NAMES, tier_max=most)
    return Crew(
        "patterns",
        agents=[Agent("worker", skills, tools=LEDGER, tier_max=most)],
        tools=TOOLS,
        flows=flows,
        policy=Policy(name="patterns", agents={"worker": limits}, flows={each.name: limits for each in flows}),
    )
