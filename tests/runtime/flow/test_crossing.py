"""A decision, and the case that takes its question back, cross on their way: the log tells of both."""

import anyio
import pytest

from casework.protocols.records import Noted, ReviewAction, Withdrawn
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.fold import fold
from casework.runtime.review import view_of
from casework.runtime.store.base import DecisionRefused, DecisionTaken
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime, steps, until
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Caller, SmallTool


async def either(case: Case, inputs: Ask) -> None:
    await case.first(case.review("look", {"n": 1}, rule="test"), case.park("go", reason="or that"))
    await case.park("end", reason="still here")


async def either_and_end(case: Case, inputs: Ask) -> None:
    await case.first(case.review("look", {"n": 1}, rule="test"), case.park("go", reason="or that"))


async def either_call(case: Case, inputs: Ask) -> None:
    await case.first(case.call("pay", {}, returns=str), case.park("go", reason="or that"))


async def either_task(case: Case, inputs: Ask) -> None:
    task = case.delegate("work", {}, returns=str, goal="pay", tools=("pay",), tier=RiskTier.REVERSIBLE, calls=1)
    await case.first(task, case.park("go", reason="or that"))


async def ok(arguments: object) -> str:
    return "paid"


async def work(inputs: object, call: Caller) -> object:
    return await call("pay", {})


@pytest.mark.promise("FLOW-29")
@pytest.mark.parametrize("flow", [either, either_and_end, either_call, either_task])
async def test_a_decision_taken_while_its_case_withdraws_the_question_is_told_in_the_log(flow: object) -> None:
    store, pay = OddStore(), SmallTool(ok, RiskTier.REVERSIBLE, "Pay this?")
    staff = crew(either, either_and_end, either_call, either_task, doers={"work": work}, tools={"pay": pay})
    with anyio.fail_after(5):
        async with runtime(staff, store, ManualClock()) as machine:
            await machine.open(flow.__name__, "c1", Ask())  # type: ignore[attr-defined]
            await machine.wait("c1")
            review = (await store.reviews())[0]
            store.deafen()
            await machine.deliver("go", by="test")
            # Both are in the inbox before the case hears of either, so that both are read at once.
            decided = await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            assert isinstance(decided, DecisionTaken)
            store.hear()
            await machine.wait_idle()
            assert len(await entries(store, Withdrawn)) == 1
            assert staff.performed == []
            assert ["decision came when nothing waited" in note.text for note in await entries(store, Noted)] == [True]


@pytest.mark.promise("FLOW-29")
async def test_a_decision_taken_before_a_withdrawal_is_durable_is_told_in_the_log() -> None:
    store = OddStore()
    with anyio.fail_after(5):
        async with runtime(crew(either), store, ManualClock()) as machine:
            await machine.open("either", "c1", Ask())
            await machine.wait("c1")
            review = (await store.reviews())[0]
            store.hold()
            count = len(store.appends)
            await machine.deliver("go", by="test")
            await until(machine, lambda: len(store.appends) > count)
            assert isinstance(await machine.decide(review.id, ReviewAction.APPROVE, by="ann"), DecisionTaken)
            store.let_go()
            await machine.wait_idle()
            assert [state.state for state in await store.reviews()] == ["withdrawn"]
            assert ["decision came when nothing waited" in note.text for note in await entries(store, Noted)] == [True]


@pytest.mark.promise("STORE-7")
async def test_a_decision_taken_while_its_case_closes_shows_as_one_that_the_case_did_not_hear() -> None:
    store = OddStore()
    with anyio.fail_after(5):
        async with runtime(crew(either_and_end), store, ManualClock()) as machine:
            await machine.open("either_and_end", "c1", Ask())
            await machine.wait("c1")
            review = (await store.reviews())[0]
            store.hold()
            count = len(store.appends)
            await machine.deliver("go", by="test")
            await until(machine, lambda: len(store.appends) > count)
            assert isinstance(await machine.decide(review.id, ReviewAction.APPROVE, by="ann"), DecisionTaken)
            store.let_go()
            await machine.wait_idle()
            # The log is closed and has no word of it, so neither does the queue say that it was decided.
            (late,) = await store.reviews()
            assert (late.state, view_of(late).decision is not None) == ("withdrawn", True)
            assert [each.state for each in fold(KEY, await store.records(KEY)).reviews] == ["withdrawn"]
            assert (await steps(store))[-1] == ("closed", "case")
            again = await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            assert again == DecisionRefused("withdrawn", late)
