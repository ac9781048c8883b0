"""The actor system: where actors live, from `async with` to the last of them ended.

Two systems in one process share nothing. Leaving the block stops the actors, the youngest first, each within its
grace; `drain` first lets them finish what they have. An actor at the top that fails more often than it may is ended;
unless somebody asked to hear of that (`on_escalation`), the whole system ends with it and raises.
It does not know what is durable, nor what arrives from other processes.
"""

import contextvars
import re
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Final, Self, final

import anyio
from anyio.abc import TaskGroup

from casework.runtime.behavior import Behavior
from casework.runtime.cell import Cell
from casework.runtime.children import GRACE_SECONDS, CellOptions, ChildGroup
from casework.runtime.errors import Escalated, Stopping
from casework.runtime.kernel import DeadLetter, Hooks, Kernel, SystemStatistics
from casework.runtime.lifecycle import ChildEnded, Exit
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, Policy
from casework.runtime.ref import Ref
from casework.runtime.seams import World
from casework.runtime.supervision import Restart, RestartLimit

#: How workers of one kind are told apart.
_NUMBERED: Final = re.compile(r"-\d+$")


@final
class ActorSystem:
    """Runs actors; use it with `async with`, on one event loop and one thread."""

    def __init__(
        self,
        world: World | None = None,
        *,
        hooks: Hooks | None = None,
        restart_limit: RestartLimit | None = None,
        on_escalation: Callable[[Escalated], None] | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._world = world or World()
        self._hooks = hooks
        self._on_escalation = on_escalation
        self._root = ChildGroup(restart_limit, grace_seconds=grace_seconds, limit_each=True)
        self._kernel_made: Kernel | None = None
        self._group: TaskGroup | None = None
        self._jobs_context: contextvars.Context | None = None
        self._stopping = False
        self._escalated: Escalated | None = None

    @property
    def world(self) -> World:
        """Everything that is not deterministic."""
        return self._world

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The youngest accepted messages that nobody will handle; all of them are counted in `statistics`."""
        return tuple(self._kernel.dead_letters)

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses of the actors that run, in start order."""
        return tuple(self._kernel.cells)

    async def __aenter__(self) -> Self:
        """Begin; nothing runs yet but the sweep of deadlines."""
        assert self._group is None, "a system is entered once"
        self._group = await anyio.create_task_group().__aenter__()
        # A job serves many cells: it must not carry the trace or the settings of whoever sent the first message.
        self._jobs_context = contextvars.copy_context()
        self._kernel_made = Kernel(self._world, self._hooks, self._start_soon)
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
            # Bounded: each actor has its grace and is killed afterwards.
            with anyio.CancelScope(shield=True):
                await self._root.stop_all()
        finally:
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
        policy: Policy = Policy.REFUSE,
    ) -> Ref:
        """Start an actor at the top.

        Args:
            name: its address.
            factory: makes its behavior, now and after each failure.
            restart: when it is started again.
            mailbox_depth_max: messages that may wait for it.
            policy: what happens to one message more.

        Raises:
            NameTaken: there is such an actor already.
            Stopping: the system drains or ends.
        """
        if self._stopping:
            raise Stopping
        options = CellOptions(restart, mailbox_depth_max, policy)
        return Cell(self._kernel, name, factory, options, system=self, group=self._root, parent=self).ref

    def lookup(self, address: str) -> Ref | None:
        """Find a running actor."""
        cell = self._kernel.find(address)
        return None if cell is None else Ref(address, self._kernel, cell)

    async def drain(self, timeout_seconds: float) -> bool:
        """Start nothing new at the top, let actors finish what they have, then stop them; safe to call again.

        Args:
            timeout_seconds: how long they may take to finish; afterwards what waits becomes dead letters.

        Returns whether they finished in time. If cancelled, the actors run on, and nothing new is started.
        """
        self._stopping = True
        finished = False
        with anyio.move_on_after(timeout_seconds):
            await self._kernel.wait_quiet()
            finished = True
        await self._root.stop_all()
        return finished

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
            kind = _NUMBERED.sub("", address.partition(":")[0])
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

    @property
    def _kernel(self) -> Kernel:
        assert self._kernel_made is not None, "use the system with `async with`"
        return self._kernel_made

    def _start_soon(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object, name: object = None
    ) -> None:
        assert self._group is not None
        assert self._jobs_context is not None
        self._jobs_context.run(lambda: self._group and self._group.start_soon(function, *args, name=name))
