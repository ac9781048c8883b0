"""Virtual time stands still until it is moved, and then everybody who waited for it runs, at the right moment."""

import anyio
import pytest

from casework.actors.testing.clock import START, CountedIds, InlineOffload, VirtualClock, quiet
from casework.runtime.seams import MICROS
from casework.runtime.timers import Timers


async def test_who_sleeps_wakes_at_the_moment_and_not_before() -> None:
    clock, woken = VirtualClock(), list[tuple[str, int]]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.wall_micros() - START))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for name, seconds in (("late", 3.0), ("soon", 1.0), ("at once", 0.0)):
                group.start_soon(sleep, name, seconds)
            await quiet()
            assert woken == [("at once", 0)]
            while (due := clock.next_due()) is not None:
                await clock.move(due)
    assert woken == [("at once", 0), ("soon", MICROS), ("late", 3 * MICROS)]


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    clock = VirtualClock()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(clock.sleep, 60.0)
            await quiet()
            assert clock.next_due() is not None
            group.cancel_scope.cancel()
    assert clock.next_due() is None


@pytest.mark.parametrize("seconds", [0.1, 0.2, 1 / 3, 86_400.7, 30 * 86_400.0, 3e8 + 0.1])
async def test_an_alarm_rings_at_its_moment_whatever_its_arithmetic_rounds_to(seconds: float) -> None:
    clock, rung = VirtualClock(), list[int]()
    timers = Timers(clock)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(timers.run)
            await clock.move(START + 123_457)
            timers.after(seconds, lambda: rung.append(clock.wall_micros()))
            await quiet()
            await clock.move(START + 123_457 + round(seconds * MICROS))
            group.cancel_scope.cancel()
    assert len(rung) == 1


async def test_time_is_not_moved_for_the_sake_of_a_heartbeat_but_it_beats_before_anybody_else_wakes() -> None:
    clock, order = VirtualClock(), list[str]()

    async def heart() -> None:
        clock.beats()
        while True:
            await clock.sleep(1)
            order.append("beat")

    async def sleeper() -> None:
        await clock.sleep(60)
        order.append("woke")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(heart)
            group.start_soon(sleeper)
            await quiet()
            assert clock.next_due() == START + 60 * MICROS
            await clock.move(START + 60 * MICROS)
            group.cancel_scope.cancel()
    assert order == ["beat", "woke"]


async def test_blocking_functions_run_where_they_are_called_and_ids_are_counted() -> None:
    with anyio.fail_after(5):
        assert await InlineOffload().run(divmod, 7, 2) == (3, 1)
    ids = CountedIds()
    assert [len(ids.new()), ids.new()] == [32, f"{2:032x}"]
