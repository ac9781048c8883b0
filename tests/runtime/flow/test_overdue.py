"""What came due while nothing ran: each in its order, and nothing later wins over what was decided in time."""

import anyio
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Decided, Fired, ReviewAction
from casework.runtime.flow.case import Case
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, closed, crashing, crew, entries, runtime, value
from tests.support.manual_clock import ManualClock


async def before_evening(case: Case, inputs: Ask) -> object:
    async def decided() -> str:
        reviewed = await case.review("look", {"n": 1}, rule="test", expires_seconds=60)
        return "expired" if reviewed.expired else reviewed.action

    async def evening() -> str:
        await case.sleep(float(inputs.n))
        return "evening"

    _, end = await case.first(decided(), evening())
    return end


async def after_a_day_off(inputs: Ask, *, approved: bool) -> MemoryStore:
    """Open a case, let all end, have a person decide or not, and go on when all moments are past."""
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(30):
        async with crashing(runtime(crew(before_evening), store, clock)) as machine:
            await machine.open("before_evening", "c1", inputs)
            await machine.wait("c1")
        if approved:
            (review,) = await store.reviews()
            seen, now = review.proposal_hash, clock.wall_micros()
            decided = Decided(review_id=review.id, action=ReviewAction.APPROVE, by="ann", proposal_hash=seen, at=now)
            await store.decide(review.id, seen, encode(decided), now)
        clock.advance(86_400)
        async with runtime(crew(before_evening), store, clock):
            await closed(store)
    return store


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize(("evening", "end"), [(120, "expired"), (30, "evening")])
async def test_of_a_review_whose_time_is_over_and_a_timer_the_earlier_one_comes_first(evening: int, end: str) -> None:
    store = await after_a_day_off(Ask(evening), approved=False)
    assert await value(store) == end
    assert len(await entries(store, Fired)) == int(end == "evening")


@pytest.mark.promise("FLOW-27")
@pytest.mark.parametrize("evening", [120, 61])
async def test_a_decision_taken_in_time_is_heard_before_a_timer_that_came_due_after_the_review(evening: int) -> None:
    assert await value(await after_a_day_off(Ask(evening), approved=True)) == "approve"
