"""One seed of a crew: its real staff on several nodes, its world and its people, faults by plan, and the verdict.

    report = run_seed(crew, 17)
    report.violations

First everything goes wrong that the plan says; then nothing does any more, and everything must come to its end, or
wait for something that has a name. Only then is it judged. The same seed, plan and code give the same digest, in any
process. It does not know how seeds are chosen, nor how a plan is made smaller.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from casework.actors.crew import Crew
from casework.actors.simulation.builtin import BUILT_IN
from casework.actors.simulation.effects import Effects
from casework.actors.simulation.finished import Finished, finish
from casework.actors.simulation.people import People
from casework.actors.simulation.report import SeedReport, Violation
from casework.actors.simulation.scenario import Invariant, Scenario, invariants_of, load_scenario, stubs_of
from casework.actors.simulation.wired import Service, WatchedCrew, wired
from casework.protocols.wire import Task
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.errors import StoreUnavailable
from casework.runtime.runtime import Runtime
from casework.runtime.seams import MICROS
from casework.runtime.simulation.errors import SimulationError, SimulationLeak
from casework.runtime.simulation.node import Place, SimulatedNode
from casework.runtime.simulation.plan import FaultPlan, draw_plan
from casework.runtime.simulation.simulation import Run, Simulation, simulate
from casework.runtime.simulation.world import START, SimulatedRandomness
from casework.runtime.store.base import CaseRow, CaseStatus, WaitKind
from casework.runtime.telemetry import Telemetry

#: Names of the nodes; two or three of them work in a run.
NODES: Final = ("a", "b", "c")
#: Seconds between two looks at whether everything has come to rest: longer than any node needs to find its work.
REST_SECONDS: Final = 30.0
#: Virtual seconds after the heal in which everything must have come to rest.
END_SECONDS: Final = 400 * 86_400.0
#: Looks after the heal in which everything must have come to rest, timers that were waited for left out.
LOOKS_MAX: Final = 2_000


def run_seed(crew: Crew, seed: int, plan: FaultPlan | None = None, *, keep: bool = False) -> SeedReport:
    """Run a crew's scenario by one seed and say what does not hold.

    Args:
        crew: its `scenario` says what happens.
        seed: everything follows from it.
        plan: what goes wrong; drawn from the seed if left out.
        keep: keep what happened as lines of text.

    Raises:
        CrewInvalid: the crew names no scenario, or one that does not fit.
        SimulationLeak: the crew's code reached for a thread, a file, a socket or a process.
    """
    kind = load_scenario(crew)
    plan = draw_plan(seed) if plan is None else plan
    try:
        # Half of the seeds run the schema and the statements of SQLite, the others the store in memory.
        run = simulate(_main, crew, kind, seed=seed, plan=plan, keep=keep, sql=seed % 2 == 1)
    except SimulationLeak:
        raise
    except SimulationError as error:
        return SeedReport(seed=seed, plan=plan, violations=(Violation("run_broken", "", str(error)),))
    return _report(seed, run)


def _report(seed: int, run: Run[tuple[tuple[Violation, ...], Counter[str]]]) -> SeedReport:
    violations, ends = run.value
    return SeedReport(
        seed=seed,
        plan=run.plan,
        digest=run.digest,
        violations=violations,
        case_runs=ends.total(),
        ends=dict(sorted(ends.items())),
        steps=run.steps,
        seconds=run.seconds,
        points=dict(run.points),
        faults=dict(run.faults),
        told=tuple(line for line in run.told if " job " not in line),
    )


async def _main(simulation: Simulation, crew: Crew, kind: type[Scenario]) -> tuple[tuple[Violation, ...], Counter[str]]:
    scenario = kind(SimulatedRandomness(f"{simulation.seed}/scenario"))
    scenario.answered = simulation.mischief.answered
    effects = Effects()
    in_the_run = wired(crew, stubs_of(scenario), effects, simulation)
    count = 2 + simulation.mischief.chance("nodes").randrange(len(NODES) - 1)
    lost: list[Task] = []
    nodes = [simulation.node(name, _service(in_the_run, scenario, lost)) for name in NODES[:count]]
    people = People(simulation, nodes, scenario, effects)
    simulation.begin()
    ended = False
    async with anyio.create_task_group() as group:
        group.start_soon(people.decide_all, group)
        await people.bring_all(group)
        await people.open_all()
        ended = await _come_to_rest(simulation, nodes, people)
        group.cancel_scope.cancel()
    finished = await finish(
        crew,
        simulation.disk.inner,
        opened=people.opened,
        effects=effects.happened,
        systems=_systems(nodes),
        lost=lost,
        ended=ended,
    )
    return judge(finished, (*BUILT_IN, *invariants_of(scenario))), Counter(map(_end, finished.rows.values()))


def _end(row: CaseRow) -> str:
    """Say in a word or two how a case ended, or what it waits for."""
    if row.status is CaseStatus.CLOSED:
        return str(row.result)
    return " ".join(["waits for", *sorted({str(wait.kind) for wait in row.waits})]) if row.waits else str(row.status)


def judge(finished: Finished, invariants: tuple[Invariant, ...]) -> tuple[Violation, ...]:
    """Say what does not hold of a finished run."""
    return tuple(
        Violation(each.name, case_id, f"{each.sentence}: {case_id} {why}" if case_id else f"{each.sentence}: {why}")
        for each in invariants
        for case_id, why in each.broken(finished)
    )


def _service(crew: Crew, scenario: Scenario, lost: list[Task]) -> Callable[[Place[Service]], Awaitable[None]]:
    """Make what a node runs: what an embedding program would."""

    async def serve(place: Place[Service]) -> None:
        while True:
            staffed = WatchedCrew(crew, lost)
            world, settings = place.world, scenario.settings
            runtime = Runtime(staffed, place.store, world=world, settings=settings, telemetry=Telemetry.off())
            try:
                async with runtime:
                    assert staffed.system is not None, "an entered runtime has its staff"
                    place.ready(Service(runtime, staffed.system))
                    await anyio.sleep_forever()
            except StoreUnavailable:
                await place.world.clock.sleep(1.0)

    return serve


def _systems(nodes: list[SimulatedNode[Service]]) -> dict[str, ActorSystem]:
    return {node.name: node.service.system for node in nodes if node.service is not None}


async def _come_to_rest(simulation: Simulation, nodes: list[SimulatedNode[Service]], people: People) -> bool:
    """Wait until nothing happens any more by itself; False if that never came."""
    until = simulation.mischief.plan.heal_seconds + END_SECONDS
    before: list[tuple[str, int, CaseStatus]] | None = None
    for _ in range(LOOKS_MAX):
        await anyio.sleep(REST_SECONDS)
        if simulation.loop.time() > until:
            return False
        if not simulation.mischief.healed:
            continue
        rows = await simulation.disk.inner.cases()
        unended = [row for row in rows if row.status is not CaseStatus.CLOSED]
        released = [await people.release(row) for row in unended]
        now = [(row.key.case_id, row.next_seq, row.status) for row in rows]
        # A case may rest in the name of a process that died: when something comes for it, another one takes it.
        living = {node.service.runtime.node.name for node in nodes if node.service is not None}
        working = any(row.status is CaseStatus.OPEN or row.node in living for row in unended)
        if working or any(released) or people.thinking or now != before:
            before = now
            continue
        due = _next_due(unended)
        if due is None:
            return True
        await anyio.sleep(max(0.0, due - simulation.loop.time()))
    return False


def _next_due(rows: list[CaseRow]) -> float | None:
    """Say when the next timer is due, in seconds of the run; None if nobody waits for one."""
    dues = [wait.due for row in rows for wait in row.waits if wait.kind is WaitKind.TIMER]
    return (min(dues) - START) / MICROS if dues else None
