"""Locks the cases that a batch is about, in one order for everybody, and says how they stand.

All rows are locked by one statement before anything is written, sorted by number, so no two batches can each hold
what the other needs. Whoever puts something into an inbox locks the receiver as well: a position that is visible
then has all lower ones of its case visible too, and a case that parks has really seen what it says it has.
It does not know what is done with the cases.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from casework.runtime.store.base import Append, CaseKey, CaseRow, CaseStatus, Opening
from casework.runtime.store.postgres_calls import Asked, Decision, Delivery, Reclaim, Retain, Trim
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_queries import storable

if TYPE_CHECKING:
    from casework.runtime.store.postgres_queries import Row

_COLUMNS: Final = "c.no, c.tenant, c.case_id, c.epoch, c.next_seq, c.node, c.status, c.head, c.changed_at"
_ALL: Final = " ".join(("SELECT", _COLUMNS, 'FROM "case" c'))
_LOCK: Final = f"""
    {_ALL} JOIN unnest($1::text[], $2::text[]) AS k (tenant, case_id) USING (tenant, case_id)
    ORDER BY c.no FOR NO KEY UPDATE OF c
"""
#: The same, and those that wait for a key or have a review.
_WANTED: Final = """
        SELECT n.no FROM unnest($1::text[], $2::text[]) AS k (tenant, case_id) JOIN "case" n USING (tenant, case_id)
        UNION
        SELECT w.case_no FROM unnest($3::text[], $4::text[]) AS d (tenant, key) JOIN wait w USING (key)
        JOIN "case" n ON n.no = w.case_no AND n.tenant = d.tenant
        UNION
        SELECT r.case_no FROM review r WHERE r.id = ANY($5::text[])
"""
_LOCK_WANTED: Final = f"{_ALL} WHERE c.no IN ({_WANTED}) ORDER BY c.no FOR NO KEY UPDATE OF c"


@dataclass(slots=True)
class Standing:
    """How a locked case stands; with each append to it another takes its place."""

    number: int
    key: CaseKey
    epoch: int
    next_seq: int
    node: str
    status: CaseStatus
    head: bytes
    changed_at: int


def last_written(standings: Sequence[Standing], asked: Sequence[Asked]) -> Standing | None:
    """Give how the last of those cases stands of which calls wrote a record.

    Of one that was only taken or let go nobody knows whether its row fits its log.
    """
    wrote = {call.key for call in asked if isinstance(call, Opening) or (isinstance(call, Append) and call.records)}
    return next((standing for standing in reversed(standings) if standing.key in wrote), None)


def begun(number: int, opening: Opening, head: bytes) -> Standing:
    """Say how a case stands that was just opened."""
    taken = int(bool(opening.node))
    return Standing(number, opening.key, taken, 1, opening.node, CaseStatus.OPEN, head, opening.record.at)


async def lock(link: Link, asked: Sequence[Asked]) -> dict[CaseKey, Standing]:
    """Lock all cases that these calls are about, and give those that are there."""
    keys: dict[CaseKey, None] = {}
    wanted: dict[CaseKey, None] = {}
    reviews: dict[str, None] = {}
    for call in asked:
        match call:
            case Append(key=key, sends=sends):
                keys[key] = None
                keys.update((item.key, None) for item in sends)
            case Delivery(tenant=tenant, target=target):
                keys[CaseKey(tenant, target)] = None
                wanted[CaseKey(tenant, target)] = None
            case Decision(review_id=review_id):
                reviews[review_id] = None
            case Reclaim(key=key):
                keys[key] = None
            case Retain(keys=retained):
                keys.update((key, None) for key in retained)
            case Trim(cuts=cuts):
                keys.update((cut.key, None) for cut in cuts)
            case _:
                pass
    if not (wanted or reviews):
        return await lock_keys(link, keys)
    rows = await link.fetch(_LOCK_WANTED, *_split(keys), *_split(wanted), [each for each in reviews if storable(each)])
    return _standings(rows)


async def lock_keys(link: Link, keys: Iterable[CaseKey]) -> dict[CaseKey, Standing]:
    """Lock these cases, and give those that are there."""
    tenants, case_ids = _split(keys)
    if not tenants:
        return {}
    return _standings(await link.fetch(_LOCK, tenants, case_ids))


def standing_of(number: int, row: CaseRow) -> Standing:
    """Say how a case stands that was just claimed."""
    return Standing(number, row.key, row.epoch, row.next_seq, row.node, row.status, row.head, row.changed_at)


def _split(keys: Iterable[CaseKey]) -> tuple[list[str], list[str]]:
    kept = [key for key in keys if storable(*key)]
    return [key.tenant for key in kept], [key.case_id for key in kept]


def _standings(rows: Iterable["Row"]) -> dict[CaseKey, Standing]:
    standings: dict[CaseKey, Standing] = {}
    for number, tenant, case_id, epoch, next_seq, node, status, head, changed_at in rows:
        key = CaseKey(tenant, case_id)
        standings[key] = Standing(number, key, epoch, next_seq, node, CaseStatus(status), head, changed_at)
    return standings
