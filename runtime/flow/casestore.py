"""A case's way to its store: patient while the store is unavailable, and careful after a lease that may have been over.

What it asks for it asks for again until there is an answer; only a cancellation ends that.
It does not know what the answers mean to the case.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, final

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.household import Household
from casework.runtime.store.base import Append, AppendResult, CaseRow, InboxItem, Record, Unavailable

T = TypeVar("T")

#: Seconds between attempts to reach a store that is unavailable: the first, and the longest.
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 2.0

#: The points before and after an append, and before and after one that only gives the case back.
APPEND: Final = ("append.before", "append.after")
RELEASE: Final = ("release.before", "release.after")


@final
class CaseStore:
    """The store, as one incarnation of a case uses it."""

    def __init__(self, household: Household, row: CaseRow, term: int) -> None:
        """Make it for a case that was claimed in a term of the node's lease."""
        self._house = household
        self._row = row
        self._term = term

    async def append(self, append: Append) -> AppendResult:
        """Append; the answer is never Unavailable. If cancelled, treat it as Unknown."""
        delay, world = RETRY_SECONDS_MIN, self._house.world
        before, after = RELEASE if append.release and not append.records else APPEND
        while True:
            world.point(before)
            result = await self._house.store.append(append)
            world.point(after)
            if not isinstance(result, Unavailable):
                return result
            delay = await self._pause(delay)

    async def inbox(self) -> Sequence[InboxItem]:
        """Give what waits for the case."""
        self._house.world.point("inbox.before")
        items = await self._asked(lambda: self._house.store.inbox(self._row.key))
        self._house.world.point("inbox.after")
        return items

    async def records(self) -> Sequence[Record]:
        """Give its log from its chapter on; nothing where it cannot be read."""
        try:
            return await self._asked(lambda: self._house.store.records(self._row.key, self._row.chapter))
        except StoreInvalid:
            return ()

    async def entitled(self) -> bool:
        """Wait until the case may have an effect; after a lease that may have been over, look who has it now."""
        term = await self._house.lease.wait_fresh()
        while term != self._term:
            row = await self._asked(lambda: self._house.store.case(self._row.key))
            if row is None or (row.epoch, row.node) != (self._row.epoch, self._row.node):
                return False
            self._term = term
            term = await self._house.lease.wait_fresh()
        return True

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        delay = RETRY_SECONDS_MIN
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                delay = await self._pause(delay)

    async def _pause(self, seconds: float) -> float:
        """Wait for a store that is unavailable; give how long to wait next time."""
        await self._house.world.clock.sleep(seconds)
        return min(seconds * 2, RETRY_SECONDS_MAX)
