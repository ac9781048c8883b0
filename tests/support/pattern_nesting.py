"""Runs of patterns within patterns, for tests: what a tree leaves behind, and what has to hold at every depth.

A pattern of which the trees know nothing is held to the same by its own test: `stands_anywhere`.
"""

import math
from dataclasses import dataclass

import anyio

from casework.actors.patterns import TOPIC, Pattern, Terms, Topic, publish
from casework.actors.patterns.shape import below
from casework.actors.testing import CaseBench, FakePerson
from casework.protocols.records import Opened
from casework.protocols.wire import RiskTier, Task
from casework.runtime import Case, Flow
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_crew import LEDGER, Job, calls, does, fakes, staffed
from tests.support.pattern_trees import LEAF_SECONDS, PLACES, TOPIC_ID, Places, tree

CALLS, MICROS_GRANTED, SECONDS = 10**9, 10**12, 100_000.0


async def hang(inputs: Job, work: object) -> Job:
    await anyio.sleep_forever()
    raise AssertionError("nobody wakes it")


SKILLS = {"work": calls("ledger.write"), "look": does(lambda job: job)}
HANGING = {**SKILLS, "hang": type(SKILLS["look"])(Job, Job, hang)}


def flow_of(pattern: Pattern) -> Flow:
    async def run(case: Case, inputs: Job) -> Job:
        deadline = await case.now() + round(SECONDS * MICROS)
        terms = Terms(deadline=deadline, calls=CALLS, micros=MICROS_GRANTED, tools=LEDGER, tier=RiskTier.REVERSIBLE)
        async with case.saga():
            value = (await pattern(case, inputs, terms)).value
            await case.sleep(LEAF_SECONDS)
        return value  # type: ignore[no-any-return]

    return Flow.of(run, inputs=Job)


@dataclass
class Seen:
    """What a tree left in its log, and in the world."""

    result: str
    tasks: list[Task]
    trace: str
    opened: int
    written: list[object]
    erased: int
    waits: int
    reviews: int


async def ran(pattern: Pattern, *, cancel_after: float = math.inf) -> Seen:
    with anyio.fail_after(20):
        async with CaseBench(
            staffed(HANGING, flow_of(pattern), TOPIC), tools=fakes(), people=[FakePerson(after_seconds=10)]
        ) as bench:
            await bench.open("topic", TOPIC_ID, Topic())
            await publish(bench.runtime, TOPIC_ID, Job(1), by="test", event_id="1")
            await bench.open("run", "c1", Job(1))
            if cancel_after < math.inf:
                await bench.forward(seconds=cancel_after)
                await bench.cancel("c1")
            await bench.forward(seconds=SECONDS)
            row, entries = bench.row("c1"), bench.log("c1").entries
            (first,) = [each for each in entries if isinstance(each, Opened)]
            assert row.status is CaseStatus.CLOSED, bench.log("c1").told()
            return Seen(
                row.result,
                [each for each in entries if isinstance(each, Task)],
                first.trace,
                row.opened_at,
                bench.calls("ledger.write"),
                len(bench.calls("ledger.erase")),
                len(row.waits),
                len(bench.reviews()),
            )


def check_terms(seen: Seen) -> None:
    """Check that what the root was given bounds what its leaves were given."""
    assert all(each.trace == seen.trace for each in seen.tasks)
    assert all(each.deadline <= seen.opened + SECONDS * MICROS for each in seen.tasks)
    assert sum(each.budget.calls for each in seen.tasks) <= CALLS
    assert sum(each.budget.micros for each in seen.tasks) <= MICROS_GRANTED
    assert all(set(each.tools_allowed) <= set(LEDGER) for each in seen.tasks)


async def stands_anywhere(more: Places) -> None:
    """Run a pattern in a place of each other kind, each other kind in each of its places, and all of it five deep."""
    others = list({place.partition(",")[0]: place for place in PLACES}.values())
    mine = list(more)
    spines = [spine for own in mine for other in others for spine in ((own, other), (other, own))]
    for spine in (*spines, (mine[0], others[0], mine[-1], others[-1], mine[0])):
        made = tree(spine, more=more)
        assert [flaw for each in below(made) for flaw in each.flaws()] == [], spine
        seen = await ran(made)
        assert seen.result == "completed", spine
        check_terms(seen)
