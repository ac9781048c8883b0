"""The jobs in which cells run: few, shared by all, and only where there is something to do.

Starting a job for each message costs more than twice as much as a whole ask, and a job parked in each idle actor costs
more memory than the actor. So a job that has emptied one mailbox goes on to the next cell that has work, or parks in
a small stack of idle jobs, of which the most recent is woken first. What a cell does beside its handler takes its turn
in the same jobs, for starting one costs ten times as much as waking one. A handler that waits keeps its job; every cell
that becomes ready meanwhile gets another one, so no cell ever waits for a job. Each job has one cancel scope, which
is renewed only after a kill; and one whose context variables were left changed ends, so that nobody inherits them.
A job at its very end goes on with what it has just set going, a few times in a row, which saves the way through the
event loop.
It does not know what a cell does with its turn.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar, final

import anyio

from casework.runtime.blame import blame
from casework.runtime.misnested import leave_within, strayed
from casework.runtime.parking import Parked

T = TypeVar("T")

#: Idle jobs kept for the next burst; about 3 kB each.
IDLE_MAX: Final = 256
#: How often in a row a job goes on with what it set going; then others have their turn.
CHAIN_MAX: Final = 8


class Runnable(Protocol):
    """What a job runs."""

    async def run(self, job: "Job") -> bool:
        """Take a turn; say whether it is over, or goes on in a new scope because the job's was cancelled."""
        ...


class StartSoon(Protocol):
    """Starts a job in the system's task group."""

    def __call__(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object, name: object = None
    ) -> None:
        """Start `function(*args)`."""
        ...


@final
class Job:
    """One job: what it runs next, the scope that a kill cancels, and where it parks."""

    __slots__ = ("chained", "next", "scope", "then", "wake")

    def __init__(self, first: Runnable) -> None:
        self.next: Runnable | None = first
        self.then: Runnable | None = None  #: what it goes on with after that
        self.chained = 0  #: how often it went on so since it was idle
        self.scope: anyio.CancelScope | None = None
        self.wake: Parked | None = None

    def interrupt(self) -> None:
        """Cancel what runs; the turn goes on in a new scope."""
        assert self.scope is not None, "a cell takes its turn within a scope"
        self.scope.cancel()


@final
class JobPool:
    """Gives each ready cell a job."""

    def __init__(self, start_soon: StartSoon, new_parked: Callable[[], Parked], quiet: Callable[[], None]) -> None:
        """Make one; `quiet` is called each time when its last busy job has nothing to do any more."""
        self._start_soon = start_soon
        self._new_parked = new_parked
        self._quiet = quiet
        self._idle: list[Job] = []
        self._jobs = 0
        self._ending: Job | None = None

    def __len__(self) -> int:
        """Count the jobs that have a cell at or before its turn."""
        return self._jobs - len(self._idle)

    def run(self, cell: Runnable) -> None:
        """Have the cell take a turn soon; it must not be at its turn already."""
        ending = self._ending
        if ending is not None and ending.then is None and ending.chained < CHAIN_MAX:
            ending.then = cell
            return
        while self._idle:
            job = self._idle.pop()
            wake = job.wake
            assert wake is not None, "an idle job is parked"
            if not wake.done():
                job.next = cell
                wake.set_result(b"")
                return
            # Its system is being cancelled: it will not run anything any more.
        self._jobs += 1
        self._start_soon(self._work, Job(cell), name="casework cells")

    def ending(self, job: Job, last: Callable[[], None]) -> None:
        """Do the last thing of a job's turn, which is synchronous; the job goes on with the first that this runs."""
        self._ending = job
        try:
            last()
        finally:
            self._ending = None

    def hand_over(self, job: Job | None) -> None:
        """Have another job go on with what this one has set going: its turn is not over after all."""
        if job is not None and job.then is not None:
            then, job.then = job.then, None
            self.run(then)

    async def _work(self, job: Job) -> None:
        """Run cell after cell until too many jobs are idle; if cancelled, the cell at its turn was interrupted."""
        over, clean = False, copy_context()
        try:
            while not over:
                with anyio.CancelScope() as job.scope:
                    try:
                        over = await self._turns(job, clean)
                    except anyio.get_cancelled_exc_class():
                        # What somebody never left is cancelled in his stead; who is at his turn goes on in a new scope.
                        if not leave_within(job.scope):
                            raise
                    else:
                        leave_within(job.scope)
        finally:
            self._jobs -= 1
            if self._jobs == len(self._idle):
                self._quiet()

    async def _turns(self, job: Job, clean: Context) -> bool:
        """Take turns in one scope; True when the job is no longer needed, or its variables are not `clean` any more."""
        idle, scope = self._idle, job.scope
        assert scope is not None, "a job takes its turns within a scope"
        left_open = strayed(scope)
        while True:
            while job.next is not None:
                if not await job.next.run(job):
                    return False
                job.next, job.then = job.then, None
                job.chained += 1
                if left_open():
                    # What was entered must not be cancelled in the turn of another one.
                    leave_within(scope)
                if copy_context() != clean:
                    # Somebody left a context variable set: nobody else may see it.
                    if job.next is not None:
                        self.run(job.next)
                    return True
            job.chained = 0
            if len(idle) >= IDLE_MAX:
                return True
            wake = job.wake = self._new_parked()
            idle.append(job)
            if self._jobs == len(idle):
                self._quiet()
            try:
                await wake
            except BaseException:
                if job in idle:
                    idle.remove(job)
                raise


@final
class CellJobs:
    """The jobs that one cell started beside its handler."""

    __slots__ = ("_empty", "_ended", "_works", "failed", "pool")

    def __init__(self, pool: JobPool, *, failed: Callable[[str, Exception], None], ended: Callable[[], None]) -> None:
        self.pool: Final = pool
        self.failed: Final = failed  #: hears what a job raised
        self._ended = ended
        # A dict for its order: they are cancelled as they were started.
        self._works: dict[_Work[Any], None] = {}
        self._empty: anyio.Event | None = None

    def __len__(self) -> int:
        """Count the jobs that run."""
        return len(self._works)

    def start(self, name: str, run: Callable[[], Awaitable[T]], then: Callable[[T], None] | None = None) -> None:
        """Start one job; with what it found `then` is called at its end."""
        work = _Work(self, name, run, then)
        self._works[work] = None
        self.pool.run(work)

    def cancel(self) -> None:
        """Cancel them all; what has not begun does not begin."""
        for work in self._works:
            work.cancel()

    async def wait_ended(self) -> None:
        """Wait until none runs; if cancelled, nothing is left behind."""
        while self._works:
            if self._empty is None:
                self._empty = anyio.Event()
            await self._empty.wait()

    def over(self, work: "_Work[T]") -> None:
        """Hear that a job has ended."""
        del self._works[work]
        self._ended()
        if not self._works and self._empty is not None:
            self._empty.set()
            self._empty = None


@final
class _Work(Generic[T]):
    """What a cell does beside its handler, on its way through one job of the pool."""

    __slots__ = ("_cancelled", "_job", "_name", "_run", "_then", "_works")

    def __init__(
        self, works: CellJobs, name: str, run: Callable[[], Awaitable[T]], then: Callable[[T], None] | None
    ) -> None:
        self._works = works
        self._name = name
        self._run: Callable[[], Awaitable[T]] | None = run
        self._then = then
        self._job: Job | None = None
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        if self._job is not None:
            self._job.interrupt()

    async def run(self, job: Job) -> bool:
        """Do it; its failure goes to the cell. If cancelled, it was, and the job goes on in a new scope."""
        run, self._run = self._run, None
        if run is None:
            # It was cancelled, and this is the new scope.
            return True
        self._job, works = job, self._works
        try:
            if not self._cancelled:
                found = await run()
                if self._then is not None and not self._cancelled:
                    works.pool.ending(job, partial(self._then, found))
        except BaseException as error:  # noqa: BLE001 - a job's failure is its cell's, which takes it to supervision
            failure, cancelled = blame(error)
            if failure is not None:
                works.failed(self._name, failure)
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._job = None
            works.over(self)
        return job.scope is None or not job.scope.cancel_called
