"""A group of children under one supervision: their order, their restarts, and their end.

It performs what `supervision` decides. Children stop one after another, the youngest first; those that do not end
within the grace of the group are killed, so the end of a group is bounded however many children it has.
It does not know what a child is beyond the contract below.
"""

from typing import Final, Protocol, final

import anyio
from msgspec import Struct

from casework.runtime.lifecycle import ChildEnded, Exit
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, Policy
from casework.runtime.supervision import Restart, RestartLimit, Verdict, decide, within_period

#: How long the children of a group may take to end by themselves before they are killed.
GRACE_SECONDS: Final = 5.0
#: How long a killed child is waited for: code that shields itself from a kill must not hold up everything else.
KILL_SECONDS: Final = 1.0


class Child(Protocol):
    """What can be supervised."""

    @property
    def address(self) -> str:
        """Its name in the system."""
        ...

    @property
    def restart(self) -> Restart:
        """When it is started again."""
        ...

    def stop(self, exit_: Exit = Exit.SHUTDOWN) -> None:
        """Let it end after its running handler."""
        ...

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now."""
        ...

    async def wait_stopped(self) -> None:
        """Wait until it has ended."""
        ...


class Parent(Protocol):
    """Who hears that a child is gone for good."""

    def child_ended(self, ended: ChildEnded) -> None:
        """Hear of it; `Exit.ESCALATED` is the hearer's own failure."""
        ...


class CellOptions(Struct, frozen=True):
    """How a cell is made."""

    restart: Restart = Restart.PERMANENT
    mailbox_depth_max: int = MAILBOX_DEPTH_MAX
    policy: Policy = Policy.REFUSE


@final
class ChildGroup:
    """Children in start order, one for one: a child's restart touches no other child."""

    __slots__ = ("_children", "_each", "_restarts", "grace_seconds", "limit")

    def __init__(
        self, limit: RestartLimit | None = None, *, grace_seconds: float = GRACE_SECONDS, limit_each: bool = False
    ) -> None:
        self.limit = limit or RestartLimit()
        self.grace_seconds = grace_seconds
        # The actors at the top have nothing in common: there the limit holds for each alone, not for all together.
        self._each = limit_each
        self._children: dict[str, Child] = {}
        self._restarts: dict[str, list[float]] = {}

    def __len__(self) -> int:
        """Count the children."""
        return len(self._children)

    def add(self, child: Child) -> None:
        """Take a child that was started."""
        self._children[child.address] = child

    def forget(self, child: Child) -> None:
        """Let go of a child that has ended for good."""
        self._children.pop(child.address, None)
        if self._each:
            self._restarts.pop(child.address, None)

    def judge(self, child: Child, exit_: Exit, now: float) -> Verdict:
        """Decide about a child that ended; a restart is counted."""
        key = child.address if self._each else ""
        recent = within_period(self._restarts.get(key, ()), now, self.limit.period_seconds)
        verdict = decide(child.restart, exit_, recent, self.limit.intensity)
        if verdict is Verdict.RESTART:
            self._restarts[key] = [*recent, now]
        return verdict

    async def stop_all(self) -> None:
        """Stop the children, the youngest first; kill what is left when the grace of the group is over.

        If cancelled, the child being waited for ends by itself and the older ones run on.
        """
        with anyio.move_on_after(self.grace_seconds):
            for child in reversed(list(self._children.values())):
                child.stop()
                await child.wait_stopped()
        await self.kill_all()

    async def kill_all(self) -> None:
        """Kill the children, the youngest first; if cancelled, they end all the same."""
        children = list(reversed(list(self._children.values())))
        for child in children:
            child.kill(Exit.SHUTDOWN)
        with anyio.move_on_after(KILL_SECONDS):
            for child in children:
                await child.wait_stopped()
