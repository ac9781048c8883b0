"""What does the supervisor add to handing an agent a task, beyond asking the agent directly?

Unit: microseconds for one delegation, one after the other. The floor is an ask of the same agent: the same task is
decoded, the same work done and the same outcome encoded, in one actor. Ours goes through the staff: desk, supervisor,
route, circuit, a free worker, and the outcome to a case that only waits for it. What is added is the difference of the
two; it may be 40 us. For that both are done in turn in one process, and of each the best turn counts: what else goes on
in the machine only ever adds.
"""

import asyncio
from time import perf_counter

import backends
import harness
from msgspec import Struct

from casework.actors.agent import Agent, AgentBehavior, Equipment, Skill, Work
from casework.actors.breaker import Circuits
from casework.actors.crew import Crew
from casework.actors.desk import Desk, InHand
from casework.actors.policy import Breaking, Policy
from casework.actors.staff import CrewStaff
from casework.protocols.codec import decode_outcome, decode_task, encode, pack
from casework.protocols.wire import Budget, Criterion, OnStop, RiskTier, Task
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.flow.case import Case, Flow
from casework.runtime.mailbox import Envelope
from casework.runtime.seams import MICROS, World
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry

FLOOR, OWN, ADDED = "floor, a direct ask", "casework, through the supervisor", "added"
#: Turns of each in one process.
TURNS = 20
#: What is asked, in microseconds.
ADDED_MAX = 40


class Question(Struct, frozen=True):
    """What a task holds."""

    number: int


async def answer_it(inputs: Question, work: Work) -> int:
    """Do the work."""
    return inputs.number + 1


class Direct(AgentBehavior):
    """The same agent, asked without a supervisor and a desk."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Answer one task."""
        made, case = decode_task(envelope.frame), Counting()
        outcome, _ = await self._work(context.clock, envelope, InHand(envelope.frame, made, 1, case))
        assert envelope.reply is not None, "it is asked"
        envelope.reply(encode(outcome))


class Counting:
    """A case that hears outcomes."""

    def __init__(self) -> None:
        self.address = "case/default/c1"
        self.heard: asyncio.Future[bytes] | None = None

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        """Hear one."""
        if self.heard is not None:
            self.heard.set_result(frame)

    async def call(self, frame: bytes) -> bytes:
        """Never asked for a tool."""
        raise AssertionError("the work calls nothing")


async def nothing(case: Case, inputs: Question) -> None:
    """A flow; a crew has one."""


def task(number: int, world: World) -> Task:
    """Make one task."""
    return Task(
        id=f"t{number}",
        tenant="default",
        case_id="c1",
        step_id="work",
        task="work",
        goal="do it",
        success_criteria=(Criterion(name="returned"),),
        inputs=pack(Question(number)),
        tools_allowed=(),
        risk_tier=RiskTier.READ_ONLY,
        deadline=world.clock.wall_micros() + 60 * MICROS,
        attempts=1,
        budget=Budget(calls=10),
        on_stop=OnStop.FAIL,
        sender="flow:bench",
        purpose="measuring",
    )


async def ask_directly(operations: int) -> float:
    """Ask the actor."""
    world = World()
    async with ActorSystem(world) as system:
        agent = Agent("worker", {"work": Skill(Question, int, answer_it)})
        equipment = Equipment({"returned": lambda value: value is not None}, {}, {}, Desk(Circuits(Breaking())))
        ref = system.spawn("direct", lambda: Direct(agent, "direct", equipment))
        begun = perf_counter()
        for number in range(operations):
            decode_outcome(await ref.ask(encode(task(number, world)), timeout_seconds=30))
        return perf_counter() - begun


async def delegate(operations: int) -> float:
    """Give the tasks to the staff."""
    world, case = World(), Counting()
    crew = Crew(
        "bench",
        flows=[Flow.of(nothing, inputs=Question)],
        agents=[Agent("worker", {"work": Skill(Question, int, answer_it)})],
        policy=Policy(name="bench"),
    )
    loop = asyncio.get_running_loop()
    async with ActorSystem(world) as system, crew.staff(system, world, MemoryStore(), {}, Telemetry.off()) as staff:
        assert isinstance(staff, CrewStaff)
        begun = perf_counter()
        for number in range(operations):
            case.heard = loop.create_future()
            made = task(number, world)
            staff.dispatch(encode(made), made, 1, case)
            staff.judge(made, decode_outcome(await case.heard), case.address)
        return perf_counter() - begun


async def both(operations: int) -> harness.Run:
    """Do both in turn; what is added is the difference of their best turns."""
    turn = max(operations // TURNS, 1)
    turns = [(await ask_directly(turn), await delegate(turn)) for _ in range(TURNS)]
    direct, through = (min(seconds) for seconds in zip(*turns, strict=True))
    seconds, added = sum(map(sum, turns)), (through - direct) / turn * MICROS
    return harness.Run(seconds=seconds, operations=2 * TURNS * turn, figures={ADDED: added})


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on asyncio and on uvloop."""
    loops = [backend for backend in backends.BACKENDS if backend != "trio"]
    ways = [
        harness.measure(
            f"one delegation, {backend}",
            {FLOOR: backends.on(backend, ask_directly), OWN: backends.on(backend, delegate)},
            floor=FLOOR,
            operations=operations,
            repetitions=repetitions,
        )
        for backend in loops
    ]
    added = harness.observe(
        "what the supervisor adds to an ask",
        {backend: backends.on(backend, both) for backend in loops},
        units={ADDED: "us"},
        operations=operations,
        repetitions=repetitions,
        reach=[harness.Reach(contender=backend, what=ADDED, at_most=ADDED_MAX) for backend in loops],
    )
    return [*ways, added]


if __name__ == "__main__":
    harness.main(answer)
