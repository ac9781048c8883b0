"""What does a pattern wait for: a fast branch for a slow one beside it, a vote of five for each voter in turn?

Units: milliseconds from the moment in which an agent in a fast branch has its answer until the agent of the branch's
next step begins, while an agent in a branch beside it takes a second (each operation is one such step), and how much of
that the process itself was at work, for on a busy machine it waits for a processor now and then; and the time
of a vote of five, as its flow sees it, against that of a single ask of the same agents, which do nothing (each
operation is one vote or one ask, one after another). One runtime in one process, its cases in an SQLite file.
"""

import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter, process_time
from typing import Any

import anyio
import harness
from msgspec import Struct

from casework.actors.agent import Agent, Skill, Work
from casework.actors.crew import Crew
from casework.actors.patterns import Assignment, Collect, FanOut, Pattern, Pipeline, Terms, Vote, Voter
from casework.actors.policy import Policy
from casework.protocols.wire import OnStop
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime

#: Seconds that the slow branch takes.
SLOW_SECONDS = 1.0
#: Steps of the fast branch at most; they must all be done while the slow one waits.
STEPS_MAX = 100
VOTERS = 5
MICROS_MAX = 2**53
#: More than any of it takes.
DEADLINE = 2**52
MEDIAN, SLOW, WORST = (f"next step, {which}" for which in ("median", "p95", "slowest"))
AT_WORK = "next step, most of it at work"
OWN, ASK, VOTE = "casework", "one ask", "a vote of five"


class Number(Struct, frozen=True):
    """What every agent is given and gives."""

    number: int = 0


class Clocked:
    """Agents that note when they begin and end."""

    def __init__(self) -> None:
        # Pairs of moment and processor time.
        self.begun: list[tuple[float, float]] = []
        self.ended: list[tuple[float, float]] = []

    async def quick(self, inputs: Number, work: Work) -> Number:
        """Do nothing, and note when."""
        self.begun.append((perf_counter(), process_time()))
        given = Number(inputs.number + 1)
        self.ended.append((perf_counter(), process_time()))
        return given

    async def slow(self, inputs: Number, work: Work) -> Number:
        """Take a second."""
        await anyio.sleep(SLOW_SECONDS)
        return inputs

    def crew(self, flow: Callable[..., Coroutine[object, object, object]]) -> Crew:
        """Make the crew of a flow."""
        quick = {f"quick-{number}": Skill(Number, Number, self.quick) for number in range(VOTERS)}
        agents = [Agent("quick", quick), Agent("slow", {"slow": Skill(Number, Number, self.slow)})]
        return Crew("bench", flows=[Flow.of(flow, inputs=Number)], agents=agents, policy=Policy(name="bench"))


def task(name: str) -> Assignment:
    """Make the task of a skill."""
    return Assignment(name, Number, Number, "do it", on_stop=OnStop.FAIL)


async def run(clocked: Clocked, flow: Callable[..., Coroutine[object, object, object]], cases: int) -> None:
    """Run so many cases of a flow, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        async with Runtime(clocked.crew(flow), f"sqlite:///{folder}/cases.db") as runtime:
            for number in range(cases):
                await runtime.open("flow", f"case-{number}", Number())
                row = await runtime.wait(f"case-{number}")
                assert row.result == "completed", row


async def gaps(operations: int) -> harness.Run:
    """Measure the gaps between the steps of a fast branch beside a slow one."""
    steps = min(max(operations, 2), STEPS_MAX)
    branches = (task("slow"), Pipeline("fast", (task("quick-0"),) * steps))
    pattern = FanOut("both", branches, Collect())
    clocked = Clocked()

    async def flow(case: Case, inputs: Number) -> None:
        await pattern(case, inputs, Terms(deadline=DEADLINE, calls=STEPS_MAX, micros=MICROS_MAX))

    await run(clocked, flow, 1)
    assert clocked.ended[-1][0] - clocked.begun[0][0] < SLOW_SECONDS, "the slow branch was still waiting"
    pairs = list(zip(clocked.ended, clocked.begun[1:], strict=False))
    taken = sorted(begun - ended for (ended, _), (begun, _) in pairs)
    shares = {MEDIAN: 0.5, SLOW: 0.95, WORST: 1.0}
    figures = {what: harness.percentile(taken, share) * 1e3 for what, share in shares.items()}
    figures[AT_WORK] = max(begun - ended for (_, ended), (_, begun) in pairs) * 1e3
    return harness.Run(seconds=sum(taken), operations=len(taken), figures=figures)


async def timed(pattern: Pattern, operations: int) -> harness.Run:
    """Measure how long a pattern takes, as its flow sees it."""
    taken: list[float] = []

    async def flow(case: Case, inputs: Number) -> None:
        begun = perf_counter()
        await pattern(case, inputs, Terms(deadline=DEADLINE, calls=100, micros=MICROS_MAX))
        taken.append(perf_counter() - begun)

    await run(Clocked(), flow, operations)
    return harness.Run(seconds=sum(taken), operations=len(taken))


def on_asyncio(function: Callable[..., Coroutine[Any, Any, harness.Run]], *given: object) -> harness.Contender:
    """Make a contender."""
    return lambda operations: anyio.run(partial(function, *given), operations)


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure both."""
    voters = tuple(Voter(task(f"quick-{number}"), f"agent: {number}") for number in range(VOTERS))
    return [
        harness.observe(
            f"a fast branch beside one of {SLOW_SECONDS:g} s",
            {OWN: on_asyncio(gaps)},
            units=dict.fromkeys((MEDIAN, SLOW, WORST, AT_WORK), "ms"),
            operations=operations,
            repetitions=repetitions,
            reach=[harness.Reach(contender=OWN, what=SLOW, at_most=10.0)],
        ),
        harness.measure(
            "a vote of five against one ask",
            {ASK: on_asyncio(timed, task("quick-0")), VOTE: on_asyncio(timed, Vote("vote", voters, 3))},
            floor=ASK,
            operations=operations,
            repetitions=repetitions,
            reach=[harness.Reach(contender=VOTE, against=ASK, at_least=1 / 6)],
        ),
    ]


if __name__ == "__main__":
    harness.main(answer, operations=100)
