"""Many alarms, one waiter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from casework.runtime.seams import MICROS
from casework.runtime.timers import IDLE_MAX, Timers
from tests.support.manual_clock import ManualClock


@asynccontextmanager
async def running(clock: ManualClock) -> AsyncIterator[Timers]:
    timers = Timers(clock)
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(timers.run)
        with anyio.fail_after(5):
            yield timers
        jobs.cancel_scope.cancel()


async def test_alarms_ring_in_the_order_of_their_moments_and_those_of_one_moment_as_they_were_set() -> None:
    clock, rung = ManualClock(), list[str]()
    async with running(clock) as timers:
        for name, seconds in (("b", 2.0), ("a", 1.0), ("b2", 2.0)):
            timers.after(seconds, partial(rung.append, name))
        await anyio.wait_all_tasks_blocked()
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert rung == ["a"]
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert rung == ["a", "b", "b2"]


async def test_an_earlier_alarm_set_while_a_later_one_is_waited_for_rings_first() -> None:
    clock, rung = ManualClock(), list[str]()
    async with running(clock) as timers:
        timers.after(100, lambda: rung.append("late"))
        await anyio.wait_all_tasks_blocked()
        timers.after(1, lambda: rung.append("early"))
        await anyio.wait_all_tasks_blocked()
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert rung == ["early"]


async def test_a_cancelled_alarm_does_not_ring_and_the_others_do() -> None:
    clock, rung = ManualClock(), list[str]()
    async with running(clock) as timers:
        first = timers.after(1, lambda: rung.append("first"))
        timers.after(2, lambda: rung.append("second"))
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        first.cancel()
        clock.advance(2)
        await anyio.wait_all_tasks_blocked()
        assert rung == ["second"]


class HastyClock(ManualClock):
    """Time passes with every look at it."""

    def monotonic(self) -> float:
        self._now += 0.001
        return self._now


async def test_an_alarm_that_comes_due_between_two_looks_at_the_clock_rings() -> None:
    clock, rung = HastyClock(), anyio.Event()
    async with running(clock) as timers:
        # Set while others ring: due at once, but after the moment for which alarms are being rung.
        def again() -> None:
            timers.after(0, rung.set)

        timers.after(0, again)
        await rung.wait()


async def test_an_alarm_in_the_past_rings_at_once() -> None:
    rung = anyio.Event()
    async with running(ManualClock()) as timers:
        timers.after(-5, rung.set)
        await rung.wait()


async def test_alarms_that_did_not_ring_outlive_a_run_that_was_cancelled() -> None:
    clock, rung = ManualClock(), anyio.Event()
    timers = Timers(clock)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(timers.run)
            timers.after(1, rung.set)
            await anyio.wait_all_tasks_blocked()
            jobs.cancel_scope.cancel()
        assert clock.sleeping == 0
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(timers.run)
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            await rung.wait()
            jobs.cancel_scope.cancel()


async def test_alarms_that_were_cancelled_are_not_kept_until_their_moment() -> None:
    clock, rung = ManualClock(), list[str]()
    async with running(clock) as timers:
        timers.after(1, partial(rung.append, "kept"))
        for _ in range(10 * IDLE_MAX):
            timers.after(3_600, partial(rung.append, "cancelled")).cancel()
        assert len(timers) <= IDLE_MAX + 1
        await anyio.wait_all_tasks_blocked()
        clock.advance(3_600)
        await anyio.wait_all_tasks_blocked()
        assert (rung, len(timers)) == (["kept"], 0)


async def test_alarms_whose_moments_have_passed_ring_in_their_order_not_in_that_in_which_they_were_set() -> None:
    clock, rung = ManualClock(), list[str]()
    now = clock.wall_micros()
    async with running(clock) as timers:
        for name, seconds in (("second", 10), ("first", 20), ("third", 1)):
            timers.at(now - seconds * MICROS, partial(rung.append, name))
        await anyio.wait_all_tasks_blocked()
    assert rung == ["first", "second", "third"]
