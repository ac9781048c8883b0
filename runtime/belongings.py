"""What one incarnation of an actor owns beside its behavior: jobs, children, replies it owes, actors it monitors.

Most actors own none of it, so it is made on first use, and an idle actor costs next to nothing.
It does not know when an incarnation ends, nor what becomes of the actor.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, final

import anyio

from casework.runtime.children import ChildGroup
from casework.runtime.jobs import CellJobs
from casework.runtime.kernel import Kernel
from casework.runtime.lifecycle import Down
from casework.runtime.reply import Owed
from casework.runtime.supervision import Supervision

T = TypeVar("T")

#: How long the jobs of an ended incarnation are waited for; they were cancelled, and code may shield itself.
JOBS_END_SECONDS: Final = 5.0


@final
class Belongings:
    """The belongings of one incarnation."""

    __slots__ = ("_children", "_failed", "_hear", "_jobs", "_kernel", "_monitored", "_owed", "_supervision")

    def __init__(
        self,
        kernel: Kernel,
        supervision: Supervision,
        hear: Callable[[Down], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Make none yet; `hear` is told of the end of monitored actors, `failed` of what a job raised."""
        self._failed = failed
        self._kernel = kernel
        self._hear = hear
        self._jobs: CellJobs | None = None
        # As they were named, each with the address that it stood for.
        self._monitored: dict[str, str] = {}
        self._supervision = supervision
        self._children: ChildGroup | None = None
        self._owed: Owed | None = None

    def __bool__(self) -> bool:
        """Say whether there is anything that an idle actor does not have."""
        return bool(self._jobs or self._children or self._owed)

    @property
    def children(self) -> ChildGroup:
        """The actors that it started."""
        if self._children is None:
            self._children = ChildGroup(self._supervision)
        return self._children

    @property
    def owed(self) -> Owed:
        """The replies that it owes."""
        if self._owed is None:
            self._owed = Owed()
        return self._owed

    def let_go(self, address: str) -> None:
        """Answer what is owed with an error: the incarnation of that address has ended."""
        if self._owed is not None:
            self._owed.fail(address)

    def start_job(self, name: str, run: Callable[[], Awaitable[T]], then: Callable[[T], None] | None = None) -> None:
        """Start a job that ends with the incarnation; with what it found `then` is called at its end."""
        if self._jobs is None:
            self._jobs = CellJobs(self._kernel.pool, failed=self._failed, ended=self._kernel.rest)
        self._kernel.busy += 1
        self._jobs.start(name, run, then)

    def monitor(self, address: str) -> None:
        """Hear of the end of another actor, once; of the end of the next one of that address, if asked again."""
        if address not in self._monitored:
            known = self._monitored[address] = self._kernel.names.get(address, address)
            self._kernel.watch(known, self._heard)

    def unmonitor(self, address: str) -> None:
        """Hear of it no more."""
        known = self._monitored.pop(address, None)
        if known is not None and known not in self._monitored.values():
            self._kernel.unwatch(known, self._heard)

    async def clear(self, *, killed: bool) -> None:
        """End the jobs, then the children; bounded in time. If cancelled, call it again."""
        for address in list(self._monitored):
            self.unmonitor(address)
        if self._jobs:
            self._jobs.cancel()
            with anyio.move_on_after(JOBS_END_SECONDS):
                await self._jobs.wait_ended()
        children = self._children
        if children:
            await (children.kill_all() if killed else children.stop_all())

    def _heard(self, down: Down) -> None:
        for address in [address for address, known in self._monitored.items() if known == down.subject]:
            del self._monitored[address]
        self._hear(down)
