"""How much does a tenant that asks for a hundred times as much move the p95 of another one's tasks?

Unit: microseconds, the p95 of how long the quiet tenant's tasks take, each of which waits for 5 ms in one of eight
workers. Alone is the floor; beside it, a noisy tenant hands in a hundred tasks for each of the quiet one's, far more
than the workers can do, so that they pile up and are refused. The p95 may move by less than a fifth. What moves here
and not by a clock of its own is the processor that both share: the deterministic measure is a test.
"""

import asyncio
from functools import partial
from time import perf_counter

import backends
import harness
from bench_delegation import Counting, Question, nothing, task
from msgspec.structs import replace

from casework.actors.agent import Agent, Skill, Work
from casework.actors.crew import Crew
from casework.actors.policy import Policy
from casework.actors.staff import CrewStaff
from casework.protocols.codec import encode
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Flow
from casework.runtime.seams import World
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry

ALONE, BESIDE = "floor, the quiet tenant alone", "casework, beside a noisy tenant"
NOISE = 100
WORK_SECONDS, PAUSE_SECONDS = 0.005, 0.05
REACH = (harness.Reach(contender=BESIDE, against=ALONE, at_most=1.2),)


async def wait_a_little(inputs: Question, work: Work) -> int:
    """Do the work."""
    await asyncio.sleep(WORK_SECONDS)
    return inputs.number


async def quiet_p95(operations: int, *, noisy: bool) -> float:
    """Give the p95 of the quiet tenant's tasks, times their number."""
    world, took = World(), list[float]()
    crew = Crew(
        "bench",
        flows=[Flow.of(nothing, inputs=Question)],
        agents=[Agent("worker", {"work": Skill(Question, int, wait_a_little)})],
        policy=Policy(name="bench"),
    )
    loop = asyncio.get_running_loop()
    async with ActorSystem(world) as system, crew.staff(system, world, MemoryStore(), {}, Telemetry.off()) as staff:
        assert isinstance(staff, CrewStaff)
        for number in range(operations):
            if noisy:
                for each in range(NOISE):
                    made = replace(task(each, world), id=f"n{number}/{each}", tenant="noisy")
                    staff.dispatch(encode(made), made, 1, Counting())
                await asyncio.sleep(PAUSE_SECONDS)
            case, made = Counting(), replace(task(number, world), tenant="quiet")
            case.heard = loop.create_future()
            begun = perf_counter()
            staff.dispatch(encode(made), made, 1, case)
            await case.heard
            took.append(perf_counter() - begun)
    return sorted(took)[max(int(len(took) * 0.95) - 1, 0)] * operations


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on asyncio; an operation is one task of the quiet tenant."""
    tasks = min(operations, 200)
    return [
        harness.measure(
            "p95 of a quiet tenant's task",
            {
                ALONE: backends.on("asyncio", partial(quiet_p95, noisy=False)),
                BESIDE: backends.on("asyncio", partial(quiet_p95, noisy=True)),
            },
            floor=ALONE,
            operations=tasks,
            repetitions=repetitions,
            reach=REACH,
        )
    ]


if __name__ == "__main__":
    harness.main(answer)
