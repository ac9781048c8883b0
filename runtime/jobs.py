"""The jobs in which cells run: few, shared by all, and only where there is something to do.

Starting a job for each message costs more than twice as much as a whole ask, and a job parked in each idle actor costs
more memory than the actor. So a job that has emptied one mailbox goes on to the next cell that has work, or parks in
a small stack of idle jobs, of which the most recent is woken first. A handler that waits keeps its job; every cell
that becomes ready meanwhile gets another one, so no cell ever waits for a job. Each job has one cancel scope, which
is renewed only after a kill.
It does not know what a cell does with its turn.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Protocol, final

import anyio

from casework.runtime.blame import blame
from casework.runtime.parking import Parked

#: Idle jobs kept for the next burst; about 3 kB each.
IDLE_MAX: Final = 256


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

    __slots__ = ("next", "scope", "wake")

    def __init__(self, first: Runnable) -> None:
        self.next: Runnable | None = first
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

    def __len__(self) -> int:
        """Count the jobs that have a cell at or before its turn."""
        return self._jobs - len(self._idle)

    def run(self, cell: Runnable) -> None:
        """Have the cell take a turn soon; it must not be at its turn already."""
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

    async def _work(self, job: Job) -> None:
        """Run cell after cell until too many jobs are idle; if cancelled, the cell at its turn was interrupted."""
        over = False
        try:
            while not over:
                with anyio.CancelScope() as job.scope:
                    over = await self._turns(job)
        finally:
            self._jobs -= 1
            if self._jobs == len(self._idle):
                self._quiet()

    async def _turns(self, job: Job) -> bool:
        """Take turns in one scope; True when the job is no longer needed."""
        idle = self._idle
        while True:
            if job.next is not None:
                if not await job.next.run(job):
                    return False
                job.next = None
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

    __slots__ = ("_empty", "_ended", "_failed", "_scopes", "_start_soon")

    def __init__(
        self, start_soon: StartSoon, *, failed: Callable[[str, Exception], None], ended: Callable[[], None]
    ) -> None:
        self._start_soon = start_soon
        self._failed = failed
        self._ended = ended
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._empty: anyio.Event | None = None

    def __len__(self) -> int:
        """Count the jobs that run."""
        return len(self._scopes)

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Start one job."""
        scope = anyio.CancelScope()
        self._scopes[id(scope)] = scope
        self._start_soon(self._run, name, run, scope, name=name)

    def cancel(self) -> None:
        """Cancel them all."""
        for scope in self._scopes.values():
            scope.cancel()

    async def wait_ended(self) -> None:
        """Wait until none runs; if cancelled, nothing is left behind."""
        while self._scopes:
            if self._empty is None:
                self._empty = anyio.Event()
            await self._empty.wait()

    async def _run(self, name: str, run: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Run one job; its failure goes to the cell. If cancelled, the job was."""
        try:
            with scope:
                await run()
        except BaseException as error:  # noqa: BLE001 - a job's failure is its cell's, which takes it to supervision
            failure, cancelled = blame(error)
            if failure is not None:
                self._failed(name, failure)
            if cancelled is not None:
                raise cancelled from None
        finally:
            del self._scopes[id(scope)]
            self._ended()
            if not self._scopes and self._empty is not None:
                self._empty.set()
                self._empty = None
