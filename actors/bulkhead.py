"""The bulkhead: so many calls of one tool at a time, the others wait; tenants take turns, each in its own order.

A slow tool fills its own bulkhead and nobody else's, and a tenant with a thousand calls delays another tenant's next
one by one turn. A limiter of anyio knows no tenants and costs ten times as much, for it asks who borrows and goes
through the event loop twice, where most calls find room at once.
After the bulkhead of Nygard's "Release It!". It does not know what a call does.
"""

from typing import Final, final

import anyio

from casework.actors.fairness import FairQueue


@final
class Bulkhead:
    """Places for one tool's calls."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, places: int) -> None:
        """Make one with so many places, at least one."""
        assert places >= 1, "a tool that may be called has a place for it"
        self._free = places
        self._waiting: Final[FairQueue[anyio.Event]] = FairQueue()

    @property
    def waiting(self) -> int:
        """Say how many wait for a place."""
        return len(self._waiting)

    def enter_nowait(self) -> bool:
        """Take a place if one is free; whoever is told yes calls `leave` once."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def enter(self, tenant: str) -> None:
        """Take a place, waiting for one if need be; call `leave` once. If cancelled, none is taken."""
        if self.enter_nowait():
            return
        turn = anyio.Event()
        self._waiting.put(tenant, turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # It was given a place in the moment in which it was cancelled.
                self.leave()
            else:
                self._waiting.remove(tenant, turn)
            raise

    def leave(self) -> None:
        """Give a place to whose turn it is."""
        if len(self._waiting):
            self._waiting.take().set()
        else:
            self._free += 1
