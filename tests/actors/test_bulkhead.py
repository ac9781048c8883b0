"""A bulkhead has so many places, gives them in turn to whoever waits, and loses none to a cancellation."""

import anyio
import pytest

from casework.actors.bulkhead import Bulkhead
from casework.actors.fairness import LATELY


async def test_no_more_go_in_than_there_are_places_and_who_came_first_goes_first() -> None:
    bulkhead, inside, order = Bulkhead(2), list[int](), list[int]()
    most = 0
    leave = [anyio.Event() for _ in range(5)]

    async def call(number: int) -> None:
        nonlocal most
        await bulkhead.enter("ann")
        inside.append(number)
        order.append(number)
        most = max(most, len(inside))
        await leave[number].wait()
        inside.remove(number)
        bulkhead.leave("ann")

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()
        for number in (1, 0, 2, 3, 4):
            leave[number].set()
            await anyio.wait_all_tasks_blocked()
    assert (most, order) == (2, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("given", [False, True], ids=["waiting", "given a place at that moment"])
async def test_who_is_cancelled_takes_no_place_with_it(given: bool) -> None:
    bulkhead = Bulkhead(1)
    scope = anyio.CancelScope()

    async def gives_up() -> None:
        with scope:
            await bulkhead.enter("ann")
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            assert bulkhead.enter_nowait("ann")
            group.start_soon(gives_up)
            await anyio.wait_all_tasks_blocked()
            assert bulkhead.waiting == 1
            if not given:
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
            bulkhead.leave("ann")
            scope.cancel()
        assert bulkhead.waiting == 0
        if given:
            bulkhead.leave("ann")
        assert bulkhead.enter_nowait("ann")


async def test_tenants_take_turns_and_each_has_its_own_order() -> None:
    bulkhead, order = Bulkhead(1), list[str]()

    async def call(name: str) -> None:
        await bulkhead.enter(name[0])
        order.append(name)
        bulkhead.leave(name[0])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            assert bulkhead.enter_nowait("ann")
            for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
                group.start_soon(call, name)
                await anyio.wait_all_tasks_blocked()
            bulkhead.leave("ann")
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_while_another_tenant_is_about_none_gets_the_last_place_and_alone_it_gets_all() -> None:
    alone, shared = Bulkhead(3), Bulkhead(3)
    assert [alone.enter_nowait("ann") for _ in range(4)] == [True, True, True, False]
    assert shared.enter_nowait("ben")
    shared.leave("ben")
    assert [shared.enter_nowait("ann") for _ in range(3)] == [True, True, False]
    assert shared.enter_nowait("ben")


def test_a_tenant_that_was_not_seen_for_long_keeps_nobody_from_the_last_place() -> None:
    bulkhead = Bulkhead(2)
    for tenant in ("ben", *["ann"] * (LATELY + 1)):
        assert bulkhead.enter_nowait(tenant)
        bulkhead.leave(tenant)
    assert [bulkhead.enter_nowait("ann") for _ in range(2)] == [True, True]


async def test_whoever_waits_for_the_last_place_does_not_keep_another_tenant_from_it() -> None:
    bulkhead, order = Bulkhead(2), list[str]()

    async def call(name: str) -> None:
        await bulkhead.enter(name[0])
        order.append(name)
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            assert bulkhead.enter_nowait("b")
            for name in ("a1", "a2", "a3"):
                group.start_soon(call, name)
                await anyio.wait_all_tasks_blocked()
            bulkhead.leave("b")
            await anyio.wait_all_tasks_blocked()
            assert order == ["a1"]
            group.start_soon(call, "b1")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert order == ["a1", "b1"]
