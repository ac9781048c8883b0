"""The renewals of a node's lease: asked for again and again, until the node gives it back.

It does not know what the lease entitles to.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, final

import anyio

from casework.runtime.errors import StoreUnavailable
from casework.runtime.lease import LEASE_SECONDS, Lease
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import Store
from casework.runtime.timers import Timers

#: Seconds between renewals of the node's lease.
RENEW_SECONDS: Final = 1.0


@final
class Renewal:
    """Keeps the lease of one incarnation of a node."""

    def __init__(
        self, node: str, lease: Lease, store: Store, world: World, carries: Sequence[str], begun: Callable[[], None]
    ) -> None:
        """Prepare; `begun` is called when the lease begins, or does anew since it may have been over, and once more.

        The second time is the first renewal that is asked for a lease's length later.
        """
        self._node = node
        self._lease = lease
        self._store = store
        self._world = world
        self._carries = carries
        self._begun = begun
        self._again = math.inf  # the steady clock's moment from which a renewal says once more that the lease began
        self.over = False  #: the lease was given back

    async def run(self, timers: Timers) -> None:
        """Renew from time to time until cancelled, and have the timers follow the wall clock."""
        while True:
            await self._world.clock.sleep(RENEW_SECONDS)
            timers.follow_wall()
            await self.once()

    async def once(self) -> None:
        """Renew, unless the lease was given back; if cancelled, it may have been renewed."""
        if not self.over:
            asked = self._lease.moment()
            # A store that is unavailable renews nobody else's lease either; the next time is soon.
            with suppress(StoreUnavailable):
                until = self._world.clock.wall_micros() + int(LEASE_SECONDS * MICROS)
                self._world.point("renew.before")
                await self._store.renew(self._node, until=until, carries=self._carries)
                self._world.point("renew.after")
                term = self._lease.term
                self._lease.renewed(asked)
                self._say(asked.steady, anew=self._lease.term != term)

    def _say(self, now: float, *, anew: bool) -> None:
        if anew or now >= self._again:
            # No alarm: where time leaps from alarm to alarm, each leap begins a lease, which would set the next one.
            self._again = now + LEASE_SECONDS if anew else math.inf
            self._begun()

    async def give_back(self, timeout_seconds: float) -> None:
        """End the lease now: what its node holds is free for whoever comes next, or else when it would have been over.

        If cancelled, nothing begins under it any more.
        """
        self.over = True
        self._lease.over()
        with anyio.move_on_after(timeout_seconds), suppress(StoreUnavailable):
            await self._store.renew(self._node, until=0)
