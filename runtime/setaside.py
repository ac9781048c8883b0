"""Sets a case aside of which nothing can be written: its row alone says why, and it waits for an operator.

A case parks by a record, but where the row of a case names a place in its log at which something stands, none can be
added. What is left is the row: parked, with the first thing that is not as it was written. Its log stays as it is.
It does not know how often that was tried.
"""

import logging
from contextlib import suppress
from typing import Final

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.standing import said
from casework.runtime.store.base import Append, CaseKey, CaseStatus, Store, Unavailable, Unknown, Wait, WaitKind
from casework.runtime.store.damage import damage

_LOGGER: Final = logging.getLogger(__name__)


async def set_aside(store: Store, node: str, key: CaseKey, why: str) -> None:
    """Give back a case that a node holds, with the reason in its row; `why` is told where nothing of it is damaged.

    What is in its inbox counts as seen, so only something new has it tried again.

    Raises:
        StoreUnavailable: it is not known to be set aside; do it again.

    If cancelled, it may have been or not.
    """
    claimed = await store.reclaim(node, key)
    if claimed is None:
        return
    row, reason = claimed.row, said(damage(claimed) or why)
    seen = max([claimed.seen, *[item.position for item in claimed.inbox]])
    waits = (Wait(f"operator:{key.case_id}", WaitKind.OPERATOR, reason),)
    parked = Append(key, row.epoch, row.next_seq, (), CaseStatus.PARKED, waits=waits, release=True, inbox_seen=seen)
    with suppress(StoreInvalid):
        result = await store.append(parked)
        if isinstance(result, Unavailable | Unknown):
            raise StoreUnavailable(store.url, result.why)
    _LOGGER.error("case %s of %s is set aside, its log cannot be written: %s", key.case_id, key.tenant, reason)
