"""Sagas: what was written in a block that fails is undone, newest first, or a person is told what stands."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import CaseResult, Intent, Partial, ReviewAction
from casework.protocols.wire import NIL, OnStop, RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, entries, runtime, steps, until, value
from tests.support.manual_clock import ManualClock
from tests.support.saga_scene import World, decided, finish, gone, lost, partial


async def three(case: Case, inputs: Ask) -> str:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        await case.call("book", {"n": 2}, returns=int)
        await case.call("mail", {"n": 3}, returns=int)
    return "done"


@pytest.mark.promise("SAGA-1")
async def test_what_was_written_in_a_block_that_fails_is_undone_newest_first_and_the_error_goes_on() -> None:
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(three), "three", store)
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]
    assert (closed.result, closed.error) == (CaseResult.FAILED, "tool 'mail' failed (error): the world said no")
    assert await steps(store) == [
        ("opened", "case"),
        *((kind, f"saga/{step}") for step in ("buy", "book") for kind in ("intent", "done")),
        ("intent", "saga/mail"),
        ("undone", "saga/mail"),
        ("reckoned", "saga/undo/reckon"),
        ("timer", "saga/undo/first/1/timer"),
        *((kind, f"saga/undo/first/0/un{step}") for step in ("book", "buy") for kind in ("intent", "done")),
        ("won", "saga/undo/first"),
        ("reckoned", "undo/reckon"),
        ("closed", "case"),
    ]
    undoes = [intent.undoes for intent in await entries(store, Intent)]
    assert undoes == ["", "", "", "saga/book", "saga/buy"]


async def test_a_block_that_ends_well_records_nothing_of_itself() -> None:
    world, store = World(), MemoryStore()
    closed = await finish(world.staff(three), "three", store)
    assert closed.result is CaseResult.COMPLETED
    assert [kind for kind, _ in await steps(store)] == ["opened", *["intent", "done"] * 3, "closed"]


async def wrong(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        raise ValueError("a mistake of the flow")


async def test_any_error_of_the_flow_has_its_block_undone() -> None:
    world, store = World(), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(wrong), store) as machine:
            await machine.open("wrong", "c1", Ask())
            row = await machine.wait("c1")
    assert world.told == ["buy 1", "unbuy 1"]
    assert row.waits[0].reason == "ValueError: a mistake of the flow"


async def entrusted(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        await case.delegate(
            "work", {}, returns=int, goal="write", tools=("book", "mail"), tier=RiskTier.REVERSIBLE, on_stop=OnStop.FAIL
        )


async def writer(inputs: object, call: Callable[[str, object], Awaitable[object]]) -> object:
    return [await call("book", {"n": 2}), await call("mail", {"n": 3})]


@pytest.mark.promise("SAGA-1")
async def test_what_agents_wrote_in_tasks_of_the_block_is_undone_as_well() -> None:
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(entrusted, doers={"work": writer}), "entrusted", store)
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]
    assert closed.error.startswith("task 'work' failed")


async def paying(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        await case.call("pay", {"n": 2}, returns=int)
        await case.call("mail", {"n": 3}, returns=int)


@pytest.mark.promise("SAGA-3")
async def test_after_what_nothing_undoes_the_case_is_partial_and_closes_only_when_a_person_has_decided() -> None:
    world, store = World(mail=gone()), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(paying), store) as machine:
            await machine.open("paying", "c1", Ask())
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            (review,) = await store.reviews(state="open")
            assert review.title == "Partly done: 1 done, 1 undone, 0 unknown"
            row = await decided(machine, store)
    assert (row.status, row.result) == (CaseStatus.CLOSED, "partial")
    assert world.told == ["buy 1", "pay 2", "unbuy 1"]
    (account,) = await entries(store, Partial)
    (intent,) = [intent for intent in await entries(store, Intent) if intent.tool == "pay"]
    assert [(each.step_id, each.tool, each.key, each.why) for each in account.done] == [
        ("saga/pay", "pay", intent.key, "no tool undoes pay")
    ]
    assert await partial(store) == {"done": ["saga/pay"], "undone": ["saga/buy"], "unknown": []}


@pytest.mark.promise("SAGA-3")
async def test_an_undo_that_fails_does_not_stop_the_others_and_is_told_to_a_person() -> None:
    world, store = World(mail=gone(), unbook=gone()), MemoryStore()
    closed = await finish(world.staff(three), "three", store)
    assert world.told == ["buy 1", "book 2", "unbuy 1"]
    assert (closed.result, closed.error) == (CaseResult.PARTIAL, "tool 'mail' failed (error): the world said no")
    assert await partial(store) == {"done": ["saga/book"], "undone": ["saga/buy"], "unknown": []}
    (account,) = await entries(store, Partial)
    assert account.done[0].why == "tool 'unbook' failed (error): the world said no"


async def test_an_undo_that_is_known_to_have_failed_is_tried_again_under_a_new_key() -> None:
    world, store = World(mail=gone(), unbook=gone(1)), MemoryStore()
    closed = await finish(world.staff(three, undo_delays=(0.0, 0.0)), "three", store)
    assert closed.result is CaseResult.FAILED
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]
    keys = [intent.key for intent in await entries(store, Intent) if intent.undoes == "saga/book"]
    assert len(set(keys)) == len(keys) == 2


async def test_an_undo_is_tried_as_often_as_its_rules_say_and_no_more() -> None:
    world, store = World(mail=gone(), unbook=gone()), MemoryStore()
    await finish(world.staff(three, undo_delays=(0.0, 0.0)), "three", store)
    assert world.begun.count("unbook") == 3


@pytest.mark.parametrize(("action", "result"), [(ReviewAction.APPROVE, "failed"), (ReviewAction.REJECT, "partial")])
async def test_an_undo_that_wants_an_approval_waits_for_it_and_is_not_made_without(
    action: ReviewAction, result: str
) -> None:
    world, store = World(mail=gone()), MemoryStore()
    staff = world.staff(three)
    tools = {**staff.tools, "unbook": replace(staff.tools["unbook"], approval="Really?")}
    with anyio.fail_after(5):
        async with runtime(replace(staff, tools=tools), store) as machine:
            await machine.open("three", "c1", Ask())
            row = await decided(machine, store, action, rule="test")
            if result == "partial":
                assert world.told == ["buy 1", "book 2", "unbuy 1"]
                row = await decided(machine, store)
            else:
                assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]
    assert (row.status, row.result) == (CaseStatus.CLOSED, result)


@pytest.mark.promise("SAGA-3")
async def test_a_person_who_rejects_what_stands_has_it_tried_once_more() -> None:
    world, store = World(mail=gone(), unbook=gone(1)), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(three), store) as machine:
            await machine.open("three", "c1", Ask())
            row = await decided(machine, store, ReviewAction.REJECT)
    assert (row.status, row.result) == (CaseStatus.CLOSED, "failed")
    assert world.told == ["buy 1", "book 2", "unbuy 1", "unbook 2"]


async def caught(case: Case, inputs: Ask) -> str:
    try:
        await paying(case, inputs)
    except CallFailed:
        return "it did not work out"
    return "it did"


@pytest.mark.promise("SAGA-3")
async def test_a_flow_that_goes_on_after_what_stands_was_accepted_closes_as_partial_with_its_value() -> None:
    world, store = World(mail=gone()), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(caught), store) as machine:
            await machine.open("caught", "c1", Ask())
            row = await decided(machine, store)
            assert row.result == "partial"
    assert await value(store) == "it did not work out"


# A cancel.


@pytest.mark.promise("SAGA-2")
async def test_a_cancel_undoes_the_block_and_finds_out_first_what_became_of_a_write_under_way() -> None:
    world, store = World(book=lost()), MemoryStore()
    world.gates["book"] = anyio.Event()
    with anyio.fail_after(5):
        async with runtime(world.staff(three), store) as machine:
            await machine.open("three", "c1", Ask())
            await until(machine, lambda: "book" in world.begun)
            await machine.cancel("c1", by="ann", reason="enough")
            while ("cancel", "case") not in await steps(store):
                await anyio.lowlevel.checkpoint()
            world.gates["book"].set()
            row = await decided(machine, store, rule="effect.unknown")
    assert (row.status, row.result) == (CaseStatus.CLOSED, "cancelled")
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]


@pytest.mark.promise("SAGA-2")
async def test_a_cancel_does_not_interrupt_undoing_and_goes_on_after_it() -> None:
    world, store = World(mail=gone()), MemoryStore()
    world.gates["unbook"] = anyio.Event()
    with anyio.fail_after(5):
        async with runtime(world.staff(three), store) as machine:
            await machine.open("three", "c1", Ask())
            await until(machine, lambda: "unbook" in world.begun)
            await machine.cancel("c1", by="ann", reason="enough")
            while ("cancel", "case") not in await steps(store):
                await anyio.lowlevel.checkpoint()
            world.gates["unbook"].set()
            row = await machine.wait("c1")
    assert (row.status, row.result) == (CaseStatus.CLOSED, "cancelled")
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]


@pytest.mark.promise("SAGA-2")
async def test_a_cancel_does_not_take_the_question_about_what_stands_back_for_good() -> None:
    world, store = World(mail=gone()), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(paying), store) as machine:
            await machine.open("paying", "c1", Ask())
            assert (await machine.wait("c1")).status is CaseStatus.PARKED
            await machine.cancel("c1", by="ann", reason="enough")
            while ("cancel", "case") not in await steps(store):
                await anyio.lowlevel.checkpoint()
            row = await decided(machine, store)
    assert (row.status, row.result) == (CaseStatus.CLOSED, "partial")
    assert [review.state for review in await store.reviews()] == ["withdrawn", "decided"]


async def test_undoing_ends_in_time_whatever_the_world_does_and_says_what_nobody_knows() -> None:
    world, store, clock = World(mail=gone()), MemoryStore(), ManualClock()
    world.gates["unbook"] = anyio.Event()
    with anyio.fail_after(5):
        async with runtime(world.staff(three), store, clock) as machine:
            await machine.open("three", "c1", Ask())
            await until(machine, lambda: "unbook" in world.begun)
            clock.advance(3_600)
            while not await store.reviews(state="open"):
                await anyio.lowlevel.checkpoint()
            assert await partial(store) == {"done": ["saga/buy"], "undone": [], "unknown": ["saga/book"]}
            world.gates["unbook"].set()
            row = await decided(machine, store)
    assert (row.status, row.result) == (CaseStatus.CLOSED, "partial")


# Without a saga.


async def bare(case: Case, inputs: Ask) -> None:
    await case.call("buy", {"n": 1}, returns=int)
    await case.call("mail", {"n": 3}, returns=int)


@pytest.mark.promise("SAGA-3")
async def test_a_flow_that_fails_after_a_write_outside_of_any_block_closes_as_partial_after_a_person_has_seen_it() -> (
    None
):
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(bare), "bare", store)
    assert (closed.result, closed.error) == (CaseResult.PARTIAL, "tool 'mail' failed (error): the world said no")
    assert world.told == ["buy 1"]
    assert await partial(store) == {"done": ["buy"], "undone": [], "unknown": []}


async def patient(case: Case, inputs: Ask) -> None:
    await case.call("buy", {"n": 1}, returns=int)
    await case.park("never", reason="it waits")


@pytest.mark.promise("SAGA-3")
async def test_a_case_that_is_cancelled_after_a_write_outside_of_any_block_is_partial_as_well() -> None:
    world, store = World(), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(patient), store) as machine:
            await machine.open("patient", "c1", Ask())
            await machine.wait("c1")
            await machine.cancel("c1", by="ann", reason="enough")
            while not await store.reviews(state="open"):
                await anyio.lowlevel.checkpoint()
            row = await decided(machine, store, ReviewAction.REJECT)
    assert (row.status, row.result) == (CaseStatus.CLOSED, "cancelled")
    assert world.told == ["buy 1", "unbuy 1"]


async def harmless(case: Case, inputs: Ask) -> None:
    await case.call("look", {"n": 1}, returns=int)
    await case.call("mail", {"n": 3}, returns=int)


@pytest.mark.promise("SAGA-3")
async def test_a_flow_that_fails_before_any_write_closes_as_failed() -> None:
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(harmless), "harmless", store)
    assert closed.result is CaseResult.FAILED
    assert [kind for kind, _ in await steps(store)] == ["opened", "call", "intent", "undone", "reckoned", "closed"]


async def refused(case: Case, inputs: Ask) -> None:
    await case.call("absent", {"n": 1}, returns=int)


async def test_a_flow_that_cannot_have_written_anything_is_not_even_asked() -> None:
    store = MemoryStore()
    closed = await finish(World().staff(refused), "refused", store)
    assert closed.result is CaseResult.FAILED
    assert [kind for kind, _ in await steps(store)] == ["opened", "call", "closed"]


async def turning(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.next_chapter(Ask(1))


async def test_a_chapter_does_not_begin_within_a_block() -> None:
    world, store = World(), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(turning), store) as machine:
            await machine.open("turning", "c1", Ask())
            row = await machine.wait("c1")
    assert "outside gather and first, and of sagas" in row.waits[0].reason


async def going_on(case: Case, inputs: Ask) -> int:
    if inputs.n == 0:
        try:
            async with case.saga():
                await case.call("pay", {"n": 1}, returns=int)
                await case.call("mail", {"n": 2}, returns=int)
        except CallFailed:
            await case.next_chapter(Ask(1))
    if inputs.n == 1:
        await case.next_chapter(Ask(2))
    return await case.call("look", {"n": 3}, returns=int)


@pytest.mark.promise("SAGA-3")
@pytest.mark.parametrize("look", [[], gone()])
async def test_what_was_accepted_as_it_stands_makes_the_case_partial_in_later_chapters_too(look: list[Any]) -> None:
    world, store = World(mail=gone(), look=look), MemoryStore()
    closed = await finish(world.staff(going_on), "going_on", store)
    assert closed.result is CaseResult.PARTIAL
    assert (bytes(closed.value) == bytes(NIL), bool(closed.error)) == (bool(look), bool(look))
