"""Sagas in sagas, around branches and within them: each write is undone once, by whoever is left to do it."""

from collections.abc import Callable, Coroutine

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import CaseResult
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, runtime, steps, until, value
from tests.support.saga_scene import World, finish, gone


async def nested(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        async with case.saga():
            await case.call("book", {"n": 2}, returns=int)
        await case.call("mail", {"n": 3}, returns=int)


async def test_a_block_that_ended_well_is_undone_with_the_one_around_it() -> None:
    world, store = World(mail=gone()), MemoryStore()
    await finish(world.staff(nested), "nested", store)
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]


async def entered_twice(case: Case, inputs: Ask) -> str:
    saga = case.saga()
    async with saga:
        try:
            async with saga:
                return "entered"
        except RuntimeError as error:
            return str(error)


async def test_a_saga_is_for_one_block() -> None:
    store = MemoryStore()
    await finish(World().staff(entered_twice), "entered_twice", store)
    assert await value(store) == "a saga is for one block: call case.saga() for each"


async def forgiving(case: Case, inputs: Ask) -> str:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        try:
            async with case.saga():
                await case.call("book", {"n": 2}, returns=int)
                await case.call("mail", {"n": 3}, returns=int)
        except CallFailed:
            await case.call("book", {"n": 4}, returns=int)
    return "done"


async def test_a_block_that_failed_and_was_caught_is_undone_alone() -> None:
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(forgiving), "forgiving", store)
    assert closed.result is CaseResult.COMPLETED
    assert world.told == ["buy 1", "book 2", "unbook 2", "book 4"]


async def doubly(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        async with case.saga():
            await case.call("book", {"n": 2}, returns=int)
            await case.call("mail", {"n": 3}, returns=int)


async def test_an_error_that_leaves_two_blocks_undoes_each_write_once() -> None:
    world, store = World(mail=gone()), MemoryStore()
    closed = await finish(world.staff(doubly), "doubly", store)
    assert closed.result is CaseResult.FAILED
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]


async def around(case: Case, inputs: Ask) -> None:
    async def slow() -> None:
        await case.call("look", {"n": 0}, returns=int)
        await case.call("buy", {"n": 1}, returns=int)
        await case.park("never", reason="it waits")

    async def failing() -> None:
        await case.call("book", {"n": 2}, returns=int)
        await case.park("go", reason="the other one comes first")
        await case.call("mail", {"n": 3}, returns=int)

    async with case.saga():
        await case.gather(slow(), failing())


async def test_branches_within_a_block_are_undone_in_the_order_in_which_they_wrote_backwards() -> None:
    world, store = World(mail=gone()), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(around), store) as machine:
            await machine.open("around", "c1", Ask())
            await until(machine, lambda: len(world.told) == 3)
            await machine.wait("c1")
            await machine.deliver("go", by="ann")
            row = await machine.wait("c1")
    assert row.result == "failed"
    done = [each for each in world.told[:3] if not each.startswith("look")]
    assert world.told[3:] == [f"un{each}" for each in reversed(done)]


async def beside(case: Case, inputs: Ask) -> None:
    async def held() -> None:
        async with case.saga():
            await case.call("buy", {"n": 1}, returns=int)
            async with case.saga():
                await case.call("book", {"n": 2}, returns=int)
                await case.park("never", reason="it waits")

    async def failing() -> None:
        await case.park("go", reason="the other one comes first")
        await case.call("mail", {"n": 3}, returns=int)

    await case.gather(held(), failing())


async def racing(case: Case, inputs: Ask) -> int:
    async def loser() -> None:
        async with case.saga():
            await case.call("buy", {"n": 1}, returns=int)
            await case.call("book", {"n": 2}, returns=int)
            await case.park("never", reason="it waits")

    index, _ = await case.first(loser(), case.park("go", reason="it wins"))
    return index


@pytest.mark.parametrize(("flow", "result"), [(beside, "failed"), (racing, "completed")])
async def test_a_block_in_a_branch_that_is_closed_is_undone_by_whoever_joins_it(
    flow: Callable[..., Coroutine[object, object, object]], result: str
) -> None:
    world, store = World(mail=gone()), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(world.staff(flow), store) as machine:
            await machine.open(flow.__name__, "c1", Ask())
            await until(machine, lambda: len(world.told) == 2)
            await machine.wait("c1")
            await machine.deliver("go", by="ann")
            row = await machine.wait("c1")
    assert (row.status, row.result) == (CaseStatus.CLOSED, result)
    assert world.told == ["buy 1", "book 2", "unbook 2", "unbuy 1"]


async def three(case: Case, inputs: Ask) -> str:
    async with case.saga():
        await case.call("buy", {"n": 1}, returns=int)
        await case.call("book", {"n": 2}, returns=int)
        await case.call("mail", {"n": 3}, returns=int)
    return "done"


async def test_undoing_that_is_interrupted_because_its_branch_is_closed_is_taken_up_where_it_was() -> None:
    async def both(case: Case, inputs: Ask) -> None:
        async def failing() -> None:
            await case.park("go", reason="the other one comes first")
            raise_now = await case.call("look", {"n": 0}, returns=int)
            await case.call("absent", {"n": raise_now}, returns=int)

        await case.gather(three(case, inputs), failing())

    world, store = World(mail=gone()), MemoryStore()
    world.gates["unbook"] = anyio.Event()
    with anyio.fail_after(5):
        async with runtime(world.staff(both), store) as machine:
            await machine.open("both", "c1", Ask())
            await until(machine, lambda: "unbook" in world.begun)
            await machine.deliver("go", by="ann")
            await until(machine, lambda: "look 0" in world.told)
            while ("call", "gather/1/absent") not in await steps(store):
                await anyio.lowlevel.checkpoint()
            world.gates["unbook"].set()
            row = await machine.wait("c1")
    assert row.result == "failed"
    assert [each for each in world.told if each != "look 0"] == ["buy 1", "book 2", "unbook 2", "unbuy 1"]
