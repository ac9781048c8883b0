"""One run: a loop, a plan, a disk and nodes, and the hands that bring about what the plan says.

    ran = simulate(main, seed=17)          # `main(simulation)` is a coroutine function

From the seed follows the plan, from both the run, and from the run its digest: the same seed and the same code give
the same digest, in any process. It does not know what should be true at the end: `main` says so by raising.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, final

import anyio

from casework.runtime.simulation.burial import bury, uncollected
from casework.runtime.simulation.disk import Disk
from casework.runtime.simulation.guard import guarded
from casework.runtime.simulation.loop import SimulationLoop
from casework.runtime.simulation.messages import Messages
from casework.runtime.simulation.mischief import Mischief
from casework.runtime.simulation.node import Ground, Place, SimulatedNode
from casework.runtime.simulation.order import insertion_order
from casework.runtime.simulation.outside import Outside
from casework.runtime.simulation.plan import FaultPlan, draw_plan
from casework.runtime.simulation.process import PROCESS
from casework.runtime.simulation.sql import sql_in_memory
from casework.runtime.store.base import Store

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")
S = TypeVar("S")
Ts = TypeVarTuple("Ts")


@dataclass(slots=True, frozen=True, eq=False)
class Run(Generic[T]):
    """What became of a run."""

    seed: object
    plan: FaultPlan
    value: T
    """What `main` returned."""
    digest: str
    """Hash of everything that happened: the same for the same seed and code."""
    steps: int
    """Steps and callbacks of the loop."""
    seconds: float
    """How long it took, in virtual time."""
    points: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each named point was passed."""
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each fault struck."""
    told: tuple[str, ...] = ()
    """The events by name, if they were to be kept."""


@final
class Simulation:
    """What a run's `main` is given."""

    def __init__(self, loop: SimulationLoop, seed: object, plan: FaultPlan, store: Store | None = None) -> None:
        self.seed = seed
        self.loop = loop
        self.mischief = Mischief(seed, plan)
        self.mischief.on_strike = self._struck
        self.messages = Messages(loop, self.mischief)
        self.outside = Outside(loop, self.mischief)
        self.disk = Disk(loop, self.mischief, self.messages, store)
        self.nodes: dict[str, SimulatedNode[object]] = {}
        self._ground = Ground(seed, loop, self.mischief, self.messages, self.disk)

    def node(self, name: str, service: Callable[[Place[S]], Awaitable[None]]) -> SimulatedNode[S]:
        """Add a node that runs a service, and start it."""
        node = SimulatedNode(self._ground, name, service)
        assert name not in self.nodes, "each node has its own name"
        self.nodes[name] = node  # type: ignore[assignment]
        node.start()
        return node

    def begin(self) -> None:
        """Let go wrong what the plan says, until its end, when everything is healed."""
        hands = (self._pauses, self._outages, self._jumps)
        for hand in hands:
            self.loop.create_task(hand(), name=hand.__name__, context=Context())
        self.loop.call_later(self.mischief.plan.heal_seconds, self.heal, context=Context())

    def heal(self) -> None:
        """Have nothing go wrong from now on; who stood still goes on, and who is dead comes back in a while."""
        self.loop.trace.event(self.loop.time(), "healed")
        self.mischief.heal()
        self.disk.out_until = 0.0
        for node in self.nodes.values():
            node.heal()

    def _struck(self, fault: str) -> None:
        process = PROCESS.get()
        self.loop.trace.remark(self.loop.time(), f"{process.name} {fault}!" if process else f"{fault}!")

    async def _pauses(self) -> None:
        while seconds := self.mischief.apart("pause_every_seconds"):
            await anyio.sleep(seconds)
            if not self.mischief.healed:
                self._one("pause").pause(self.mischief.seconds("pause_seconds"))

    async def _outages(self) -> None:
        while seconds := self.mischief.apart("outage_every_seconds"):
            await anyio.sleep(seconds)
            if not self.mischief.healed:
                self.mischief.happened["outage"] += 1
                seconds = self.mischief.seconds("outage_seconds")
                self.disk.out_until = self.loop.time() + seconds
                self.loop.trace.remark(self.loop.time(), f"the store cannot be reached for {seconds:.3f} s")

    async def _jumps(self) -> None:
        while seconds := self.mischief.apart("jump_every_seconds"):
            await anyio.sleep(seconds)
            if not self.mischief.healed:
                most = self.mischief.plan.jump_seconds
                self.mischief.happened["jump"] += 1
                self._one("jump").jump(self.mischief.chance("jump_seconds").uniform(-most, most))

    def _one(self, fault: str) -> SimulatedNode[object]:
        return self.mischief.chance(fault).choice(list(self.nodes.values()))


def simulate(
    main: Callable[[Simulation, *Ts], Awaitable[T]],
    *args: *Ts,
    seed: object = 0,
    plan: FaultPlan | None = None,
    keep: bool = False,
    sql: bool = False,
) -> Run[T]:
    """Run `main` in a simulated world of its own, to its end.

    Args:
        main: is given the simulation and `args`.
        args: passed on.
        seed: anything whose text tells it apart.
        plan: what goes wrong; drawn from the seed if left out.
        keep: keep every named event as text as well.
        sql: have the disk run the schema and the statements of SQLite, in memory.

    Raises:
        Deadlock, Livelock: it never ends.
        SimulationLeak: something reached for a thread, a file, a socket or a process.
        Uncaught: an error that nobody heard.
        Exception: whatever `main` raised.
    """
    with uncollected():
        # In a frame of its own, or the garbage of the run would not be garbage yet when it is collected.
        return _run(main, args, seed, draw_plan(seed) if plan is None else plan, keep=keep, sql=sql)


def _run(
    main: Callable[[Simulation, *Ts], Awaitable[T]],
    args: tuple[*Ts],
    seed: object,
    plan: FaultPlan,
    *,
    keep: bool,
    sql: bool,
) -> Run[T]:
    with ExitStack() as stack:
        loop = SimulationLoop(seed)
        stack.enter_context(guarded(loop))
        stack.callback(bury, loop)
        stack.enter_context(insertion_order())
        if keep:
            loop.trace.keep()
        loop.set_exception_handler(_unheard)
        simulation = Simulation(loop, seed, plan, sql_in_memory() if sql else None)

        async def run() -> T:
            value = await main(simulation, *args)
            for row in await simulation.disk.inner.cases():
                loop.trace.event(loop.time(), f"{row.key} {row.next_seq} {row.head.hex()}")
            return value

        value = loop.run_until_complete(run())
        return Run(
            seed=seed,
            plan=plan,
            value=value,
            digest=loop.trace.digest(),
            steps=loop.steps,
            seconds=loop.time(),
            points=dict(sorted(simulation.mischief.points.hits.items())),
            faults=dict(sorted(simulation.mischief.happened.items())),
            told=loop.trace.told,
        )


def _unheard(loop: "AbstractEventLoop", context: dict[str, Any]) -> None:
    """Have the run end because of an error that nobody awaits any more."""
    assert isinstance(loop, SimulationLoop), "it is the handler of that loop"
    loop.uncaught(f"{context.get('message')}: {context.get('exception')!r}")
