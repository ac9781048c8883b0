"""A waiting list that is fair between tenants: each has a queue of its own, and the queues take turns.

Within one tenant whoever came first goes first; between tenants nobody waits for more than one turn of each other one,
however long their queues are. It is a round robin, which is a deficit round robin where every turn costs the same.
Putting, taking and the length cost the same for any number of things. While several tenants are about, none of them
gets the last place: who comes seldom would else wait for the end of something long each time.
It does not know what waits, nor what a turn is worth.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar, final

T = TypeVar("T")

#: A tenant is about while it was given one of so many last places.
LATELY: Final = 1_000


@final
class Lately:
    """Whether a tenant is alone of late; it remembers two numbers and a name."""

    __slots__ = ("_changed", "_given", "_last")

    def __init__(self) -> None:
        self._given = 0
        self._last = ""
        # When a place was given to another tenant than the one before.
        self._changed = -LATELY

    def note(self, tenant: str) -> None:
        """Hear that a tenant was given a place."""
        self._given += 1
        if tenant != self._last:
            if self._last:
                self._changed = self._given
            self._last = tenant

    def others(self, tenant: str) -> bool:
        """Tell whether another tenant is about, so that this one must leave the last place to it."""
        return self._given - self._changed < LATELY if tenant == self._last else bool(self._last)


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

    def take(self, may: Callable[[str], bool] | None = None) -> T:
        """Give whose turn it is, of those tenants that `may`.

        Raises:
            IndexError: nothing waits, or nobody may.
        """
        tenant = next((tenant for tenant in self._queues if may is None or may(tenant)), None)
        if tenant is None:
            raise IndexError("nothing waits that may go")
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
