"""One runtime on a simulated node: a month of waiting, and what faults by plan bring to light."""

import gc

import anyio
import pytest
from msgspec import Struct

from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.simulation import FaultPlan, Simulation, SimulationLoop, simulate
from casework.runtime.store.base import CaseKey, CaseStatus
from tests.support.simulated_service import service
from tests.support.small_staff import SmallStaff

DAY = 86_400.0


class Nap(Struct, frozen=True):
    seconds: float


async def nap(case: Case, inputs: Nap) -> str:
    await case.sleep(inputs.seconds)
    return "rested"


def staff() -> SmallStaff:
    return SmallStaff({"nap": Flow.of(nap, inputs=Nap)})


async def napping(simulation: Simulation, seconds: float, nodes: int, ahead: float = 0.0) -> CaseStatus:
    """Open a case that sleeps, and look at it when it should have woken; all clocks but the first may be ahead."""
    asked = simulation.node("a", service(staff()))
    for number in range(1, nodes):
        simulation.node(f"b{number}", service(staff()))
    await anyio.sleep(1)
    await asked.ask(lambda runtime: _open(runtime, seconds))
    await anyio.sleep(2)
    if ahead:
        asked.jump(ahead)
    await anyio.sleep(seconds + 30)
    row = await simulation.disk.inner.case(CaseKey("default", "nap-1"))
    assert row is not None
    return row.status


async def _open(runtime: Runtime, seconds: float) -> None:
    await runtime.open("nap", "nap-1", Nap(seconds))


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_case_that_sleeps_for_thirty_days_wakes_after_a_few_thousand_steps(nodes: int) -> None:
    run = simulate(napping, 30 * DAY, nodes, plan=FaultPlan())
    assert run.value is CaseStatus.CLOSED
    assert run.seconds > 30 * DAY
    assert run.steps < 12_000


def test_nothing_of_a_run_is_kept_although_its_runtimes_never_ended() -> None:
    before = _loops()
    simulate(napping, 5.0, 2, plan=FaultPlan())
    assert _loops() <= before


def _loops() -> int:
    gc.collect()
    return sum(type(each) is SimulationLoop for each in gc.get_objects())


def test_cases_of_a_claim_that_was_not_heard_go_on() -> None:
    async def main(simulation: Simulation) -> CaseStatus:
        simulation.loop.call_later(5.0, simulation.heal)
        return await napping(simulation, 10.0, 1)

    assert simulate(main, plan=FaultPlan(unheard_claim=1.0)).value is CaseStatus.CLOSED


def test_a_node_whose_clock_is_ahead_of_the_stores_asks_for_a_due_case_now_and_then() -> None:
    run = simulate(napping, 60.0, 1, 1_800.0, plan=FaultPlan(latency_seconds=0.02))
    assert run.points["store.claim.before"] < 200
