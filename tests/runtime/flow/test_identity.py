"""Steps keep their identity whatever else happens, and a replay does what the first run did."""

import dataclasses

import anyio
import anyio.lowlevel
import msgspec
import pytest

from casework.protocols.records import Drawn, Halted
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.chain import chained
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, entries, run, runtime, steps, value
from tests.support.manual_clock import ManualClock


async def twins(case: Case, inputs: Ask) -> list[str]:
    told: list[str] = []

    async def branch(name: str) -> str:
        await case.park(f"{name}-1", reason="first")
        told.append(f"{name}1")
        await case.park(f"{name}-2", reason="second")
        told.append(f"{name}2")
        await case.note(",".join(told))
        return name

    await case.gather(branch("a"), branch("b"))
    return told


@pytest.mark.promise("FLOW-1")
async def test_two_branches_with_equal_names_have_steps_of_their_own() -> None:
    _, log = await run(crew(twins), "twins")
    assert ("parked", "gather/0/park") in log
    assert ("parked", "gather/1/park") in log


@pytest.mark.promise("FLOW-2")
async def test_a_replay_feeds_results_in_log_order_and_gives_what_the_first_run_gave() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(twins), store, clock)) as machine:
            await machine.open("twins", "c1", Ask())
            await machine.wait("c1")
            for key in ("b-1", "b-2", "a-1"):
                await machine.deliver(key, by="test", value=key)
                await machine.wait("c1")
            before = await steps(store)
        clock.advance(LEASE_OVER)
        async with runtime(crew(twins), store, clock) as machine:
            await machine.deliver("a-2", by="test")
            row = await machine.wait("c1")
            assert row.status is CaseStatus.CLOSED
            assert await value(store) == ["b1", "b2", "a1", "a2"]
            assert (await steps(store))[: len(before)] == before


async def uneven(case: Case, inputs: Ask) -> list[str]:
    told: list[str] = []

    async def slow() -> None:
        await case.park("never-soon", reason="slow")

    async def fast() -> None:
        for n in range(3):
            await case.park(f"fast-{n}", reason="fast")
            await case.note(f"step {n}")

    await case.gather(slow(), fast())
    return told


@pytest.mark.promise("FLOW-1")
async def test_a_fast_branch_runs_ahead_while_a_slow_one_waits() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(uneven)) as machine:
            await machine.open("uneven", "c1", Ask())
            for n in range(3):
                await machine.wait("c1")
                await machine.deliver(f"fast-{n}", by="test")
            row = await machine.wait("c1")
            assert [wait.key for wait in row.waits] == ["never-soon"]
            assert (await steps(machine.store))[-1] == ("note" + "d", "gather/1/note#2")


async def draws(case: Case, inputs: Ask) -> list[object]:
    drawn: list[object] = [await case.now(), await case.random(), await case.new_id(), await case.random()]
    await case.park("go", reason="restart here")
    return [*drawn, await case.new_id()]


@pytest.mark.promise("FLOW-2")
async def test_time_chance_and_ids_are_the_same_on_replay() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(draws), store, clock) as machine:
            await machine.open("draws", "c1", Ask())
            await machine.wait("c1")
        clock.advance(100)
        async with runtime(crew(draws), store, clock) as machine:
            await machine.deliver("go", by="test")
            await machine.wait("c1")
            result = await value(store)
            drawn = await entries(store, Drawn)
            assert len(drawn) == 5
            assert result[0] == 1_700_000_000_000_000
            assert len(set(map(str, result))) == 5


async def changing(case: Case, inputs: Ask) -> str:
    await case.note("same")
    await case.park("go", reason="restart here")
    return "first"


async def changed(case: Case, inputs: Ask) -> str:
    await case.note("different")
    await case.park("go", reason="restart here")
    return "second"


@pytest.mark.promise("FLOW-5")
async def test_a_flow_that_does_something_else_than_its_log_parks_with_the_first_difference() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(changing), store) as machine:
            await machine.open("changing", "c1", Ask())
            await machine.wait("c1")
        other = crew(changing)
        same_hash = dataclasses.replace(Flow.of(changing, inputs=Ask), function=changed)
        other.flows = {"changing": same_hash}
        async with runtime(other, store) as machine:
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert "ReplayMismatch: record 1 is noted at step note" in row.waits[0].reason
        async with runtime(crew(changing), store) as machine:
            await machine.deliver("operator:c1", by="operator")
            row = await machine.wait("c1")
            assert row.status is CaseStatus.CLOSED, row.waits
            assert await value(store) == "first"


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("what", ["version", "source_hash", "name"])
async def test_a_case_of_another_version_source_or_flow_parks_naming_both(what: str) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(changing), store) as machine:
            await machine.open("changing", "c1", Ask())
            await machine.wait("c1")
        flow = Flow.of(changing, inputs=Ask)
        other = crew(changing)
        other.flows = {
            "version": {"changing": dataclasses.replace(flow, version="2")},
            "source_hash": {"changing": dataclasses.replace(flow, source_hash="other")},
            "name": {"another": flow},
        }[what]
        async with runtime(other, store) as machine:
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
            reason = row.waits[0].reason
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert f"1/{flow.source_hash}" in reason if what != "name" else "has no flow of that name" in reason
            assert {"version": "2/", "source_hash": "/other", "name": "changing"}[what] in reason
            assert len(await entries(store, Halted)) == 1


@pytest.mark.promise("FLOW-6")
async def test_a_log_that_cannot_be_read_parks_the_case() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(changing), store) as machine:
            await machine.open("changing", "c1", Ask())
            await machine.wait("c1")
        future(store)
        async with runtime(crew(changing), store) as machine:
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert "FrameUnknown" in row.waits[0].reason


def future(store: MemoryStore) -> None:
    """Have a record be of a kind that only a later version knows."""
    kept = store._cases[KEY]
    kept.records[1] = msgspec.structs.replace(kept.records[1], frame=b"\x81\xa4type\xa6future")
    head = kept.records[0].hash
    for place in range(1, len(kept.records)):
        head = chained(head, KEY, kept.records[place])
        kept.records[place] = msgspec.structs.replace(kept.records[place], hash=head)
    kept.row = msgspec.structs.replace(kept.row, head=head)


async def foreign(case: Case, inputs: Ask) -> None:
    async def astray() -> None:
        await anyio.lowlevel.checkpoint()

    await case.gather(case.park("key", reason="waits"), astray())


@pytest.mark.promise("FLOW-8")
async def test_awaiting_anything_else_parks_the_case_visibly_and_others_go_on() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(foreign, changing)) as machine:
            await machine.open("foreign", "c1", Ask())
            await machine.open("changing", "c2", Ask())
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert "await operations of `case` only" in row.waits[0].reason
            await machine.wait("c2")
            await machine.deliver("go", by="test")
            assert (await machine.wait("c2")).status is CaseStatus.CLOSED


async def refused_twice(case: Case, inputs: Ask) -> list[str]:
    async def branch(name: str) -> str:
        try:
            await case.call("absent", {"name": name}, returns=str)
        except CallFailed as error:
            await case.note(f"{name}: {type(error).__name__}")
        return name

    told = await case.gather(branch("a"), branch("b"))
    await case.park("go", reason="restart here")
    return told


@pytest.mark.promise("FLOW-2")
async def test_what_a_branch_causes_is_written_before_another_branch_goes_on() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(refused_twice), store) as machine:
            await machine.open("refused_twice", "c1", Ask())
            await machine.wait("c1")
            kinds = [kind for kind, _ in await steps(store)]
            assert kinds == ["opened", "call", "noted", "call", "noted", "parked"]
        async with runtime(crew(refused_twice), store) as machine:
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
            assert row.status is CaseStatus.CLOSED, row.waits
