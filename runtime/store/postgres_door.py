"""Writes to a PostgreSQL store on which other processes work, and waits until they have done so.

There is no door to pass: each call opens the store for itself, and the nodes hear of it. What is here is how somebody
who does not work on cases learns whether anybody does.
It does not know what is written.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, final

import anyio

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store.base import DecideResult, DeliverResult, LimitResult
from casework.runtime.store.postgres import PostgresStore
from casework.runtime.store.postgres_url import PostgresAddress

#: Seconds between two looks at whether the nodes have come to rest.
LOOK_SECONDS: Final = 0.1


@final
class PostgresDoor:
    """A way to write where others do the work."""

    def __init__(self, address: PostgresAddress, world: World) -> None:
        """Use `open`."""
        self._address = address
        self._world = world

    @classmethod
    async def open(cls, address: PostgresAddress, world: World) -> "PostgresDoor":
        """See that a node lives.

        Raises:
            StoreInvalid, StoreNewer: it is no store of ours.
            StoreUnavailable: no node works on it, or it cannot be reached just now.

        If cancelled, nothing stays open.
        """
        door = cls(address, world)
        async with door._opened() as store:
            if not await store.attended():
                raise StoreUnavailable(address.shown, "no node works on it")
        return door

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put a frame into the inbox of a case, or of every case that waits for a key; as the store does it."""
        async with self._opened() as store:
            return await store.deliver(tenant, target, item_id, frame)

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set; as the store does it."""
        async with self._opened() as store:
            return await store.decide(review_id, proposal_hash, frame, now)

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> LimitResult:
        """Set an account's limit; as the store does it."""
        async with self._opened() as store:
            return await store.set_limit(name, limit_micros, by=by, at=at, only_new=only_new)

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; as the store does it."""
        async with self._opened() as store:
            await store.put_artifact(sha256, data)

    async def settle(self, timeout_seconds: float) -> bool:
        """Wait until the nodes have nothing to do; False if they still had when the time was over.

        Raises:
            StoreUnavailable: there is no node any more, or the store cannot be reached.
        """
        async with self._opened() as store:
            with anyio.move_on_after(timeout_seconds):
                while await store.unsettled():
                    if not await store.attended():
                        raise StoreUnavailable(store.url, "no node works on it any more")
                    await self._world.clock.sleep(LOOK_SECONDS)
                return True
        return False

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[PostgresStore]:
        store = await PostgresStore.open(self._address, self._world)
        try:
            yield store
        finally:
            await store.aclose()
