"""A bulkhead has so many places, gives them in order, and loses none to a cancellation."""

import anyio
import anyio.lowlevel
import pytest

from casework.actors.bulkhead import Bulkhead


async def test_no_more_go_in_than_there_are_places_and_who_came_first_goes_first() -> None:
    bulkhead, inside, order = Bulkhead(2), list[int](), list[int]()
    most = 0
    leave = [anyio.Event() for _ in range(5)]

    async def call(number: int) -> None:
        nonlocal most
        async with bulkhead:
            inside.append(number)
            order.append(number)
            most = max(most, len(inside))
            await leave[number].wait()
            inside.remove(number)

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
            async with bulkhead:
                await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            async with bulkhead:
                group.start_soon(gives_up)
                await anyio.wait_all_tasks_blocked()
                if not given:
                    scope.cancel()
                    await anyio.wait_all_tasks_blocked()
            scope.cancel()
        async with bulkhead:
            await anyio.lowlevel.checkpoint()


async def test_a_call_that_raises_gives_its_place_back() -> None:
    bulkhead = Bulkhead(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            async with bulkhead:
                raise ValueError("boom")
