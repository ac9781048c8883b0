"""Writes: durable intent first, one recorded end, nothing repeated blindly; and approvals of exact bytes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import Call, Decided, Done, Intent, ReviewAction, Undone
from casework.protocols.wire import RiskTier
from casework.runtime.errors import CallFailed, ReviewRejected
from casework.runtime.flow.case import Case
from casework.runtime.staff import CallRequest, CallResult
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, entries, run, runtime, steps, until, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, Lost, SmallStaff, SmallTool


async def ok(arguments: object) -> object:
    return "done"


async def pay(case: Case, inputs: Ask) -> str:
    try:
        return await case.call("pay", {"n": inputs.n}, returns=str)
    except CallFailed as error:
        return f"failed: {error.kind}"
    except ReviewRejected as error:
        return f"rejected by {error.by}: {error.reason}"


def payer(
    run: Callable[[object], Awaitable[object]] = ok,
    lookup: Callable[[object], Awaitable[object]] | None = None,
    approval: str = "",
) -> SmallStaff:
    return crew(pay, tools={"pay": SmallTool(run, RiskTier.REVERSIBLE, approval, lookup)})


@pytest.mark.promise("FLOW-9")
async def test_a_write_waits_until_its_intent_is_durable() -> None:
    store, staff = OddStore(), payer()
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            store.hold()
            await machine.open("pay", "c1", Ask())
            await until(machine, lambda: bool(store.appends))
            await anyio.wait_all_tasks_blocked()
            assert staff.performed == []
            store.let_go()
            await machine.wait("c1")
            assert len(staff.performed) == 1
            assert [kind for kind, _ in await steps(store)] == ["opened", "intent", "done", "closed"]


@pytest.mark.promise("FLOW-12")
async def test_a_known_failure_of_a_write_is_recorded_as_undone_and_raised() -> None:
    async def refuses(arguments: object) -> object:
        raise Gone("no funds")

    store = MemoryStore()
    await run(payer(refuses), "pay", store)
    assert await value(store) == "failed: error"
    assert len(await entries(store, Undone)) == 1


@pytest.mark.promise("FLOW-12")
@pytest.mark.parametrize(("found", "end"), [("yes", "found"), ("no", "failed: error")])
async def test_a_write_of_unknown_end_is_looked_up(found: str, end: str) -> None:
    async def unsure(arguments: object) -> object:
        raise Lost("connection lost")

    async def lookup(arguments: object) -> object:
        if found == "no":
            raise Gone("not there")
        return "found"

    store, staff = MemoryStore(), payer(unsure, lookup)
    await run(staff, "pay", store)
    assert await value(store) == end
    assert len(staff.performed) == 1


@pytest.mark.promise("FLOW-12")
@pytest.mark.parametrize(("action", "kind"), [(ReviewAction.APPROVE, Done), (ReviewAction.REJECT, Undone)])
async def test_when_nobody_can_say_a_person_decides_and_the_write_is_not_repeated(
    action: ReviewAction, kind: type[object]
) -> None:
    async def unsure(arguments: object) -> object:
        raise Lost("connection lost")

    store, staff = MemoryStore(), payer(unsure)
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pay", "c1", Ask())
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            review = (await store.reviews(state="open"))[0]
            assert review.title == "Did pay happen?"
            await machine.decide(review.id, action, by="ann")
            await machine.wait("c1")
            assert len(await entries(store, kind)) == 1
            assert len(staff.performed) == 1


@pytest.mark.promise("FLOW-12")
async def test_a_flow_hears_of_a_write_that_a_person_confirmed_although_nobody_knows_what_it_returned() -> None:
    async def unsure(arguments: object) -> object:
        raise Lost("connection lost")

    async def pays(case: Case, inputs: Ask) -> str:
        try:
            return await case.call("pay", {}, returns=str)
        except CallFailed as failed:
            return f"{failed.kind}: {failed.message}"

    store, staff = MemoryStore(), crew(pays, tools={"pay": SmallTool(unsure, RiskTier.REVERSIBLE)})
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pays", "c1", Ask())
            await machine.wait("c1")
            (review,) = await store.reviews(state="open")
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
    assert await value(store) == "unknown: it happened, but what it returned is not known"


@dataclass
class Remembering(SmallStaff):
    """Keeps what it was asked to look up."""

    looked: list[tuple[bytes, str, int]] = field(default_factory=list)

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        self.looked.append((bytes(request.arguments), idempotency_key, intended_at))
        return await super().look_up(
            request, idempotency_key=idempotency_key, intended_at=intended_at, call_before=call_before
        )


async def intended_at(store: MemoryStore) -> int:
    """Give the moment of a case's only intent."""
    (record,) = [record for record in await store.records(KEY) if record.kind == "intent"]
    return record.at


async def test_the_time_of_a_key_runs_from_the_record_of_its_intent_in_the_same_life_of_a_case_too() -> None:
    async def unsure(arguments: object) -> object:
        raise Lost("connection lost")

    store, tools = MemoryStore(), {"pay": SmallTool(unsure, RiskTier.REVERSIBLE)}
    staff = Remembering(payer(unsure).flows, tools=tools)
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pay", "c1", Ask(7))
            await machine.wait("c1")
    assert [looked[2] for looked in staff.looked] == [await intended_at(store)]


@pytest.mark.promise("FLOW-13")
async def test_a_crash_between_intent_and_end_is_recovered_with_the_same_key_and_bytes() -> None:
    started = anyio.Event()

    async def hangs(arguments: object) -> object:
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def lookup(arguments: object) -> object:
        return "found"

    store, clock, first = MemoryStore(), ManualClock(), payer(hangs)
    second = Remembering(first.flows, tools={"pay": SmallTool(hangs, RiskTier.REVERSIBLE, lookup=lookup)})
    with anyio.fail_after(5):
        async with crashing(runtime(first, store, clock)) as machine:
            await machine.open("pay", "c1", Ask(7))
            await started.wait()
        clock.advance(LEASE_OVER)
        async with runtime(second, store, clock) as machine:
            await machine.wait("c1")
            intent = (await entries(store, Intent))[0]
            assert second.looked == [(bytes(intent.arguments), intent.key, await intended_at(store))]
            assert first.performed[0][2] == intent.key
            assert second.performed == []
            assert await value(store) == "found"


async def hasty(case: Case, inputs: Ask) -> object:
    return await case.first(case.park("go", reason="first"), case.call("pay", {"n": 1}, returns=str))


@pytest.mark.promise("FLOW-12")
@pytest.mark.parametrize("crash", [False, True])
async def test_a_write_that_nobody_waits_for_any_more_still_ends_in_the_log(crash: bool) -> None:
    started, finish = anyio.Event(), anyio.Event()

    async def slow(arguments: object) -> object:
        started.set()
        await finish.wait()
        return "late"

    async def lookup(arguments: object) -> object:
        return "found"

    tools = {"pay": SmallTool(slow, RiskTier.REVERSIBLE, lookup=lookup)}
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(hasty, tools=tools), store, clock)) as machine:
            await machine.open("hasty", "c1", Ask())
            await started.wait()
            await machine.deliver("go", by="test")
            while ("won", "first") not in await steps(store):
                await anyio.lowlevel.checkpoint()
            case = await store.case(KEY)
            assert case is not None
            assert case.status is CaseStatus.OPEN
            if not crash:
                finish.set()
                await machine.wait("c1")
        if crash:
            clock.advance(LEASE_OVER)
            async with runtime(crew(hasty, tools=tools), store, clock) as machine:
                await machine.wait("c1")
        assert (await steps(store))[-2:] == [("done", "first/1/pay:(late)"), ("closed", "case")]


@pytest.mark.promise("FLOW-15")
async def test_an_approved_call_is_made_with_exactly_the_bytes_that_were_shown() -> None:
    store, staff = MemoryStore(), payer(approval="Pay this?")
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pay", "c1", Ask(7))
            row = await machine.wait("c1")
            assert [wait.kind for wait in row.waits] == [WaitKind.REVIEW]
            assert staff.performed == []
            review = (await store.reviews())[0]
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            await machine.wait("c1")
            assert [arguments for _, arguments, _ in staff.performed] == [{"n": 7}]


@pytest.mark.promise("FLOW-15")
async def test_an_edited_call_is_ruled_again_and_made_with_the_edited_bytes() -> None:
    store, staff = MemoryStore(), payer(approval="Pay this?")
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pay", "c1", Ask(7))
            await machine.wait("c1")
            review = (await store.reviews())[0]
            await machine.decide(review.id, ReviewAction.EDIT, by="ann", edited={"n": 8})
            await machine.wait("c1")
            assert [arguments for _, arguments, _ in staff.performed] == [{"n": 8}]
            assert (await entries(store, Intent))[0].edited


@pytest.mark.promise("FLOW-15")
async def test_a_rejected_call_is_never_made_and_says_who_rejected_it() -> None:
    store, staff = MemoryStore(), payer(approval="Pay this?")
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("pay", "c1", Ask(7))
            await machine.wait("c1")
            review = (await store.reviews())[0]
            await machine.decide(review.id, ReviewAction.REJECT, by="ann", reason="too much")
            await machine.wait("c1")
            assert staff.performed == []
            assert await value(store) == "rejected by ann: too much"
            assert not (await entries(store, Call))[0].verdict.allowed


async def approver(inputs: object, call: Callable[[str, object], Awaitable[object]]) -> object:
    return [await call("look", {"n": 1}), await call("pay", {"n": 2})]


async def entrusted(case: Case, inputs: Ask) -> object:
    result = await case.delegate(
        "work", {}, returns=list, goal="pay", tools=("look", "pay"), tier=RiskTier.REVERSIBLE, calls=2
    )
    return result.value


def entrusting() -> SmallStaff:
    tools = {"look": SmallTool(ok), "pay": SmallTool(ok, RiskTier.REVERSIBLE, "Pay this?")}
    return crew(entrusted, doers={"work": approver}, tools=tools)


@pytest.mark.promise("FLOW-16")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_task_whose_call_waits_for_approval_goes_on_after_it_also_in_another_process(restart: bool) -> None:
    store, first, second = MemoryStore(), entrusting(), entrusting()
    with anyio.fail_after(5):
        async with runtime(first, store) as machine:
            await machine.open("entrusted", "c1", Ask())
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            assert row.waits[0].kind is WaitKind.REVIEW
            review = (await store.reviews())[0]
            if not restart:
                await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
                await machine.wait("c1")
        if restart:
            async with runtime(second, store) as machine:
                await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
                await machine.wait("c1")
        assert await value(store) == ["done", "done"]
        assert [name for name, _, _ in first.performed + second.performed] == ["look", "pay"]
        assert len(await entries(store, Decided)) == 1


async def withdrawing(case: Case, inputs: Ask) -> object:
    task = case.delegate("work", {}, returns=list, goal="pay", tools=("look", "pay"), tier=RiskTier.REVERSIBLE)
    return await case.first(case.park("go", reason="first"), task)


@pytest.mark.promise("FLOW-16")
async def test_a_task_that_lost_takes_the_approvals_of_its_calls_back() -> None:
    store, staff = MemoryStore(), entrusting()
    staff.flows = crew(withdrawing).flows
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("withdrawing", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert [review.state for review in await store.reviews()] == ["withdrawn"]


async def pay_and_wait(case: Case, inputs: Ask) -> str:
    paid = await pay(case, inputs)
    await case.sleep(3_600)
    return paid


@pytest.mark.promise("FLOW-12", "FLOW-13")
@pytest.mark.parametrize("end", ["done", "undone"])
async def test_a_write_whose_end_is_in_the_log_is_not_asked_about_when_the_case_wakes(end: str) -> None:
    async def fail(arguments: object) -> object:
        raise Gone("it did not happen")

    async def never(arguments: object) -> object:
        raise AssertionError("nobody asks about a write whose end is known")

    store, clock = MemoryStore(), ManualClock()
    tools = {"pay": SmallTool(ok if end == "done" else fail, RiskTier.REVERSIBLE, "", never)}
    staff = crew(pay_and_wait, tools=tools)
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("pay_and_wait", "c1", Ask())
            assert (await machine.wait("c1")).status is CaseStatus.PARKED
        clock.advance(4_000)
        async with runtime(staff, store, clock) as machine:
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
    assert len(staff.performed) == 1
    assert [kind for kind, _ in await steps(store)] == ["opened", "intent", end, "timer", "fired", "closed"]
