"""The pool: equal workers behind one address, of which the one with the least to do gets the next message.

A pool has neither behavior nor mailbox. It chooses in the sender's own call and hands the message to the worker's
cell, which counts it; so a message through a pool costs one look at each worker until an idle one is found. A message
that was handed on stays with its worker: moving it later would cost the order of its sender. The workers are one group
under supervision, and fail alone; when they fail more often than they may, the pool ends and its parent fails. A pool
whose siblings are started again starts again as well, with new workers. It does not know what its workers do.
"""

from typing import Final, NamedTuple, Protocol, final

import anyio
from msgspec import Struct

from casework.runtime.children import CellOptions, Child, ChildGroup, Parent
from casework.runtime.errors import ActorStopped, Escalated, NameTaken
from casework.runtime.kernel import Kernel, Member
from casework.runtime.lifecycle import ChildEnded, Exit, Phase, advance
from casework.runtime.mailbox import Envelope, Mailbox, Overflow
from casework.runtime.ref import Ref
from casework.runtime.supervision import Supervision

#: Workers of one pool: each message may have to look at all of them.
WORKERS_MAX: Final = 256

_TAKING: Final = frozenset({Phase.STARTING, Phase.RUNNING})
#: Added to the load of a worker without room, so that it comes after every one that has some.
_FULL: Final = 1 << 40


class Worker(Member, Child, Protocol):
    """A cell, as its pool sees it."""

    @property
    def mailbox(self) -> Mailbox:
        """Where its messages wait."""
        ...

    @property
    def current(self) -> Envelope | None:
        """The message that it handles."""
        ...


class StartWorker(Protocol):
    """Starts the cell of one worker."""

    def __call__(self, address: str, options: CellOptions, *, group: ChildGroup, parent: Parent) -> Worker:
        """Start it; raises NameTaken, or what its factory raises."""
        ...


class PoolOptions(Struct, frozen=True):
    """How a pool is made."""

    workers: int
    """How many, 1 to `WORKERS_MAX`."""
    worker: CellOptions = CellOptions()
    """How each of them is made."""
    supervision: Supervision = Supervision()
    """How the pool looks after them; they are equal, so each is started again alone."""


class WorkerLoad(NamedTuple):
    """What one worker has to do."""

    address: str
    phase: Phase
    waiting: int  #: messages in its mailbox
    running: int  #: 1 while it handles a message, else 0


class PoolStatistics(NamedTuple):
    """What a pool's workers have to do."""

    address: str
    workers: tuple[WorkerLoad, ...]
    """Those that have not ended, in start order."""


@final
class Pool:
    """Equal workers at one address, from the start of the first to the end of the last."""

    __slots__ = ("_depth_max", "_exit", "_group", "_kernel", "_killed", "_moved", "_open", "_options", "_parent",
                 "_start_worker", "_team", "_turns", "_workers", "address", "options", "phase", "waits")  # fmt: skip

    def __init__(
        self,
        kernel: Kernel,
        address: str,
        start_worker: StartWorker,
        options: PoolOptions,
        *,
        group: ChildGroup,
        parent: Parent,
    ) -> None:
        """Start the workers, `address/1` and so on; raises NameTaken, or what the factory of a worker raises."""
        assert 1 <= options.workers <= WORKERS_MAX, f"a pool has 1 to {WORKERS_MAX} workers"
        if kernel.taken(address):
            raise NameTaken(address)
        self.address = address
        self.options = CellOptions()
        """How it is made, as its siblings see it."""
        self.phase = Phase.STARTING
        self._kernel = kernel
        self._start_worker = start_worker
        self._options = options
        self._depth_max = options.worker.mailbox_depth_max
        self.waits = options.worker.overflow is Overflow.WAIT
        self._group = group
        self._parent = parent
        self._exit: ChildEnded | None = None
        # Whether it takes messages: not while its workers end, for good or to be held.
        self._open = False
        self._killed = False
        self._moved: anyio.Event | None = None
        self._team = ChildGroup(options.supervision)
        """The workers' group; new ones are a new group, whose restarts are counted anew."""
        self._workers: dict[str, Worker] = {}
        # The same workers, the one that got a message last at the end: of equals the first one is next.
        self._turns: list[Worker] = []
        kernel.cells[address] = self
        group.add(self)
        try:
            self._begin()
        except BaseException:
            self._vanish(Exit.KILLED)
            raise

    @property
    def ref(self) -> Ref:
        """A handle of the pool."""
        return Ref(self.address, self._kernel, self)

    @property
    def waiting(self) -> int:
        """None: messages wait with the workers, and are counted there."""
        return 0

    @property
    def running(self) -> int:
        """None: as `waiting`."""
        return 0

    def statistics(self) -> PoolStatistics:
        """Give what each worker has to do."""
        loads = (
            WorkerLoad(worker.address, worker.phase, worker.waiting, worker.running)
            for worker in self._workers.values()
        )
        return PoolStatistics(self.address, tuple(loads))

    def post_nowait(self, envelope: Envelope) -> None:
        """Hand a message to the worker with the least to do.

        Raises, with the envelope on the error:
            MailboxFull: no worker has room, and the overflow is not to shed.
            FrameOversized: the frame is larger than any may be.
            ActorStopped: the pool is ending, or no worker takes anything.
        """
        self._choose(envelope).post_nowait(envelope)

    async def post(self, envelope: Envelope) -> None:
        """Hand a message to the worker with the least to do, waiting for room there if no worker has any.

        Raises: as `post_nowait`, but where the overflow is to wait not `MailboxFull`.
        If cancelled, it was not accepted.
        """
        await self._choose(envelope).post(envelope)

    def abandon(self, envelope: Envelope) -> None:
        """Have the worker that is at work on this message stop that; the others take no notice."""
        for worker in tuple(self._workers.values()):
            worker.abandon(envelope)

    def stop(self) -> None:
        """End the workers, the youngest first, each after its running handler."""
        ended = ChildEnded(self.address, Exit.SHUTDOWN)
        if self.phase is Phase.HELD:
            self._leave(ended)
        elif self.phase is not Phase.STOPPED:
            self._end(ended)

    def stop_idle(self) -> bool:
        """End it at once if all its workers can; say whether it has ended. If not, it is ending."""
        if self.phase is not Phase.RUNNING or not self._open:
            return False
        ended = ChildEnded(self.address, Exit.SHUTDOWN)
        self._move(Phase.DRAINING)
        if all(worker.stop_idle() for worker in reversed(tuple(self._workers.values()))):
            self._leave(ended)
            return True
        self._end(ended)
        return False

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End the workers now, their running handlers cancelled; a pool that was killed is not started again."""
        if self.phase is Phase.HELD:
            if exit_ is not Exit.RECYCLED:
                self._leave(ChildEnded(self.address, exit_))
        elif self.phase is not Phase.STOPPED:
            self._killed = True
            self._end(None if exit_ is Exit.RECYCLED else ChildEnded(self.address, exit_))
            for worker in reversed(tuple(self._workers.values())):
                worker.kill(Exit.SHUTDOWN)

    def hold(self) -> None:
        """End the workers, the youngest first; the pool then waits, held, and takes no messages."""
        if self.phase in _TAKING:
            self._end(None)

    def resume(self) -> None:
        """Start new workers; if that fails, so does the parent."""
        assert self.phase is Phase.HELD, "only a held pool is resumed"
        self._move(Phase.STARTING)
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - the boundary: to supervision, as a failed start is not looped
            self._kernel.failed(self.address, error)
            escalated = Escalated(self.address, self._options.supervision.limit, error)
            self._leave(ChildEnded(self.address, Exit.ESCALATED, escalated))

    async def wait_phase(self, *phases: Phase) -> None:
        """Wait until it is in one of these phases; if cancelled, nothing is left behind."""
        while self.phase not in phases:
            if self._moved is None:
                self._moved = self._kernel.new_event()
            await self._moved.wait()

    def abort(self) -> None:
        """The system is gone: be gone too; the workers account for what they had."""
        if self.phase is not Phase.STOPPED:
            self._leave(ChildEnded(self.address, Exit.KILLED))

    def child_ended(self, ended: ChildEnded) -> None:
        """A worker is gone for good; the last one, and one that failed too often, take the pool with them."""
        worker = self._workers.pop(ended.subject, None)
        if worker is not None:
            self._turns.remove(worker)
        escalated = ended.exit is Exit.ESCALATED and self.phase is not Phase.STOPPED
        if escalated or (self._open and not self._workers):
            self._end(ChildEnded(self.address, ended.exit, ended.error))

    def _begin(self) -> None:
        """Start the workers and take messages; what one of them raises ends those before it."""
        self._team = ChildGroup(self._options.supervision)
        try:
            for number in range(1, self._options.workers + 1):
                address = f"{self.address}/{number}"
                worker = self._start_worker(address, self._options.worker, group=self._team, parent=self)
                self._workers[address] = worker
                self._turns.append(worker)
        except BaseException:
            for worker in reversed(tuple(self._workers.values())):
                worker.abort()
            raise
        self._killed = False
        self._open = True
        self._move(Phase.RUNNING)

    def _choose(self, envelope: Envelope) -> Worker:
        """Choose the worker with room and the least to do; of equals, the one whose last turn is longest ago."""
        turns, depth_max, waits = self._turns, self._depth_max, self.waits
        chosen, least = -1, 2 * _FULL
        if self._open:
            for place, worker in enumerate(turns):
                # Read where it stands: `waiting` and `running` would double what a look at a worker costs.
                waiting = len(worker.mailbox)
                load = waiting if worker.current is None else waiting + 1
                if load >= least or worker.phase not in _TAKING:
                    continue
                # Places may be reserved for those who wait; only the mailbox knows.
                if waiting >= depth_max or (waits and worker.mailbox.full):
                    load += _FULL
                if load < least:
                    chosen, least = place, load
                    if not load:
                        break
        if chosen < 0:
            self._kernel.tally.sent += 1
            self._kernel.tally.refused += 1
            raise ActorStopped(envelope)
        worker = turns.pop(chosen)
        turns.append(worker)
        return worker

    def _end(self, ended: ChildEnded | None) -> None:
        """End the workers in a job of their own; without a reason to end for good, the pool is held then."""
        if self._exit is None and ended is not None:
            self._exit = ended
            if self.phase is not Phase.DRAINING:
                self._move(Phase.DRAINING)
        if self._open:
            self._open = False
            self._kernel.start_work(self._finish, f"casework pool {self.address}")

    async def _finish(self) -> None:
        """See the workers' end, which the grace of their group bounds; if cancelled, the system aborts the pool."""
        await (self._team.kill_all() if self._killed else self._team.stop_all())
        if self.phase is Phase.STOPPED:
            return
        if self._exit is None:
            self._move(Phase.HELD)
        else:
            self._leave(self._exit)

    def _leave(self, ended: ChildEnded) -> None:
        """Be gone for good, and say so."""
        self._vanish(ended.exit)
        self._parent.child_ended(ended)

    def _vanish(self, exit_: Exit) -> None:
        self._open = False
        if self.phase is not Phase.DRAINING:
            self._move(Phase.DRAINING)
        self._group.forget(self)
        self._kernel.gone(self.address, exit_)
        self._move(Phase.STOPPED)

    def _move(self, phase: Phase) -> None:
        self.phase = advance(self.phase, phase)
        if self._moved is not None:
            self._moved.set()
            self._moved = None
