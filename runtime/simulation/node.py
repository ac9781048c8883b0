"""A simulated node: a machine on which one process after the other runs the same service.

The service is what an embedding program would run, such as a `Runtime`; it is begun anew whenever its process died.
Requests reach it, or do not, as messages do: lost, doubled, late, and with an answer that may be lost as well.
It does not know what the service does.
"""

import traceback
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import anyio

from casework.runtime.seams import World
from casework.runtime.simulation.disk import Disk
from casework.runtime.simulation.errors import Unreachable
from casework.runtime.simulation.loop import SimulationLoop
from casework.runtime.simulation.messages import Messages
from casework.runtime.simulation.mischief import Mischief
from casework.runtime.simulation.process import Phase, Process
from casework.runtime.simulation.world import InlineOffload, Machine, SimulatedClock, SimulatedIds, SimulatedRandomness
from casework.runtime.store.base import Store

if TYPE_CHECKING:
    from asyncio import Task

T = TypeVar("T")
S = TypeVar("S")

#: Seconds that a request waits for its answer.
ANSWER_SECONDS: Final = 10.0


@dataclass(slots=True, frozen=True, eq=False)
class Ground:
    """What the nodes of one run stand on."""

    seed: object
    loop: SimulationLoop
    mischief: Mischief
    messages: Messages
    disk: Disk


@dataclass(slots=True, frozen=True, eq=False)
class Place(Generic[S]):
    """Where a service runs: what it is given, and how it says that it is ready."""

    world: World
    store: Store
    ready: Callable[[S], None]
    """To be called with what requests are made of, once it takes any."""


@dataclass(slots=True, eq=False)
class _Answer:
    """What became of a request; the first answer counts."""

    came: anyio.Event = field(default_factory=anyio.Event)
    value: object = None
    error: Exception | None = None


@final
class SimulatedNode(Generic[S]):
    """One node of a run."""

    def __init__(self, ground: Ground, name: str, service: Callable[[Place[S]], Awaitable[None]]) -> None:
        """Prepare; it starts with `start`."""
        self.name = name
        self.deaths = 0
        self.pauses = 0
        self.process: Process | None = None
        self.service: S | None = None  #: what requests are made of, while it takes any
        self._ground = ground
        self._machine = Machine(name)
        self._serve = service
        self._starts = 0

    def start(self) -> None:
        """Begin a process; one that runs goes on."""
        if self.process is not None and self.process.phase is not Phase.DEAD:
            return
        self._starts += 1
        process = self.process = Process(f"{self.name}.{self._starts}")
        process.on_death = self._died
        self.dread()
        process.spawn(self._run(self._place(process)), f"{process.name} service").add_done_callback(
            self._ended, context=Context()
        )

    def kill(self) -> None:
        """End the process as `kill -9` does; it is started again in a while."""
        if self.process is not None:
            self.process.kill()

    def pause(self, seconds: float) -> None:
        """Have the process stand still for so long."""
        process, ground = self.process, self._ground
        if process is not None and process.phase is Phase.RUNNING:
            self.pauses += 1
            ground.mischief.happened["pause"] += 1
            process.pause()
            ground.loop.trace.remark(ground.loop.time(), f"{process.name} stands still for {seconds:.3f} s")
            ground.loop.call_later(seconds, ground.loop.resume, process, context=Context())

    def jump(self, seconds: float) -> None:
        """Set the machine's wall clock ahead of or behind the true time."""
        self._machine.skew_micros = round(seconds * 1_000_000)
        loop = self._ground.loop
        loop.trace.remark(loop.time(), f"{self.name} has its clock {seconds:+.3f} s off")

    def dread(self) -> None:
        """Draw anew at which step the process dies, as the plan says now."""
        if self.process is not None:
            steps = int(self._ground.mischief.apart("crash_steps"))
            self.process.dies_at = self.process.steps + steps if steps else 0

    def heal(self) -> None:
        """Let everything go on as it should."""
        if self._machine.skew_micros:
            self.jump(0.0)
        self.dread()
        if self.process is not None:
            self._ground.loop.resume(self.process)

    async def ask(self, request: Callable[[S], Awaitable[T]], *, within_seconds: float = ANSWER_SECONDS) -> T:
        """Have the service do something, in its own process, and give the answer.

        Raises:
            Unreachable: no answer came; it may have been done, once or twice.
            Exception: whatever the request raised.

        If cancelled, it may be done all the same.
        """
        answer: _Answer = _Answer()
        self._ground.messages.send(lambda: self._arrived(request, answer))
        with anyio.move_on_after(within_seconds):
            await answer.came.wait()
        if not answer.came.is_set():
            raise Unreachable(self.name, f"no answer within {within_seconds:g} s")
        if answer.error is not None:
            raise answer.error
        value: Any = answer.value
        return value  # type: ignore[no-any-return]

    def _arrived(self, request: Callable[[S], Awaitable[object]], answer: _Answer) -> None:
        process, service = self.process, self.service
        if process is not None and service is not None and process.phase is not Phase.DEAD:
            process.spawn(self._answer(service, request, answer), f"{process.name} request")

    async def _answer(self, service: S, request: Callable[[S], Awaitable[object]], answer: _Answer) -> None:
        value: object = None
        failed: Exception | None = None
        try:
            value = await request(service)
        except Exception as error:  # noqa: BLE001 - whoever asked is told what the request raised
            failed = error
        self._ground.messages.send(lambda: _come(answer, value, failed))

    async def _run(self, place: Place[S]) -> None:
        await self._serve(place)

    def _place(self, process: Process) -> Place[S]:
        ground = self._ground
        randomness = SimulatedRandomness(f"{ground.seed}/{process.name}")
        clock = SimulatedClock(ground.loop, self._machine)
        world = World(
            clock=clock,
            ids=SimulatedIds(clock, randomness.stream("ids")),
            randomness=randomness,
            offload=InlineOffload(ground.loop),
            faults=ground.mischief.points,
        )

        def ready(service: S) -> None:
            if self.process is process:
                self.service = service

        return Place(world, ground.disk.view(process, self._machine, clock), ready)

    def _died(self, process: Process) -> None:
        ground = self._ground
        self.deaths += 1
        ground.mischief.happened["crash"] += 1
        ground.loop.trace.event(ground.loop.time(), f"{process.name} died", f"at {process.died_at or 'an await'}")
        self.service = None
        ground.loop.call_later(ground.mischief.seconds("down_seconds"), self.start, context=Context())

    def _ended(self, task: "Task[object]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            told = "".join(traceback.format_exception(error)).rstrip()
            self._ground.loop.uncaught(f"the service of {self.name} ended with\n{told}")


def _come(answer: _Answer, value: object, error: Exception | None) -> None:
    if not answer.came.is_set():
        answer.value, answer.error = value, error
        answer.came.set()
