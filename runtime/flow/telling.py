"""Tells all cases that wait for one key that what they wait for is there, each once for each time that it waited.

However many tell a case, and however often, it hears it once. It does not know what a key stands for.
"""

from collections.abc import Callable

import anyio

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.store.base import CaseRow, Store, Unavailable, Unknown
from casework.runtime.store.waiting import paged


async def tell_waiting(store: Store, key: str, arrival: Callable[[CaseRow, str], Arrived]) -> int:
    """Tell the cases that wait for a key; `arrival` makes of a case and a message id what it is given. Say how many.

    Raises:
        StoreUnavailable: some may not have been told; to tell them again does no harm.
        StoreInvalid: what one waits for cannot be read.
    """
    count, failed = 0, list[StoreUnavailable | StoreInvalid]()

    async def tell(row: CaseRow) -> None:
        item_id = f"{key}:{row.next_seq}"
        try:
            told = await store.deliver(*row.key, item_id, encode(arrival(row, item_id)))
            if isinstance(told, Unavailable | Unknown):
                failed.append(StoreUnavailable(store.url, told.why))
        except (StoreUnavailable, StoreInvalid) as error:
            failed.append(error)

    async for rows in paged(store, [key]):
        # All of a page at once, for a store commits together what comes together.
        async with anyio.create_task_group() as jobs:
            for row in rows:
                jobs.start_soon(tell, row)
        if failed:
            raise failed[0]
        count += len(rows)
    return count
