"""Who waits for what, asked by what is waited for: a store finds them without looking at every case.

However many wait, they are read a page at a time. It does not know what a key stands for.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from casework.runtime.store.base import CaseRow

#: Where a case stands among those that wait: when it changed last, its tenant and its id.
Place: TypeAlias = tuple[int, str, str]
#: Before all of them.
FIRST: Final[Place] = (-1, "", "")
#: Cases that are read at once: some milliseconds in which nothing else of the process goes on.
PAGE: Final = 256


class WaitReader(Protocol):
    """What anybody may read of waits; raises as the store's other reads."""

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> "Sequence[CaseRow]":
        """Give the cases, of whatever tenant, that wait for one of these keys, at most `limit`.

        In the order of their places, so those first that changed longest ago, and only those after a place.
        """
        ...


def place_of(row: "CaseRow") -> Place:
    """Give where a case stands."""
    return row.changed_at, row.key.tenant, row.key.case_id


async def paged(reader: WaitReader, keys: Collection[str]) -> "AsyncIterator[Sequence[CaseRow]]":
    """Give those who wait for one of these keys, a page at a time, who waits longest first.

    Whoever takes a page may change the keys for the next one; without any there is none. Raises as the reader.
    """
    after = FIRST
    while keys:
        rows = await reader.awaiting(list(keys), after=after, limit=PAGE)
        if rows:
            yield rows
        # One that cannot be read says of itself that it never changed, so the last one is not always the latest.
        before, after = after, max([after, *map(place_of, rows)])
        if len(rows) < PAGE or after == before:
            return
