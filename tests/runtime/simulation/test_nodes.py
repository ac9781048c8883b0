"""Several nodes in one process: killed, stopped, started again, and spoken to over a net that loses and doubles."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.simulation import FaultPlan, Place, SimulatedNode, Simulation, Unreachable, simulate
from casework.runtime.simulation.process import Phase

Log = list[str]


def run(main: Callable[[Simulation], Awaitable[object]], plan: FaultPlan | None = None, seed: object = 0) -> object:
    return simulate(main, seed=seed, plan=plan or FaultPlan(down_seconds=0.0)).value


def counting(log: Log) -> Callable[[Place[Log]], Awaitable[None]]:
    """Make a service that writes down each second of its life, and whatever it is let do at its end."""

    async def serve(place: Place[Log]) -> None:
        place.ready(log)
        try:
            while True:
                log.append(f"{place.world.clock.monotonic():g}")
                await place.world.clock.sleep(1.0)
        finally:
            log.append("finally")

    return serve


def test_a_killed_process_runs_nothing_any_more_not_even_its_finally() -> None:
    async def main(simulation: Simulation) -> Log:
        log: Log = []
        node = simulation.node("a", counting(log))
        await anyio.sleep(2.5)
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        node.kill()
        await anyio.sleep(10)
        return list(log)

    assert run(main) == ["0", "1", "2"]


def test_a_process_can_be_killed_before_any_of_its_steps() -> None:
    async def main(simulation: Simulation, dies_at: int) -> tuple[Log, int]:
        log: Log = []

        async def serve(place: Place[Log]) -> None:
            try:
                async with anyio.create_task_group() as group:
                    for number in range(3):
                        group.start_soon(step, place, number)
            finally:
                log.append("finally")

        async def step(place: Place[Log], number: int) -> None:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            log.append(str(number))

        node = SimulatedNode(simulation._ground, "a", serve)
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        node.start()
        process = node.process
        assert process is not None
        process.dies_at = dies_at
        await anyio.sleep(1)
        assert (process.phase is Phase.DEAD) == (dies_at <= process.steps)
        return list(log), process.steps

    whole, steps = simulate(main, 10_000, plan=FaultPlan()).value
    assert sorted(whole[:3]) == ["0", "1", "2"]
    assert whole[3] == "finally"
    for dies_at in range(1, steps + 1):
        log, _ = simulate(main, dies_at, plan=FaultPlan()).value
        assert "finally" not in log
        assert log == whole[: len(log)]


def test_a_process_that_kills_itself_at_a_point_goes_no_further_than_to_its_next_wait() -> None:
    async def main(simulation: Simulation) -> Log:
        log: Log = []

        async def serve(place: Place[Log]) -> None:
            assert place.world.faults is not None
            place.world.faults.point("here")
            log.append("before the wait")
            await anyio.lowlevel.checkpoint()
            log.append("after it")

        simulation.mischief.points._kills = lambda name: name == "here"
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        simulation.node("a", serve)
        await anyio.sleep(10)
        return log

    assert run(main) == ["before the wait"]


def test_a_stopped_process_does_afterwards_what_it_was_about_to_do() -> None:
    async def main(simulation: Simulation) -> Log:
        log: Log = []
        node = simulation.node("a", counting(log))
        await anyio.sleep(2.5)
        node.pause(10.0)
        await anyio.sleep(5)
        assert log == ["0", "1", "2"]
        await anyio.sleep(7)
        return list(log)

    assert run(main) == ["0", "1", "2", "12.5", "13.5"]


def test_a_process_that_is_killed_while_it_stands_still_does_nothing_afterwards() -> None:
    async def main(simulation: Simulation) -> Log:
        log: Log = []
        node = simulation.node("a", counting(log))
        await anyio.sleep(0.5)
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        node.pause(2.0)
        node.kill()
        await anyio.sleep(20)
        return list(log)

    assert run(main) == ["0"]


def test_other_nodes_go_on_while_one_is_killed() -> None:
    async def main(simulation: Simulation) -> tuple[Log, Log]:
        mine: Log = []
        others: Log = []
        simulation.node("a", counting(mine))
        simulation.node("b", counting(others))
        await anyio.sleep(1.5)
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        simulation.nodes["a"].kill()
        await anyio.sleep(2)
        return list(mine), list(others)

    assert run(main) == (["0", "1"], ["0", "1", "2", "3"])


def test_a_killed_node_is_started_again_with_other_ids() -> None:
    async def main(simulation: Simulation) -> Log:
        ids: Log = []

        async def serve(place: Place[Log]) -> None:
            ids.append(place.world.ids.new())
            await anyio.sleep_forever()

        node = simulation.node("a", serve)
        await anyio.sleep(1)
        node.kill()
        await anyio.sleep(1)
        return ids

    ids = run(main)
    assert isinstance(ids, list)
    assert len(set(ids)) == 2


def test_one_more_draw_from_a_stream_shifts_no_other() -> None:
    async def main(simulation: Simulation, more: int) -> tuple[float, str, float]:
        found: list[tuple[float, str, float]] = []

        async def serve(place: Place[Log]) -> None:
            for _ in range(more):
                place.world.randomness.stream("one").random()
                place.world.ids.new()
                simulation.mischief.strikes("loss")
            other = place.world.randomness.stream("other").random()
            found.append((other, "", simulation.mischief.seconds("delay_seconds")))

        simulation.node("a", serve)
        await anyio.sleep(1)
        return found[0]

    plan = FaultPlan(loss=0.5, delay_seconds=1.0)
    assert simulate(main, 0, plan=plan).value == simulate(main, 9, plan=plan).value


def test_a_machine_may_believe_in_another_time_while_seconds_stay_seconds() -> None:
    async def main(simulation: Simulation) -> tuple[int, float]:
        clocks = []

        async def serve(place: Place[Log]) -> None:
            clocks.append(place.world.clock)
            await anyio.sleep_forever()

        node = simulation.node("a", serve)
        await anyio.sleep(1)
        before = clocks[0].wall_micros(), clocks[0].monotonic()
        node.jump(-3_600.0)
        return clocks[0].wall_micros() - before[0], clocks[0].monotonic() - before[1]

    assert run(main) == (-3_600_000_000, 0.0)


def test_the_service_that_ends_with_an_error_ends_the_run() -> None:
    async def main(simulation: Simulation) -> None:
        async def serve(place: Place[Log]) -> None:
            raise KeyError("mine")

        simulation.node("a", serve)
        await anyio.sleep(1)

    with pytest.raises(Exception, match="mine"):
        run(main)


async def asked(simulation: Simulation, times: int) -> tuple[int, int]:
    """Ask a node so often; give how many answers came, and how often it was done."""
    done: Log = []

    async def serve(place: Place[Log]) -> None:
        place.ready(done)
        await anyio.sleep_forever()

    async def request(log: Log) -> int:
        log.append("done")
        return len(log)

    node = simulation.node("a", serve)
    await anyio.sleep(1)
    answers = 0
    for _ in range(times):
        try:
            await node.ask(request)
            answers += 1
        except Unreachable:
            pass
    await anyio.sleep(60)
    return answers, len(done)


def test_a_request_is_answered_once_where_nothing_goes_wrong() -> None:
    assert simulate(asked, 20, plan=FaultPlan()).value == (20, 20)


def test_a_lost_request_is_not_done() -> None:
    assert simulate(asked, 5, plan=FaultPlan(loss=1.0)).value == (0, 0)


def test_a_doubled_request_is_done_twice_and_answered_once() -> None:
    assert simulate(asked, 5, plan=FaultPlan(duplication=1.0)).value == (5, 10)


def test_a_request_may_be_done_although_its_answer_is_lost() -> None:
    answers, done = simulate(asked, 100, plan=FaultPlan(loss=0.5, heal_seconds=1e6)).value
    assert 5 < answers < done < 80


def test_what_a_request_raises_is_told_to_whoever_asked() -> None:
    async def main(simulation: Simulation) -> None:
        async def serve(place: Place[Log]) -> None:
            place.ready([])
            await anyio.sleep_forever()

        async def request(log: Log) -> None:
            raise KeyError("mine")

        node = simulation.node("a", serve)
        await anyio.sleep(1)
        with pytest.raises(KeyError, match="mine"):
            await node.ask(request)

    run(main)


def test_a_dead_node_gives_no_answer() -> None:
    async def main(simulation: Simulation) -> None:
        async def serve(place: Place[Log]) -> None:
            place.ready([])
            await anyio.sleep_forever()

        node = simulation.node("a", serve)
        await anyio.sleep(1)
        simulation.mischief.plan = FaultPlan(down_seconds=1e9)
        node.kill()
        with pytest.raises(Unreachable):
            await node.ask(lambda log: anyio.lowlevel.checkpoint())

    run(main)
