"""Any pattern stands within any other, five deep; trace, deadline, budget and cancel reach whatever is below."""

import math
from dataclasses import dataclass
from itertools import groupby

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casework.actors.patterns import TOPIC, Pattern, Terms, Topic, publish
from casework.actors.patterns.shape import below
from casework.actors.testing import CaseBench, FakePerson
from casework.protocols.records import Opened
from casework.protocols.wire import RiskTier, Task
from casework.runtime import Case, Flow
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_crew import LEDGER, Job, calls, does, fakes, staffed
from tests.support.pattern_trees import LEAF_SECONDS, PLACES, TOPIC_ID, Leaf, tree

CALLS, MICROS_GRANTED, SECONDS = 10**9, 10**12, 100_000.0
DEPTH = 5
#: Places by the kind of pattern that has them.
KINDS = {kind: tuple(places) for kind, places in groupby(PLACES, key=lambda place: place.partition(",")[0])}
SPINES = st.lists(st.sampled_from(sorted(PLACES)), min_size=1, max_size=DEPTH)
DEEPEST = st.lists(st.sampled_from(sorted(PLACES)), min_size=DEPTH, max_size=DEPTH)


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


@pytest.mark.parametrize("place", PLACES)
def test_a_tree_is_checked_before_it_runs_and_has_no_flaws(place: str) -> None:
    assert [flaw for each in below(tree((place, place))) for flaw in each.flaws()] == []


@pytest.mark.promise("PATTERN-1")
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_every_kind_of_pattern_stands_in_every_kind() -> None:
    for at, outer in enumerate(KINDS):
        for place, inner in enumerate(KINDS, at):
            spine = [KINDS[outer][place % len(KINDS[outer])], KINDS[inner][at % len(KINDS[inner])]]
            seen = await ran(tree(spine))
            assert seen.result == "completed", spine
            check_terms(seen)


@pytest.mark.promise("PATTERN-1")
@given(DEEPEST)
@settings(max_examples=10, deadline=None)
async def test_at_every_depth_trace_deadline_and_budget_are_those_of_the_root_or_less(spine: list[str]) -> None:
    seen = await ran(tree(spine))
    assert seen.result == "completed"
    assert len(seen.tasks) >= 1
    check_terms(seen)


@pytest.mark.promise("PATTERN-1")
@given(SPINES, st.integers(0, 40), st.booleans())
@settings(max_examples=15, deadline=None)
async def test_a_cancel_at_any_moment_closes_everything_below_and_undoes_what_was_written(
    spine: list[str], moment: int, hangs: bool
) -> None:
    seen = await ran(tree(spine, Leaf(skill="hang" if hangs else "work")), cancel_after=moment * LEAF_SECONDS / 4)
    assert (seen.waits, seen.reviews) == (0, 0)
    if seen.result != "completed":  # It ended before, or what hangs was given up before the cancel came.
        assert seen.result == "cancelled" or (hangs and seen.result == "failed")
        assert seen.erased == len(seen.written)
    check_terms(seen)
