"""A bulkhead has so many places, gives them in turn to whoever waits, and loses none to a cancellation."""

import anyio
import pytest

from casework.actors.bulkhead import Bulkhead


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
        bulkhead.leave()

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
            assert bulkhead.enter_nowait()
            group.start_soon(gives_up)
            await anyio.wait_all_tasks_blocked()
            assert bulkhead.waiting == 1
            if not given:
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
            bulkhead.leave()
            scope.cancel()
        assert bulkhead.waiting == 0
        if given:
            bulkhead.leave()
        assert bulkhead.enter_nowait()


async def test_tenants_take_turns_and_each_has_its_own_order() -> None:
    bulkhead, order = Bulkhead(1), list[str]()

    async def call(name: str) -> None:
        await bulkhead.enter(name[0])
        order.append(name)
        bulkhead.leave()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            assert bulkhead.enter_nowait()
            for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
                group.start_soon(call, name)
                await anyio.wait_all_tasks_blocked()
            bulkhead.leave()
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]
