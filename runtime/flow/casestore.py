"""A case's way to its store: patient while the store is unavailable, and careful after a lease that may have been over.

What it asks for it asks for again until there is an answer; only a cancellation ends that.
It does not know what the answers mean to the case.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar, final

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.household import Household
from casework.runtime.store.accounts import Account, Draw, Drawn, DrawRefused, Overdrawn
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseRow,
    InboxItem,
    LimitResult,
    Record,
    Unavailable,
    Unknown,
)

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
        self._drawn: dict[str, tuple[tuple[str, ...], int]] = {}

    async def append(self, append: Append) -> AppendResult:
        """Append; the answer is never Unavailable. If cancelled, treat it as Unknown."""
        delay, world = RETRY_SECONDS_MIN, self._house.world
        before, after = RELEASE if append.release and not append.records else APPEND
        while True:
            world.point(before)
            result = await self._house.store.append(append)
            world.point(after)
            if not isinstance(result, Unavailable):
                for settled in append.settles:
                    self._house.waiters.settled(settled, self._drawn.pop(settled.draw_id, None))
                return result
            delay = await self._pause(delay)

    async def inbox(self) -> tuple[Sequence[InboxItem], str]:
        """Give what waits for the case, and why it cannot be read, if so."""
        self._house.world.point("inbox.before")
        try:
            items, why = await self._asked(lambda: self._house.store.inbox(self._row.key)), ""
        except StoreInvalid as error:
            items, why = (), f"its inbox cannot be read: {error.why}"
        self._house.world.point("inbox.after")
        return items, why

    async def records(self) -> Sequence[Record]:
        """Give its log from its chapter on; nothing where it cannot be read."""
        try:
            return await self._asked(lambda: self._house.store.records(self._row.key, self._row.chapter))
        except StoreInvalid:
            return ()

    async def draw(self, id_: str, accounts: tuple[str, ...], micros: int) -> Drawn | Overdrawn | DrawRefused:
        """Reserve what a call may cost; the same again gives the same. If cancelled, ask again."""
        house = self._house
        self._drawn[id_] = accounts, micros
        draw = Draw(id_, accounts, micros, self._row.epoch, house.world.clock.wall_micros())
        house.world.point("reserve.before")
        while True:
            drawn: Drawn | Overdrawn | DrawRefused = await self._done(lambda: house.store.draw(draw))
            found = await self._account(drawn.account) if isinstance(drawn, Overdrawn) else None
            # One that another draw has opened meanwhile has more than this one found in it.
            if not isinstance(drawn, Overdrawn) or (found is not None and found.left_micros < micros):
                house.world.point("reserve.after")
                return drawn
            if found is None:
                for name in accounts:
                    await self._done(partial(self._open_account, name, draw.at))

    async def left(self, account: str) -> int:
        """Give what is left of an account, in millionths."""
        found = await self._account(account)
        return found.left_micros if found is not None else 0

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

    async def _account(self, name: str) -> Account | None:
        return await self._asked(lambda: self._house.store.account(name))

    async def _open_account(self, name: str, at: int) -> LimitResult:
        """Give an account that nobody has set a limit for the one of the policy."""
        staff = self._house.staff
        limit, by = staff.budgets.limit(name), f"policy:{staff.policy_hash}"
        return await self._house.store.set_limit(name, limit, by=by, at=at, only_new=True)

    async def _done(self, change: Callable[[], Awaitable[T | Unavailable | Unknown]]) -> T:
        """Make a change that does no harm twice, again until it is known to be made."""
        delay = RETRY_SECONDS_MIN
        while True:
            changed = await self._asked(change)
            if not isinstance(changed, Unavailable | Unknown):
                return changed
            delay = await self._pause(delay)

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
