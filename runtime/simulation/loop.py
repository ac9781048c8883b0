"""An event loop in which nothing waits: time jumps to whatever is due next, and a seed decides who goes first.

Each round takes what is ready now, shuffles the steps of jobs among their places, and runs all of it; plain callbacks
keep their place, for libraries rely on the order in which they asked for those. (Running any ready callback next
breaks one in twenty of anyio's own tests; this order breaks none.) Where nothing is ready the clock moves to the
next timer; where there is none either, the run is deadlocked and says so at once.

Heartbeats would make a month of waiting two and a half million of rounds: once a thousand timers in a row were
heartbeats, time goes to the next that is none, and every heart beats once, a second before.

It does not know what a node is, nor which faults are planned.
"""
# Callbacks, their contexts and the queue of the base class are private to asyncio; this file is a part of that loop.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar, TypeVarTuple, final

from casework.runtime.simulation.errors import Deadlock, Livelock, SimulationLeak, Uncaught
from casework.runtime.simulation.process import PROCESS, Phase, Process
from casework.runtime.simulation.trace import Trace
from casework.runtime.simulation.waiting import beginner, caller, described

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Steps while no time passes, after which none ever will.
STILL_MAX: Final = 200_000
#: Timers in a row that are heartbeats, after which time leaps over the rest of them.
BEATS_MAX: Final = 1_000
#: Seconds before the next other timer at which every heart has beaten again.
BEFORE_SECONDS: Final = 1.0
#: Jobs that a livelock names.
BUSY_NAMED: Final = 8

#: True in a timer for whose sake no time need pass.
BEATING: Final[ContextVar[bool]] = ContextVar("beating", default=False)


@final
class SimulationTask(asyncio.Task[Any]):
    """A job with a number, which is its hash: sets of jobs then have the same order in every process."""

    def __init__(self, coroutine: Any, number: int, process: Process | None, **options: Any) -> None:
        self.number = number
        self.process = process
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


def _refused(name: str) -> Any:
    def refuse(self: "SimulationLoop", *_args: object, **_options: object) -> Any:
        raise self.leaked(f"loop.{name}")

    return refuse


class SimulationLoop(asyncio.BaseEventLoop):
    """An event loop of one seed; the same seed and code give the same steps, in any process."""

    # What the base class has, as far as it is used here. Handles are `Any`: what is used of them is private as well.
    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int
    _check_closed: Callable[[], None]
    _check_thread: Callable[[], None]

    def __init__(self, seed: object = 0) -> None:
        """Make a loop at 0 seconds; the seed may be anything whose text tells it apart."""
        super().__init__()
        self._now = 0.0
        self._order = random.Random(f"{seed}/order").random
        self._still = 0
        self._beats = 0
        self._numbers = 0
        self._leak: SimulationLeak | None = None
        self._uncaught: list[str] = []
        self.running = 0  #: number of the job whose step runs
        self.steps = 0  #: steps and callbacks so far
        self.trace = Trace()
        #: Every job that has not ended, by its number. One that is let go of would run its `finally`, even if its
        #: process is dead.
        self.tasks: dict[int, SimulationTask] = {}

    def time(self) -> float:
        """Give virtual seconds since the loop was made."""
        return self._now

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """Begin a job; it has the next number of this loop, and is kept until it has ended."""
        self._check_closed()
        self._numbers += 1
        number = self._numbers
        name = f"job-{number}" if name is None else str(name)
        options.pop("eager_start", None)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        task = SimulationTask(coro, number, process, loop=self, name=name, context=context, **options)
        self.trace.event(self._now, f"job {number} {name}")
        self.tasks[number] = task
        return task

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call soon, if this thread is the loop's: there is no other."""
        self._check_thread()
        return self.call_soon(callback, *args, context=context)

    def resume(self, process: Process) -> None:
        """Let a paused process go on, beginning with what was withheld from it."""
        self._ready.extend(process.resume())

    def leaked(self, call: str) -> SimulationLeak:
        """Have the run end because of a call that is not simulated, whoever catches the error that this gives."""
        self._leak = self._leak or SimulationLeak(
            call, caller() or beginner(self.tasks.get(self.running), self.tasks.values())
        )
        return self._leak

    def uncaught(self, what: str) -> None:
        """Have the run end because of an error that nobody heard."""
        self._uncaught.append(what)

    def _run_once(self) -> None:
        ready = self._ready
        if not ready and not self._stopping:
            self._jump()
        self._take_due()
        if len(ready) > 1:
            self._shuffle()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._run_handle(handle)
        if self._still > STILL_MAX:
            raise Livelock(self._still, [described(task) for task in self._busy()])
        if self._leak is not None:
            raise self._leak
        if self._uncaught:
            uncaught, self._uncaught = self._uncaught, []
            raise Uncaught("; ".join(uncaught))

    def _busy(self) -> list[SimulationTask]:
        """Give the jobs that took the last step, or are ready for the next one."""
        numbers = dict.fromkeys([self.running, *(_job(handle) for handle in self._ready)])
        return [self.tasks[number] for number in numbers if number in self.tasks][:BUSY_NAMED]

    def _run_handle(self, handle: Any) -> None:
        process: Process | None = handle._context.get(PROCESS)
        job = _job(handle)
        if process is not None:
            if job and process.phase is Phase.RUNNING:
                process.steps += 1
                if process.steps == process.dies_at:
                    process.kill()
            if process.phase is not Phase.RUNNING:
                # One that is dead keeps it as well: what is let go of would run its `finally`.
                process.withheld.append(handle)
                return
        self.steps += 1
        self._still += 1
        self.running = job
        self.trace.step(self._now, job)
        handle._run()
        if job:
            task = self.tasks.get(job)
            if task is not None and task.done():
                del self.tasks[job]

    def _shuffle(self) -> None:
        """Shuffle the steps of jobs that are ready, each run of them between two plain callbacks by itself."""
        batch = list(self._ready)
        draw = self._order
        start = 0
        for place, handle in enumerate([*batch, None]):
            if handle is not None and _job(handle):
                continue
            for last in range(place - 1, start, -1):
                other = start + int(draw() * (last - start + 1))
                batch[last], batch[other] = batch[other], batch[last]
            start = place + 1
        self._ready.clear()
        self._ready.extend(batch)

    def _jump(self) -> None:
        """Move time to the next timer."""
        handle = self._next_timer()
        if handle is None:
            raise Deadlock([described(task) for task in self.tasks.values()])
        self._beats = self._beats + 1 if handle._context.get(BEATING) else 0
        when = handle.when()
        if self._beats > BEATS_MAX:
            self._beats = 0
            others = [each.when() for each in self._scheduled if not (each._cancelled or each._context.get(BEATING))]
            if not others:
                raise Deadlock([described(task) for task in self.tasks.values()])
            when = max(when, min(others) - BEFORE_SECONDS)
        if when > self._now:
            self._now = when
            self._still = 0

    def _next_timer(self) -> Any:
        scheduled = self._scheduled
        while scheduled:
            handle = scheduled[0]
            process: Process | None = handle._context.get(PROCESS)
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            elif process is None or process.phase is not Phase.DEAD:
                return handle
            else:
                process.withheld.append(handle)
            heapq.heappop(scheduled)
            handle._scheduled = False
        return None

    def _take_due(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0].when() <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(handle)

    def _process_events(self, _events: object) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: there is one thread."""

    # Ways out of the loop.

    add_reader = remove_reader = _refused("add_reader")
    add_writer = remove_writer = _refused("add_writer")
    add_signal_handler = remove_signal_handler = _refused("add_signal_handler")
    connect_accepted_socket = _refused("connect_accepted_socket")
    connect_read_pipe = connect_write_pipe = _refused("connect_pipe")
    create_connection = create_unix_connection = _refused("create_connection")
    create_datagram_endpoint = _refused("create_datagram_endpoint")
    create_server = create_unix_server = _refused("create_server")
    getaddrinfo = getnameinfo = _refused("getaddrinfo")
    run_in_executor = _refused("run_in_executor")
    sendfile = sock_sendfile = start_tls = _refused("sendfile")
    sock_accept = sock_connect = sock_recv = sock_sendall = _refused("sock_connect")
    subprocess_exec = subprocess_shell = _refused("subprocess_exec")


def _job(handle: Any) -> int:
    """Give the number of the job that a callback is a step of; 0 for a plain callback."""
    callback = handle._callback
    task = getattr(callback, "__self__", None)
    if type(task) is not SimulationTask or getattr(callback, "__name__", "") == "cancel":
        return 0
    return task.number
