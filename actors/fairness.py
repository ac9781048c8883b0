"""A waiting list that is fair between tenants: each has a queue of its own, and the queues take turns.

Within one tenant whoever came first goes first; between tenants nobody waits for more than one turn of each other one,
however long their queues are. It is a round robin, which is a deficit round robin where every turn costs the same.
Putting, taking and the length cost the same for any number of things.
It does not know what waits, nor what a turn is worth.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class FairQueue(Generic[T]):
    """Things that wait, by tenant."""

    __slots__ = ("_length", "_queues")

    def __init__(self) -> None:
        # The tenant whose turn is next stands first.
        self._queues: dict[str, deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        """Say how many wait."""
        return self._length

    def put(self, tenant: str, thing: T) -> None:
        """Let one more wait."""
        queue = self._queues.get(tenant)
        if queue is None:
            self._queues[tenant] = deque((thing,))
        else:
            queue.append(thing)
        self._length += 1

    def take(self) -> T:
        """Give whose turn it is.

        Raises:
            IndexError: nothing waits.
        """
        if not self._length:
            raise IndexError("nothing waits")
        tenant = next(iter(self._queues))
        queue = self._queues.pop(tenant)
        thing = queue.popleft()
        if queue:
            self._queues[tenant] = queue
        self._length -= 1
        return thing

    def remove(self, tenant: str, thing: T) -> None:
        """Let one go that waits no longer.

        Raises:
            ValueError: it does not wait.
        """
        queue = self._queues.get(tenant)
        if queue is None:
            raise ValueError(f"nothing of {tenant} waits")
        queue.remove(thing)
        if not queue:
            del self._queues[tenant]
        self._length -= 1

    def tenants(self) -> dict[str, int]:
        """Say how many wait of each tenant, the one whose turn is next first."""
        return {tenant: len(queue) for tenant, queue in self._queues.items()}

    def shed(self, tenant: str) -> T:
        """Take away the thing of a tenant that came last.

        Raises:
            KeyError: nothing of it waits.
        """
        queue = self._queues[tenant]
        thing = queue.pop()
        if not queue:
            del self._queues[tenant]
        self._length -= 1
        return thing

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Let everything go that is not wanted any more."""
        for tenant, queue in list(self._queues.items()):
            kept = deque(thing for thing in queue if wanted(thing))
            self._length += len(kept) - len(queue)
            if kept:
                self._queues[tenant] = kept
            else:
                del self._queues[tenant]
