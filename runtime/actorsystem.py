"""The actor system: where actors live, from `async with` to the last of them ended.

Two systems in one process share nothing. Leaving the block stops the actors, the youngest first, each within its
grace; `drain` first lets them finish what they have. An actor at the top that fails more often than it may is ended;
unless somebody asked to hear of that (`on_escalation`), the whole system ends with it and raises.
It does not know what is durable, nor what arrives from other processes.
"""

import math
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, final

import anyio
from anyio.abc import TaskGroup

from casework.runtime.behavior import Behavior
from casework.runtime.cell import Cell
from casework.runtime.children import CellOptions, ChildGroup, Parent, cell_options
from casework.runtime.deadletters import DeadLetter, Redriven, redrive, redrive_all
from casework.runtime.errors import Escalated, NameTaken, NotRunning, Stopping
from casework.runtime.groups import Groups
from casework.runtime.homes import IDLE_SECONDS, Homes
from casework.runtime.kernel import INSIDE, Hooks, Kernel, Messages, SystemStatistics, kind_of
from casework.runtime.lifecycle import ChildEnded, Exit
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, MailboxStatistics, Overflow
from casework.runtime.names import Names
from casework.runtime.parking import name_library
from casework.runtime.pool import Pool, PoolOptions, PoolStatistics
from casework.runtime.ref import Ref
from casework.runtime.seams import World
from casework.runtime.supervision import GRACE_SECONDS, Restart, RestartLimit, Supervision


@final
class ActorSystem:
    """Runs actors; use it with `async with`, on one event loop and one thread."""

    def __init__(
        self,
        world: World | None = None,
        *,
        hooks: Hooks | None = None,
        messages: Messages | None = None,
        restart_limit: RestartLimit | None = None,
        on_escalation: Callable[[Escalated], None] | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Make one, to be entered once.

        Args:
            world: clock and everything else that is not deterministic; the real one if left out.
            hooks: hears of failures, restarts and dead letters.
            messages: makes spans of messages that carry a trace, as `Telemetry` does.
            restart_limit: how often each actor at the top may fail; 3 times in 5 s if left out.
            on_escalation: hears of an actor that failed more often; if left out, the system ends with `Escalated`.
            grace_seconds: how long an actor at the top may take to end before it is killed; 0 kills at once.
        """
        self._world = world or World()
        self._hooks = hooks
        self._messages = messages
        self._on_escalation = on_escalation
        supervision = Supervision(limit=restart_limit or RestartLimit(), grace_seconds=grace_seconds)
        self._root = ChildGroup(supervision, limit_each=True)
        self._kernel_made: Kernel | None = None
        self._group: TaskGroup | None = None
        self._stopping = False
        self._escalated: Escalated | None = None
        self._homes: Homes | None = None
        self._names: Names | None = None
        self._groups: Groups | None = None

    @property
    def world(self) -> World:
        """Everything that is not deterministic."""
        return self._world

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The youngest accepted messages that nobody will handle; all of them are counted in `statistics`."""
        return tuple(self._kernel.dead_letters)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the actors that run, in start order."""
        return tuple(self._kernel.cells)

    @property
    def names(self) -> Names:
        """What actors are called besides their address."""
        if self._names is None:
            self._names = Names(self._kernel)
        return self._names

    @property
    def groups(self) -> Groups:
        """The groups that actors have joined."""
        if self._groups is None:
            self._groups = Groups(self._kernel)
        return self._groups

    async def __aenter__(self) -> Self:
        """Begin; nothing runs yet but the sweep of deadlines."""
        assert self._group is None, "a system is entered once"
        self._group = await anyio.create_task_group().__aenter__()
        self._kernel_made = Kernel(self._world, self._start_soon, hooks=self._hooks, messages=self._messages)
        self._kernel_made.context.run(INSIDE.set, self._kernel_made)
        self._kernel_made.context.run(name_library)
        self._start_soon(self._kernel.sweep.run, name="casework deadlines")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End: the actors stop in reverse order, each within its grace, and every waiting ask is answered.

        Raises:
            Escalated: an actor failed more often than it may, and nobody asked to hear of it.
        """
        assert self._group is not None
        self._stopping = True
        try:
            # Cancelled from outside, every handler was, and there is no job left in which an actor could end.
            if anyio.current_effective_deadline() != -math.inf:
                # Bounded: each actor has its grace and is killed afterwards.
                with anyio.CancelScope(shield=True):
                    await self._root.stop_all()
        finally:
            self._kernel.waker = None  # nobody is woken any more
            self._group.cancel_scope.cancel()
            for cell in list(self._kernel.cells.values()):
                cell.abort()
            # An error of the block goes out as it is; a cancellation belongs to the task group, which may be its cause.
            inner = None if isinstance(error, Exception) else error
            swallowed = await self._group.__aexit__(
                kind if inner is not None else None, inner, trace if inner else None
            )
        if self._escalated is not None:
            raise self._escalated from None
        return swallowed if inner is not None else None

    def spawn(
        self,
        name: str,
        factory: Callable[[], Behavior],
        *,
        restart: Restart = Restart.PERMANENT,
        mailbox_depth_max: int = MAILBOX_DEPTH_MAX,
        overflow: Overflow = Overflow.REFUSE,
        grace_seconds: float | None = None,
        children: Supervision | None = None,
    ) -> Ref:
        """Start an actor at the top.

        Args:
            name: its address.
            factory: makes its behavior, now and after each failure.
            restart: when it is started again.
            mailbox_depth_max: messages that may wait for it.
            overflow: what happens to one message more.
            grace_seconds: how long it may take to end before it is killed, if less than the system's grace.
            children: how it looks after its own children.

        Raises:
            NameTaken: there is such an actor already, or one of that name, or it is a logical address.
            ValueError: it is no address.
            Stopping: the system drains or ends.
        """
        if self._stopping:
            raise Stopping
        if self._kernel.taken(name):
            raise NameTaken(name)
        options = cell_options(restart, mailbox_depth_max, overflow, grace_seconds, children)
        return Cell(self._kernel, name, factory, options, system=self, group=self._root, parent=self).ref

    def spawn_pool(
        self,
        name: str,
        factory: Callable[[], Behavior],
        *,
        workers: int,
        restart: Restart = Restart.PERMANENT,
        mailbox_depth_max: int = MAILBOX_DEPTH_MAX,
        overflow: Overflow = Overflow.REFUSE,
        restart_limit: RestartLimit | None = None,
    ) -> Ref:
        """Start equal workers behind one address; each message goes to the one with the least to do.

        Args:
            name: the address of the pool; the workers' are `name/1` and so on.
            factory: makes the behavior of a worker, now and after each failure.
            workers: how many, 1 to 256.
            restart: when a worker is started again.
            mailbox_depth_max: messages that may wait for each worker.
            overflow: what happens to one message more when no worker has room.
            restart_limit: how often the workers may fail, all counted together; then the pool ends, and escalates.

        Raises: as `spawn`.
        """
        if self._stopping:
            raise Stopping

        def start(address: str, options: CellOptions, *, group: ChildGroup, parent: Parent) -> Cell:
            return Cell(self._kernel, address, factory, options, system=self, group=group, parent=parent)

        looked_after = Supervision(
            limit=restart_limit or RestartLimit(), grace_seconds=self._root.supervision.grace_seconds
        )
        options = PoolOptions(workers, cell_options(restart, mailbox_depth_max, overflow), looked_after)
        return Pool(self._kernel, name, start, options, group=self._root, parent=self).ref

    def mailbox_statistics(self, address: str) -> MailboxStatistics:
        """Give what the mailbox of an actor holds and has seen.

        Raises:
            NotRunning: there is no actor of that address or name that has a mailbox.
        """
        member = self._kernel.find(address)
        if not isinstance(member, Cell):
            raise NotRunning(address)
        return member.mailbox.statistics()

    def pool_statistics(self, name: str) -> PoolStatistics:
        """Give what the workers of a pool have to do.

        Raises:
            NotRunning: there is no pool of that address or name.
        """
        pool = self._kernel.find(name)
        if not isinstance(pool, Pool):
            raise NotRunning(name)
        return pool.statistics()

    def declare(
        self,
        kind: str,
        factory: Callable[[str], Behavior],
        *,
        idle_seconds: float = IDLE_SECONDS,
        restart: Restart = Restart.PERMANENT,
        mailbox_depth_max: int = MAILBOX_DEPTH_MAX,
        overflow: Overflow = Overflow.REFUSE,
        grace_seconds: float | None = None,
    ) -> None:
        """Make `kind:key` a logical address for every key: its actor wakes with a message and rests when idle.

        An actor that fails more often than it may is gone until its next message; nothing else ends with it.

        Args:
            factory: makes the behavior of a key; its `stopped` may put the state away that `started` fetches again.
            idle_seconds: how long an actor has nothing to do before it is passivated.
            restart, mailbox_depth_max, overflow, grace_seconds: as for `spawn`.

        Raises:
            KindTaken: the kind is declared already, or it is no kind.
            Stopping: the system drains or ends.
        """
        if self._stopping:
            raise Stopping
        if self._homes is None:
            self._homes = self._kernel.waker = Homes(self._kernel, self, self._root)
        options = cell_options(restart, mailbox_depth_max, overflow, grace_seconds)
        self._homes.declare(kind, factory, options, idle_seconds=idle_seconds)

    def ref(self, address: str) -> Ref:
        """Give a handle of an address, whether anybody is there now or not; nothing is woken by it."""
        return Ref(address, self._kernel)

    def lookup(self, address: str) -> Ref | None:
        """Find a running actor by its address or by a name that it bears; the ref bears its address."""
        member = self._kernel.find(address)
        return None if member is None else Ref(member.address, self._kernel, member)

    def redrive(self, letter: DeadLetter) -> None:
        """Send the message of a dead letter to its receiver anew, as one more attempt, and take it off the list.

        Raises:
            LetterUnknown: the letter is not listed, or no longer.
            NotSent: it was refused, as any message may be, or its deadline has passed; the letter stays listed.
        """
        redrive(self._kernel, letter)

    def redrive_all(self) -> Redriven:
        """Send the messages of all dead letters anew, the oldest first; one that is refused keeps back no other."""
        return redrive_all(self._kernel)

    async def drain(self, timeout_seconds: float) -> bool:
        """Take nothing from outside, let actors finish among themselves, then stop them; safe to call again.

        Args:
            timeout_seconds: how long they may take to finish; afterwards what waits becomes dead letters. Stopping them
                takes at most two graces more.

        Returns whether they finished in time, and ended without being killed or cut short. If cancelled, nothing new
        is started, and the actors run on, or as many of them as were not stopped yet.
        """
        self._stopping = self._kernel.draining = True
        finished, cut_short = False, self._kernel.cut_short
        with anyio.move_on_after(timeout_seconds):
            await self._kernel.wait_quiet()
            finished = True
        stopped = await self._root.stop_all()
        return finished and stopped and self._kernel.cut_short == cut_short

    async def wait_quiet(self) -> None:
        """Wait until no actor has anything to do; if cancelled, nothing is left behind."""
        await self._kernel.wait_quiet()

    def statistics(self) -> SystemStatistics:
        """Count actors and messages."""
        return self._kernel.statistics()

    def waiting_by_kind(self) -> dict[str, int]:
        """Count the messages that wait, by kind of actor: its name before the first colon, without a final number."""
        waiting: dict[str, int] = {}
        for address, member in self._kernel.cells.items():
            kind = kind_of(address)
            waiting[kind] = waiting.get(kind, 0) + member.waiting
        return waiting

    def check_conservation(self) -> None:
        """Fail an assertion, with the figures, unless every message sent is accounted for."""
        self._kernel.check_conservation()

    def child_ended(self, ended: ChildEnded) -> None:
        """An actor at the top is gone for good; called by the kernel."""
        if ended.exit is not Exit.ESCALATED:
            return
        assert isinstance(ended.error, Escalated)
        if self._on_escalation is not None:
            self._on_escalation(ended.error)
        elif self._escalated is None:
            self._escalated = ended.error
            assert self._group is not None
            self._group.cancel_scope.cancel()

    def new_event(self) -> anyio.Event:
        """Make an event without asking which event loop runs, which `anyio.Event()` does each time."""
        return self._kernel.new_event()

    @property
    def _kernel(self) -> Kernel:
        assert self._kernel_made is not None, "use the system with `async with`"
        return self._kernel_made

    def _start_soon(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object, name: object = None
    ) -> None:
        assert self._group is not None
        self._kernel.context.run(lambda: self._group and self._group.start_soon(function, *args, name=name))
