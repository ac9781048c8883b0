"""The bulkhead: so many calls of one tool at a time, the others wait; tenants take turns, each in its own order.

A slow tool fills its own bulkhead and nobody else's, and a tenant with a thousand calls does not delay another's next
one. A limiter of anyio knows no tenants and costs ten times as much, for it asks who borrows and goes through the event
loop twice, where most calls find room at once.
After the bulkhead of Nygard's "Release It!". It does not know what a call does.
"""

from typing import Final, final

import anyio

from casework.actors.fairness import FairQueue, Lately


@final
class Bulkhead:
    """Places for one tool's calls."""

    __slots__ = ("_free", "_held", "_lately", "_places", "_waiting")

    def __init__(self, places: int) -> None:
        """Make one with so many places, at least one."""
        assert places >= 1, "a tool that may be called has a place for it"
        self._places = self._free = places
        self._held: Final[dict[str, int]] = {}
        self._lately: Final = Lately()
        self._waiting: Final[FairQueue[anyio.Event]] = FairQueue()

    @property
    def waiting(self) -> int:
        """Say how many wait for a place."""
        return len(self._waiting)

    def enter_nowait(self, tenant: str) -> bool:
        """Take a place if one is free for that tenant; whoever is told yes calls `leave` once."""
        if not (self._free and self._may(tenant)):
            return False
        self._free -= 1
        self._took(tenant)
        return True

    async def enter(self, tenant: str) -> None:
        """Take a place, waiting for one if need be; call `leave` once. If cancelled, none is taken."""
        if self.enter_nowait(tenant):
            return
        turn = anyio.Event()
        self._waiting.put(tenant, turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # It was given a place in the moment in which it was cancelled.
                self.leave(tenant)
            else:
                self._waiting.remove(tenant, turn)
            raise

    def leave(self, tenant: str) -> None:
        """Give a place that a tenant had to whose turn it is."""
        held = self._held.pop(tenant) - 1
        if held:
            self._held[tenant] = held
        self._free += 1
        while self._free and len(self._waiting):
            waiting = next((each for each in self._waiting.tenants() if self._may(each)), None)
            if waiting is None:
                return
            self._free -= 1
            self._took(waiting)
            self._waiting.take(waiting.__eq__).set()

    def _may(self, tenant: str) -> bool:
        last = self._places > 1 and self._held.get(tenant, 0) >= self._places - 1
        return not (last and self._lately.others(tenant))

    def _took(self, tenant: str) -> None:
        self._held[tenant] = self._held.get(tenant, 0) + 1
        self._lately.note(tenant)
