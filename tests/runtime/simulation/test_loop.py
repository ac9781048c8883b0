"""The simulation's loop: time that jumps, an order that the seed decides, and runs that never end."""

import asyncio
import gc
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from anyio._backends._asyncio import _task_states

from casework.runtime.seams import SystemClock
from casework.runtime.simulation import Deadlock, FaultPlan, Livelock, Simulation, Uncaught, loop, simulate
from casework.runtime.timers import Timers

CALM = FaultPlan()
DAY = 86_400.0


def ran(main: Callable[[Simulation], Awaitable[object]], seed: int = 0) -> object:
    return simulate(main, seed=seed, plan=CALM).value


async def order_of_jobs(_: Simulation) -> list[int]:
    order: list[int] = []

    async def job(number: int) -> None:
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(job, number)
    return order


def test_thirty_days_of_waiting_take_a_handful_of_steps() -> None:
    async def main(_: Simulation) -> None:
        await anyio.sleep(30 * DAY)

    run = simulate(main, plan=CALM)
    assert run.seconds == 30 * DAY
    assert run.steps < 10


def test_one_seed_has_one_order_and_many_seeds_have_many() -> None:
    orders = [str(ran(order_of_jobs, seed)) for seed in range(20)]
    assert orders == [str(ran(order_of_jobs, seed)) for seed in range(20)]
    assert len(set(orders)) > 15


def test_a_step_never_goes_before_a_callback_that_was_asked_for_earlier() -> None:
    async def main(simulation: Simulation) -> list[str]:
        seen: list[str] = []

        async def job(name: str) -> None:
            seen.append(name)

        jobs = []
        for name in "abc":
            jobs.append(simulation.loop.create_task(job(name)))
            simulation.loop.call_soon(seen.append, name.upper())
        await anyio.sleep(1)
        assert all(each.done() for each in jobs)
        return seen

    for seed in range(20):
        assert ran(main, seed) == ["a", "A", "b", "B", "c", "C"]


def test_jobs_are_cancelled_in_the_order_in_which_they_came() -> None:
    async def main(_: Simulation) -> list[int]:
        found: list[int] = []
        async with anyio.create_task_group() as group:
            for _number in range(9):
                group.start_soon(anyio.sleep_forever)
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            found += [scope._host_task.number for scope in group.cancel_scope._child_scopes]  # type: ignore[attr-defined]
        return found

    jobs = ran(main)
    assert isinstance(jobs, list)
    assert jobs == sorted(jobs)
    assert len(jobs) > 8


def test_the_sets_of_other_loops_are_left_alone() -> None:
    async def main(_: Simulation) -> str:
        return type(anyio.CancelScope()._tasks).__name__  # type: ignore[attr-defined]

    async def outside() -> str:
        return type(anyio.CancelScope()._tasks).__name__  # type: ignore[attr-defined]

    assert ran(main) == "InsertionOrdered"
    assert anyio.run(outside) == "set"


def test_a_job_hashes_to_its_number() -> None:
    async def main(simulation: Simulation) -> tuple[int, int]:
        first, second = (simulation.loop.create_task(anyio.lowlevel.checkpoint()) for _ in range(2))
        await anyio.sleep(1)
        return hash(second) - hash(first), len({first, second})

    assert ran(main) == (1, 2)


def test_a_deadlock_is_found_at_once_and_names_who_waits_where() -> None:
    async def wait_for_nobody() -> None:
        await anyio.Event().wait()

    async def main(_: Simulation) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_nobody, name="the waiter")

    with pytest.raises(Deadlock) as error:
        ran(main)
    (waiter,) = [job for job in error.value.jobs if "the waiter" in job]
    assert f"{__file__}:" in waiter
    assert "wait_for_nobody" in waiter


def test_alarms_of_which_none_is_set_hide_no_deadlock() -> None:
    async def main(_: Simulation) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(Timers(SystemClock()).run, name="the alarms")

    with pytest.raises(Deadlock) as error:
        ran(main)
    assert any("the alarms" in job for job in error.value.jobs)


def test_being_busy_while_no_time_passes_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STILL_MAX", 500)

    async def main(_: Simulation) -> None:
        await anyio.sleep(5)
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(Livelock) as error:
        ran(main)
    assert error.value.steps > 500


def test_a_livelock_names_whoever_is_busy_and_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STILL_MAX", 500)

    async def busy() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    async def main(_: Simulation) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(busy)
            for _number in range(loop.BUSY_NAMED):
                group.start_soon(anyio.sleep, 5)

    with pytest.raises(Livelock) as error:
        ran(main)
    (named,) = error.value.jobs
    assert ".busy" in named


def test_being_busy_while_time_passes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STILL_MAX", 20)

    async def main(_: Simulation) -> None:
        for _number in range(100):
            await anyio.sleep(0.001)

    ran(main)


def test_an_error_that_nobody_hears_ends_the_run() -> None:
    async def main(simulation: Simulation) -> None:
        simulation.loop.call_soon(lambda: 1 / 0)
        await anyio.sleep(1)

    with pytest.raises(Uncaught, match="ZeroDivisionError"):
        ran(main)


def test_what_main_raises_comes_out_as_it_is() -> None:
    async def main(_: Simulation) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ran(main)


def test_no_garbage_is_collected_during_a_run_and_all_of_it_afterwards() -> None:
    async def main(_: Simulation) -> tuple[bool, int]:
        await anyio.sleep(1)
        return gc.isenabled(), len(asyncio.all_tasks())

    assert ran(main) == (False, 1)
    assert gc.isenabled()


def test_nothing_of_a_run_stays_in_the_table_of_jobs() -> None:
    async def main(simulation: Simulation) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(anyio.sleep_forever)
            await anyio.sleep(1)
            raise KeyError

    before = len(_task_states)
    with pytest.raises(BaseExceptionGroup):
        ran(main)

    async def leaving(simulation: Simulation) -> None:
        for _ in range(50):
            simulation.loop.create_task(anyio.sleep_forever())
        await anyio.sleep(1)

    ran(leaving)
    assert len(_task_states) <= before


def test_long_quiet_times_pass_without_every_heartbeat() -> None:
    async def main(simulation: Simulation) -> int:
        beats = 0

        async def serve(place: object) -> None:
            nonlocal beats
            clock = place.world.clock  # type: ignore[attr-defined]
            while True:
                clock.beats()
                await clock.sleep(1.0)
                beats += 1

        simulation.node("a", serve)
        await anyio.sleep(30 * DAY)
        return beats

    beats = ran(main)
    assert isinstance(beats, int)
    assert loop.BEATS_MAX <= beats < 2 * loop.BEATS_MAX
