"""A delivery that takes the case which it wakes: what a node wants that delivers in its own process.

Delivered and claimed in two transactions, a parked case begins later by two ways to the store and a wait for the disk.
It does not know who delivers, nor what.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from casework.runtime.store.base import DeliverResult
    from casework.runtime.store.claims import Claimed


class Delivery(Struct, frozen=True):
    """What `StoreDoor.deliver` is asked."""

    tenant: str
    target: str
    item_id: str
    frame: bytes


class Taker(Protocol):
    """What delivers and claims in one transaction."""

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: "Callable[[Claimed], None]"
    ) -> "DeliverResult":
        """Deliver as `deliver` does, and take the case that it wakes for a node, as a claim would at `now`.

        It is taken only where the item went to one case alone, and that case is claimable for the node, was never
        claimed in vain, and stands in no suspect's way; it may be left to the next claim even then. The claim counts
        as any other.

        `taken` is called on the event loop with what was taken, before the answer; it must not block. It may be called
        before any of this is durable, but what is appended under the claim never is durable without it. A case that was
        taken is not announced to the listener of `on_arrival`, one that was not is.

        If cancelled, or Unknown, it may or may not have been delivered, and the case may have been taken with or
        without `taken` being called.
        """
        ...
