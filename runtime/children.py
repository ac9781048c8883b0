"""A group of children under one supervision: their order, their restarts, and their end.

It performs what `supervision` decides. Children stop one after another, the youngest first; those that do not end
within their grace, or that of the group, are killed, so the end of a group is bounded however many children it has.
Where a failure concerns siblings, one job conducts a *round*: the failed child waits without an incarnation (held)
while they end, the youngest first; then all start again, the oldest first, each before the next. No cell waits in its
own turn for another, so two failures at once cannot wait for each other.
It does not know what a child is beyond the contract below.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, final

import anyio
from msgspec import Struct

from casework.runtime.lifecycle import ChildEnded, Exit, Phase
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, Overflow
from casework.runtime.seams import Clock
from casework.runtime.supervision import (
    Restart,
    Strategy,
    Supervision,
    Verdict,
    affected,
    decide,
    within_period,
)

#: How long a killed child is waited for: code that shields itself from a kill must not hold up everything else.
KILL_SECONDS: Final = 1.0


class CellOptions(Struct, frozen=True, gc=False):
    """How a cell is made."""

    restart: Restart = Restart.PERMANENT
    mailbox_depth_max: int = MAILBOX_DEPTH_MAX
    overflow: Overflow = Overflow.REFUSE
    grace_seconds: float | None = None
    """How long it may take to end before it is killed, if less than its group's grace."""
    children: Supervision = Supervision()
    """How it looks after its own children."""


#: What most actors are made with; one for all of them, for a million of them have no use for as many copies.
DEFAULT_OPTIONS: Final = CellOptions()


def cell_options(
    restart: Restart,
    mailbox_depth_max: int,
    overflow: Overflow,
    grace_seconds: float | None = None,
    children: Supervision | None = None,
) -> CellOptions:
    """Make options, or give those of most actors."""
    usual = restart is Restart.PERMANENT and mailbox_depth_max == MAILBOX_DEPTH_MAX and overflow is Overflow.REFUSE
    if usual and grace_seconds is None and children is None:
        return DEFAULT_OPTIONS
    assert mailbox_depth_max >= 1, "a mailbox has room for one message at least"
    return CellOptions(restart, mailbox_depth_max, overflow, grace_seconds, children or DEFAULT_OPTIONS.children)


class Child(Protocol):
    """What can be supervised."""

    @property
    def address(self) -> str:
        """Its name in the system."""
        ...

    @property
    def phase(self) -> Phase:
        """Where it stands in its life."""
        ...

    @property
    def options(self) -> CellOptions:
        """How it was made."""
        ...

    def stop(self) -> None:
        """Let it end after its running handler."""
        ...

    def stop_idle(self) -> bool:
        """End it at once if it has nothing to do and nothing to tidy up; say whether it has ended."""
        ...

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now."""
        ...

    def hold(self) -> None:
        """Let its incarnation end after the running handler; it then waits, held."""
        ...

    def resume(self) -> None:
        """Start a held child again."""
        ...

    def abort(self) -> None:
        """Account for it without running anything; nothing happens if it has ended."""
        ...

    async def wait_phase(self, *phases: Phase) -> None:
        """Wait until it is in one of these phases."""
        ...


class Parent(Protocol):
    """Who hears that a child is gone for good."""

    def child_ended(self, ended: ChildEnded) -> None:
        """Hear of it; `Exit.ESCALATED` is the hearer's own failure."""
        ...


class Ground(Protocol):
    """What a group needs of its system."""

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    def start_work(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Start a job that counts as something to do."""
        ...


@final
class ChildGroup:
    """Children in start order."""

    __slots__ = ("_children", "_conducting", "_each", "_ending", "_failed", "_over", "_restarts", "supervision")

    def __init__(self, supervision: Supervision, *, limit_each: bool = False) -> None:
        self.supervision = supervision
        # The actors at the top have nothing in common: there the limit holds for each alone, not for all together.
        self._each = limit_each
        self._children: dict[str, Child] = {}
        self._restarts: dict[str, list[float]] = {}
        self._failed: list[Child] = []
        # Those that a round ends: whatever befalls them until they start again is no failure of theirs.
        self._ending: dict[str, None] = {}
        self._conducting = False
        self._over = False

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

    def judge(self, child: Child, exit_: Exit, ground: Ground) -> Verdict:
        """Decide about a child that ended; a restart is counted, and a round that is due begins."""
        if child.address in self._ending and exit_ is not Exit.SHUTDOWN:
            return Verdict.HOLD
        if exit_ is Exit.RECYCLED:
            # It shielded itself for so long that its round went on without it.
            return Verdict.RESTART
        if child.options.restart is Restart.TEMPORARY:
            # It never starts again, so nothing of it is counted.
            return Verdict.FORGET
        key, now, limit = child.address if self._each else "", ground.clock.monotonic(), self.supervision.limit
        recent = within_period(self._restarts.get(key, ()), now, limit.period_seconds)
        verdict = decide(child.options.restart, exit_, recent, limit.intensity)
        if verdict is Verdict.ESCALATE and not self._each:
            self._over = True
        if verdict is not Verdict.RESTART:
            return verdict
        self._restarts[key] = [*recent, now]
        if self.supervision.strategy is Strategy.ONE_FOR_ONE:
            return verdict
        self._failed.append(child)
        if not self._conducting:
            self._conducting = True
            self._ending = {one.address: None for one in self._concerned(child) if _starts_again(one)}
            ground.start_work(self._conduct, "casework restarts")
        return Verdict.HOLD

    async def stop_all(self) -> bool:
        """Stop the children, each within its grace, and say whether all ended by themselves.

        One after another, the youngest first, for as long as the group's grace lasts; what is left then is stopped
        all at once, within one more. So one that hangs takes no time from the others, and the end is bounded.
        If cancelled, the child being waited for ends by itself and the older ones run on.
        """
        self._over, ended = True, True
        with anyio.move_on_after(self.supervision.grace_seconds):
            for child in reversed(list(self._children.values())):
                if not child.stop_idle():
                    child.stop()
                    ended = await self._see_off(child, Exit.SHUTDOWN) and ended
        if self._children:
            left = list(reversed(self._children.values()))
            for child in left:
                child.stop()
            with anyio.move_on_after(self.supervision.grace_seconds):
                for child in left:
                    await child.wait_phase(Phase.STOPPED)
            ended = not self._children and ended
            await self.kill_all()
        return ended

    async def kill_all(self) -> None:
        """Kill the children, the youngest first; if cancelled, they end all the same."""
        self._over = True
        children = list(reversed(list(self._children.values())))
        for child in children:
            child.kill(Exit.SHUTDOWN)
        with anyio.move_on_after(KILL_SECONDS):
            for child in children:
                await child.wait_phase(Phase.STOPPED)
        for child in children:
            # Whatever still shields itself has no part in this any more: its address is free.
            child.abort()

    async def _see_off(self, child: Child, exit_: Exit) -> bool:
        """Wait for the end of a child that was told to end; kill it when its grace is over, and say whether not."""
        grace, own = self.supervision.grace_seconds, child.options.grace_seconds
        grace = grace if own is None else min(own, grace)
        if grace > 0:
            with anyio.move_on_after(grace):
                await child.wait_phase(Phase.HELD, Phase.STOPPED)
                return True
        child.kill(exit_)
        with anyio.move_on_after(KILL_SECONDS):
            await child.wait_phase(Phase.HELD, Phase.STOPPED)
        return False

    async def _conduct(self) -> None:
        """Hold a round for each failure, one after another."""
        try:
            while self._failed and not self._over:
                await self._round(self._failed.pop(0))
        finally:
            self._conducting = False

    async def _round(self, failed: Child) -> None:
        """End the siblings that a failed child concerns, and start them all again; a new failure ends the round."""
        siblings = self._concerned(failed)
        self._ending = {one.address: None for one in siblings if _starts_again(one)}
        await failed.wait_phase(Phase.HELD, Phase.STOPPED)
        for sibling in reversed(siblings):
            await self._end(sibling)
        for child in list(self._children.values()):
            # Whoever is held starts again now, but for a child whose own round is still to come.
            due = child.phase is Phase.HELD and (child in (failed, *siblings) or child not in self._failed)
            if due and not self._over and not await self._start(child):
                return
        self._ending.clear()

    def _concerned(self, failed: Child) -> list[Child]:
        """Give the siblings that end and start again with a failed child, in start order."""
        order = tuple(self._children)
        names = affected(self.supervision.strategy, order, failed.address) if failed.address in order else ()
        return [self._children[name] for name in names]

    async def _end(self, sibling: Child) -> None:
        if self._over or sibling.phase is Phase.HELD:
            return
        if _starts_again(sibling):
            sibling.hold()
            await self._see_off(sibling, Exit.RECYCLED)
        else:
            sibling.stop()
            await self._see_off(sibling, Exit.SHUTDOWN)

    async def _start(self, child: Child) -> bool:
        """Start a held child; False when it failed again, and its own round is due."""
        self._ending.pop(child.address, None)
        if child in self._failed:
            self._failed.remove(child)
        child.resume()
        await child.wait_phase(Phase.RUNNING, Phase.HELD, Phase.STOPPED)
        return child.phase is not Phase.HELD


def _starts_again(child: Child) -> bool:
    return child.options.restart is not Restart.TEMPORARY
