"""What a case waits for: named things, people, moments; which branch wins; and how it is stopped."""

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Cancel, Decided, Fired, Noted, ReviewAction, Unparked, Withdrawn
from casework.runtime.errors import CaseCancelled
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseKey, CaseStatus, DecisionRefused, Duplicate, Nobody, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import LEASE_OVER, Ask, closed, crashing, crew, entries, runtime, steps, value
from tests.support.manual_clock import ManualClock


async def parks(case: Case, inputs: Ask) -> object:
    arrived = await case.park("key", reason="needs a thing")
    return [arrived.key, arrived.by]


@pytest.mark.promise("FLOW-25")
async def test_a_parked_case_resumes_when_the_named_thing_is_delivered_and_a_duplicate_counts_once() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks)) as machine:
            assert isinstance(await machine.deliver("key", by="test"), Nobody)
            await machine.open("parks", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("key", by="ann", value=1)
            assert isinstance(await machine.deliver("key", by="ann", value=1), Duplicate)
            await machine.wait("c1")
            assert await value(machine.store) == ["key", "ann"]
            assert len(await entries(machine.store, Arrived)) == 1


@pytest.mark.promise("FLOW-25")
async def test_one_delivery_resumes_every_case_that_waits_for_the_key() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks)) as machine:
            for case_id in ("c1", "c2", "c3"):
                await machine.open("parks", case_id, Ask())
            await machine.wait_idle()
            await machine.deliver("key", by="ann")
            await machine.wait_idle()
            assert {row.status for row in await machine.store.cases()} == {CaseStatus.CLOSED}


async def sender(case: Case, inputs: Ask) -> None:
    await case.send("c1", "early", "hello")


async def late_parker(case: Case, inputs: Ask) -> str:
    await case.park("start", reason="first this")
    arrived = await case.park("early", reason="then that")
    return arrived.by


@pytest.mark.promise("FLOW-25")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_thing_that_arrived_before_anybody_waited_for_it_is_kept(restart: bool) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(late_parker, sender), store) as machine:
            await machine.open("late_parker", "c1", Ask())
            await machine.wait("c1")
            await machine.open("sender", "c2", Ask())
            await machine.wait_idle()
            if not restart:
                await machine.deliver("start", by="test")
                await machine.wait("c1")
        if restart:
            async with runtime(crew(late_parker, sender), store) as machine:
                await machine.deliver("start", by="test")
                await machine.wait("c1")
        assert await value(store) == "case:c2"


async def asks(case: Case, inputs: Ask) -> object:
    reviewed = await case.review("look", {"n": 1}, rule="test", expires_seconds=float(inputs.n))
    return [reviewed.action, reviewed.by, reviewed.value]


@pytest.mark.promise("FLOW-27")
@pytest.mark.parametrize(
    ("action", "edited", "end"),
    [
        (ReviewAction.APPROVE, None, ["approve", "ann", {"n": 1}]),
        (ReviewAction.EDIT, {"n": 2}, ["edit", "ann", {"n": 2}]),
        (ReviewAction.REJECT, None, ["reject", "ann", {"n": 1}]),
    ],
)
async def test_a_person_approves_edits_or_rejects_exactly_what_was_proposed(
    action: ReviewAction, edited: object, end: object
) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(asks)) as machine:
            await machine.open("asks", "c1", Ask())
            row = await machine.wait("c1")
            stale = await machine.decide(row.waits[0].key, action, by="ann", edited=edited, proposal_hash="00")
            assert isinstance(stale, DecisionRefused)
            await machine.decide(row.waits[0].key, action, by="ann", edited=edited)
            await machine.wait("c1")
            assert await value(machine.store) == end


@pytest.mark.promise("FLOW-27")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_review_that_nobody_decided_in_time_counts_as_rejected(restart: bool) -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(asks), store, clock) as machine:
            await machine.open("asks", "c1", Ask(60))
            row = await machine.wait("c1")
            assert [wait.kind for wait in row.waits] == [WaitKind.REVIEW, WaitKind.TIMER]
            if not restart:
                await anyio.wait_all_tasks_blocked()
                clock.advance(61)
                await closed(machine.store)
        if restart:
            clock.advance(61)
            async with runtime(crew(asks), store, clock) as machine:
                await closed(machine.store)
        assert (await value(store))[:2] == ["reject", "expiry"]
        assert (await store.reviews())[0].state == "withdrawn"


@pytest.mark.promise("FLOW-27")
async def test_a_decision_taken_in_time_stands_although_the_case_hears_of_it_later() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(asks), store, clock)) as machine:
            await machine.open("asks", "c1", Ask(60))
            await machine.wait("c1")
        (review,) = await store.reviews()
        seen, now = review.proposal_hash, clock.wall_micros()
        decided = Decided(review_id=review.id, action=ReviewAction.APPROVE, by="ann", proposal_hash=seen, at=now)
        await store.decide(review.id, seen, encode(decided), now)
        clock.advance(61)
        async with runtime(crew(asks), store, clock) as machine:
            await closed(machine.store)
        assert (await value(store))[:2] == ["approve", "ann"]


async def either(case: Case, inputs: Ask) -> object:
    index, _ = await case.first(
        case.review("look", {"n": 1}, rule="test"),
        case.park("key", reason="or this"),
        case.park("go", reason="or that"),
    )
    await case.park("end", reason="still here")
    return index


@pytest.mark.promise("FLOW-29")
@pytest.mark.parametrize("restart", [False, True])
async def test_the_first_branch_to_end_is_recorded_and_takes_back_what_the_others_asked_for(restart: bool) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(either), store) as machine:
            await machine.open("either", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
            assert [wait.key for wait in row.waits] == ["end"]
            assert ("won", "first") in await steps(store)
            assert len(await entries(store, Withdrawn)) == 1
            assert len(await entries(store, Unparked)) == 1
            review = (await store.reviews())[0]
            refused = await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            assert isinstance(refused, DecisionRefused)
            assert refused.why == "withdrawn"
            if not restart:
                await machine.deliver("end", by="test")
                await machine.wait("c1")
        if restart:
            async with runtime(crew(either), store) as machine:
                await machine.deliver("end", by="test")
                await machine.wait("c1")
        assert await value(store) == 2


@pytest.mark.promise("FLOW-29")
async def test_a_decision_that_crossed_its_withdrawal_is_told_in_the_log() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(either), store, ManualClock())) as machine:
            await machine.open("either", "c1", Ask())
            await machine.wait("c1")
            review = (await store.reviews())[0]
            heard, store._heard = store._heard, lambda keys: None
            await machine.deliver("go", by="test")
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            assert heard is not None
            heard((CaseKey("default", "c1"),))
            row = await machine.wait("c1")
            assert [wait.key for wait in row.waits] == ["end"]
            notes = await entries(store, Noted)
            assert ["decision came when nothing waited" in note.text for note in notes] == [True]


async def sleeps(case: Case, inputs: Ask) -> None:
    await case.sleep(100)


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_timer_fires_once_at_its_moment_also_after_a_restart(restart: bool) -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(sleeps), store, clock) as machine:
            await machine.open("sleeps", "c1", Ask())
            await machine.wait("c1")
            await anyio.wait_all_tasks_blocked()
            clock.advance(50)
            await anyio.wait_all_tasks_blocked()
            assert (await machine.wait("c1")).status is CaseStatus.PARKED
            if not restart:
                clock.advance(51)
                await closed(store)
        if restart:
            async with runtime(crew(sleeps), store, clock):
                await anyio.wait_all_tasks_blocked()
                clock.advance(51)
                await closed(store)
        assert len(await entries(store, Fired)) == 1


async def compensates(case: Case, inputs: Ask) -> str:
    try:
        await case.gather(case.park("a", reason="a"), case.review("b", {"n": 1}, rule="b"))
    except CaseCancelled as error:
        await case.note(f"cancelled by {error.by}")
        await case.park("undo", reason="compensation waits")
        return "compensated"
    return "done"


@pytest.mark.promise("FLOW-31")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_cancel_is_heard_at_once_raised_once_and_compensation_runs_on(restart: bool) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(compensates), store) as machine:
            await machine.open("compensates", "c1", Ask())
            await machine.wait("c1")
            await machine.cancel("c1", by="ann")
            row = await machine.wait("c1")
            assert [wait.key for wait in row.waits] == ["undo"]
            assert [review.state for review in await store.reviews()] == ["withdrawn"]
            await machine.cancel("c1", by="bob")
            assert [wait.key for wait in (await machine.wait("c1")).waits] == ["undo"]
            if not restart:
                await machine.deliver("undo", by="test")
                await machine.wait("c1")
        if restart:
            async with runtime(crew(compensates), store) as machine:
                await machine.deliver("undo", by="test")
                await machine.wait("c1")
        assert await value(store) == "compensated"
        assert [cancel.by for cancel in await entries(store, Cancel)] == ["ann", "bob"]


@pytest.mark.promise("FLOW-31")
async def test_a_cancel_that_nobody_catches_closes_the_case_as_cancelled_and_one_after_the_close_is_refused() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks)) as machine:
            await machine.open("parks", "c1", Ask())
            await machine.wait("c1")
            await machine.cancel("c1", by="ann")
            row = await machine.wait("c1")
            assert (row.status, row.result) == (CaseStatus.CLOSED, "cancelled")
            assert isinstance(await machine.cancel("c1", by="bob"), Nobody)


async def tidies(case: Case, inputs: Ask) -> str:
    try:
        await case.park("key", reason="waits")
    except CaseCancelled:
        await case.note("seen as cancel")
        raise
    finally:
        await case.note("cleanup")
        await case.note("more cleanup")
    return "done"


@pytest.mark.promise("FLOW-31")
async def test_teardown_records_nothing_and_is_not_a_cancel() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(tidies), store, clock)) as machine:
            await machine.open("tidies", "c1", Ask())
            await machine.wait("c1")
        assert [kind for kind, _ in await steps(store)] == ["opened", "parked"]
        clock.advance(LEASE_OVER)
        async with runtime(crew(tidies), store, clock) as machine:
            await machine.deliver("key", by="test")
            await machine.wait("c1")
            assert await value(store) == "done"


async def child(case: Case, inputs: Ask) -> str:
    await case.gather(case.park(f"{case.id}-a", reason="a"), case.park(f"{case.id}-b", reason="b"))
    return case.id


async def parent(case: Case, inputs: Ask) -> list[object]:
    told: list[object] = []
    await case.open("child", "kid", Ask())
    await case.open("child", "kid", Ask())
    while True:
        report = await case.next_report()
        told.append([report.status, list(report.needs)])
        if report.status == "closed":
            return told


@pytest.mark.promise("FLOW-33")
async def test_a_parent_hears_when_its_child_parks_waits_for_something_else_and_closes() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parent, child)) as machine:
            await machine.open("parent", "c1", Ask())
            await machine.wait_idle()
            await machine.deliver("kid-a", by="test")
            await machine.wait_idle()
            await machine.deliver("kid-b", by="test")
            await machine.wait_idle()
            told = await value(machine.store)
            assert told == [["parked", ["kid-a", "kid-b"]], ["parked", ["kid-b"]], ["closed", []]]
            assert len(await machine.store.cases()) == 2


async def half(case: Case, inputs: Ask) -> None:
    await case.gather(case.park("half", reason="a"), case.delegate("work", {}, returns=str, goal="work"))


@pytest.mark.promise("FLOW-33")
async def test_a_parent_hears_of_a_child_that_parks_only_once_its_other_work_is_done() -> None:
    async def parent(case: Case, inputs: Ask) -> list[str]:
        await case.open("half", "kid", Ask())
        return list((await case.next_report()).needs)

    go = anyio.Event()

    async def work(inputs: object, call: object) -> str:
        await go.wait()
        return "done"

    with anyio.fail_after(5):
        async with runtime(crew(parent, half, doers={"work": work})) as machine:
            await machine.open("parent", "c1", Ask())
            kid = CaseKey("default", "kid")
            while ("task", "gather/1/work") not in await steps(machine.store, kid):
                await anyio.lowlevel.checkpoint()
            go.set()
            await machine.wait_idle()
            assert await value(machine.store) == ["half"]


async def counts(case: Case, inputs: Ask) -> list[int]:
    seen: list[int] = []
    while len(seen) < 1000:
        arrived = await case.park(case.id, reason="more")
        seen.append(int(arrived.message_id))
    return seen


@pytest.mark.promise("FLOW-34")
async def test_a_thousand_deliveries_at_once_are_all_applied_in_order() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(counts)) as machine:
            await machine.open("counts", "c1", Ask())
            await machine.wait("c1")
            for n in range(1000):
                await machine.deliver("c1", by="test", message_id=str(n))
            await machine.wait_idle()
            assert await value(machine.store) == list(range(1000))


async def fumbles(case: Case, inputs: Ask) -> object:
    async def clumsy() -> None:
        try:
            await case.park("never", reason="loses")
        finally:
            raise KeyError("in the clean-up")

    return await case.first(clumsy(), case.park("go", reason="wins"))


@pytest.mark.promise("FLOW-29")
async def test_an_error_in_the_clean_up_of_a_branch_that_lost_harms_nobody() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(fumbles)) as machine:
            await machine.open("fumbles", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert len(await entries(machine.store, Decided)) == 0
