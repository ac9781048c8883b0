"""A case opens another one whose id is somebody else's: its flow hears so as an error, and the id stays its owner's."""

import anyio
import pytest

from casework.protocols.records import Closed, Reported
from casework.runtime.errors import ChildForeign
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import Ask, crashing, crew, entries, runtime, value

CHILD = CaseKey("default", "shared")


async def child(case: Case, inputs: Ask) -> int:
    await case.park(f"go:{case.id}", reason="waits")
    return inputs.n


async def careless(case: Case, inputs: Ask) -> str:
    await case.open("child", "shared", Ask(inputs.n))
    return (await case.next_report()).status


async def careful(case: Case, inputs: Ask) -> list[str]:
    await case.open("child", "shared", Ask(inputs.n))
    try:
        await case.next_report()
    except ChildForeign as error:
        await case.park("look", reason=str(error))
        await case.open("child", f"{case.id}/own", Ask(inputs.n))
        return [error.case_id, (await case.next_report()).case_id]
    return []


FLOWS = (child, careless, careful)


@pytest.mark.promise("STORE-1")
@pytest.mark.parametrize("owner", ["a person", "another case"])
async def test_a_case_that_opens_one_of_somebody_else_fails_and_says_of_which(owner: str) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(*FLOWS)) as machine:
            if owner == "a person":
                await machine.open("child", "shared", Ask(1))
            else:
                await machine.open("careless", "owner", Ask(1))
            await machine.wait_idle()
            before = await machine.store.records(CHILD)
            await machine.open("careless", "late", Ask(2))
            row = await machine.wait("late")
            assert (row.status, row.result) == (CaseStatus.CLOSED, "failed")
            (closed,) = await entries(machine.store, Closed, row.key)
            assert closed.error == "case shared was there already, and is not below this one; nothing of it was changed"
            assert await machine.store.records(CHILD) == before
            assert await verify(machine.store) == []


@pytest.mark.promise("STORE-1")
async def test_a_flow_takes_another_id_when_one_is_somebody_elses_and_a_replay_does_the_same() -> None:
    store = MemoryStore()
    with anyio.fail_after(10):
        async with crashing(runtime(crew(*FLOWS), store)) as machine:
            await machine.open("child", "shared", Ask(1))
            await machine.wait_idle()
            await machine.open("careful", "c1", Ask(2))
            assert "not below this one" in (await machine.wait("c1")).waits[0].reason
        for node in [row.node for row in await store.cases() if row.node]:
            await store.renew(node, until=0)
        async with runtime(crew(*FLOWS), store) as machine:
            await machine.deliver("look", by="ann")
            await machine.wait_idle()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert await value(store, list[str]) == ["shared", "c1/own"]
            first, _ = await entries(store, Reported)
            assert (first.status, first.case_id) == ("foreign", "shared")


@pytest.mark.promise("STORE-1")
async def test_a_case_that_opens_its_own_case_again_hears_nothing_of_it() -> None:
    async def twice(case: Case, inputs: Ask) -> list[str]:
        await case.open("child", "shared", Ask(1))
        await case.open("child", "shared", Ask(2))
        return [(await case.next_report()).status, (await case.next_report()).status]

    with anyio.fail_after(5):
        async with runtime(crew(child, twice)) as machine:
            await machine.open("twice", "c1", Ask(1))
            await machine.wait_idle()
            await machine.deliver("go:shared", by="ann")
            await machine.wait("shared")
            await machine.wait_idle()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert await value(machine.store, list[str]) == ["parked", "closed"]
