"""A crew whose agents spend: one reads at a price, and asks for less where less is left; one buys, once for each key.

What is bought stands in a file below the setting `out`, a line for each key, so that a process that was killed in the
middle leaves what a service outside would know.
"""

from pathlib import Path

from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, skill, tool
from casework.actors.policy import Policy, parse_policy
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow

#: The most that one call of the dear tools may cost.
DEAR = 20_000
CHEAP = 5_000
#: Cases, each with an agent at work, at the same moment.
CROWD = 100

POLICY = """
name = "budgets"
[agents.clerk]
tools = ["think", "guess", "buy"]
tier_max = "irreversible"
[retry.read_only]
attempts = 3
backoff_seconds = 0
[bounds]
repeats_max = 1000
"""


class Job(Struct, frozen=True):
    """What is to be done: how often, at what price each (-1: unsaid), and by which tool."""

    calls: int = 1
    micros: int = -1
    tool: str = "think"


class Asked(Struct, frozen=True):
    """One call."""

    number: int
    micros: int


@tool(tier=RiskTier.READ_ONLY, micros_max=DEAR, workers=CROWD)
async def think(arguments: Asked, context: ToolContext) -> str:
    """Think, at a price."""
    spend(arguments, context)
    return "thought"


@tool(tier=RiskTier.READ_ONLY, micros_max=CHEAP, workers=CROWD)
async def guess(arguments: Asked, context: ToolContext) -> str:
    """Guess, for less."""
    spend(arguments, context)
    return "guessed"


async def bought(arguments: Asked, value: str, context: ToolContext) -> bool:
    """Read back whether it was bought."""
    return context.idempotency_key in purchases(Path(context.settings["out"]))


@tool(tier=RiskTier.IRREVERSIBLE, micros_max=DEAR, verify=bought, keyed=True, workers=CROWD)
async def buy(arguments: Asked, context: ToolContext) -> str:
    """Buy; the same key again buys nothing more."""
    out = Path(context.settings["out"])
    if context.idempotency_key not in purchases(out):
        with (out / "bought").open("a", encoding="utf-8") as file:
            file.write(f"{context.idempotency_key} {DEAR}\n")
    return "bought"


def purchases(out: Path) -> dict[str, int]:
    """Give what every key cost."""
    file = out / "bought"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {key: int(micros) for key, _, micros in (line.partition(" ") for line in lines)}


def spend(arguments: Asked, context: ToolContext) -> None:
    """Say what a call cost, if it is to be said."""
    if arguments.micros >= 0:
        context.spend(arguments.micros)


@skill
async def work_on(inputs: Job, work: Work) -> list[str]:
    """Make the calls of a job, one after the other."""
    return [await work.call(inputs.tool, Asked(number, inputs.micros), returns=str) for number in range(inputs.calls)]


async def job(case: Case, inputs: Job) -> list[str]:
    """Have a job done."""
    result = await case.delegate(
        "work_on",
        inputs,
        returns=list[str],
        goal="Do the job",
        tools=["think", "guess", "buy"],
        tier=RiskTier.IRREVERSIBLE,
        calls=1_000,
        micros=10**9,
        deadline_seconds=3_600,
        on_stop=OnStop.FAIL,
    )
    return result.value


CLERK = Agent(
    "clerk", {"work_on": work_on}, tools=("think", "guess", "buy"), tier_max=RiskTier.IRREVERSIBLE, workers=CROWD
)


def policy(text: str = "") -> Policy:
    """Give the crew's policy with more to it."""
    return parse_policy(POLICY + text)


def crew(text: str = "") -> Crew:
    """Make the crew."""
    return Crew(
        "budgets",
        flows=(Flow.of(job, inputs=Job),),
        agents=(CLERK,),
        tools=(think, guess, buy),
        policy=policy(text),
    )
