"""What is read from a PostgreSQL store, as plain functions over a connection.

Each is one statement, so it sees one moment. Raises what the driver raises, and ValueError for values that are not
of their type. It does not know who reads.
"""

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from casework.runtime.store import rules
from casework.runtime.store.base import (
    CaseKey,
    CaseRow,
    CaseStatus,
    InboxItem,
    Record,
    ReviewRow,
    Wait,
    WaitKind,
)
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.waiting import Place

if TYPE_CHECKING:
    import asyncpg

    Row: TypeAlias = asyncpg.Record

_ROW: Final = """
    c.no, c.tenant, c.case_id, c.epoch, c.next_seq, c.node, c.status, c.result, c.flow, c.version, c.source_hash,
    c.crew, c.parent, c.head, c.opened_at, c.changed_at, c.claims, c.chapter
"""
#: What a case waits for, as one text of JSON, so that it needs no statement of its own.
WAITS: Final = """
    SELECT json_agg(json_build_array(w.key, w.kind, w.reason, w.due) ORDER BY w.place)::text
    FROM wait w WHERE w.case_no = {}
"""
_COLUMNS: Final = f"{_ROW}, ({WAITS.format('c.no')}) AS waits"
RETURNING_CASE: Final = f"RETURNING {_COLUMNS}"
#: Nothing but the row itself.
RETURNING_ROW: Final = f"RETURNING {_ROW}, NULL AS waits"
#: Joins to a case `c`, whose frames have `c.bytes`, its log from its chapter on and its inbox, each column as one
#: array: then all that a case needs to begin is one row. A log that is longer is left out.
BEGINNING: Final = """
    LEFT JOIN LATERAL (
        SELECT array_agg(seq) AS seqs, array_agg(epoch) AS epochs, array_agg(kind) AS kinds,
               array_agg(step_id) AS step_ids, array_agg(at) AS ats, array_agg(frame) AS frames,
               array_agg(hash) AS hashes, array_agg(frame_hash) AS frame_hashes
        FROM (
            SELECT * FROM record r WHERE r.case_no = c.no AND r.seq >= c.chapter AND c.bytes <= {bytes_max}
            ORDER BY r.seq
        ) r
    ) log ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(id) AS item_ids, array_agg(kind) AS item_kinds, array_agg(frame) AS item_frames,
               array_agg(position) AS positions
        FROM (SELECT * FROM inbox i WHERE i.case_no = c.no AND NOT i.consumed ORDER BY i.position) i
    ) unread ON true
"""
_ALL: Final = " ".join(("SELECT", _COLUMNS, 'FROM "case" c'))
_CASE: Final = f"{_ALL} WHERE c.tenant = $1 AND c.case_id = $2"
_CASES_BY_KEY: Final = f"{_ALL} JOIN unnest($1::text[], $2::text[]) AS k (tenant, case_id) USING (tenant, case_id)"
_CASES: Final = f"""
    {_ALL} WHERE ($1::text IS NULL OR c.tenant = $1) AND ($2::text IS NULL OR c.status = $2)
             AND ($3::text IS NULL OR c.parent = $3) ORDER BY c.tenant, c.case_id
"""
_AWAITED: Final = "WHERE c.no IN (SELECT w.case_no FROM wait w WHERE w.key = ANY($1::text[]))"
_AWAITING: Final = f"""
    {_ALL} {_AWAITED} AND (c.changed_at, c.tenant, c.case_id) > ($2, $3, $4)
    ORDER BY c.changed_at, c.tenant, c.case_id LIMIT $5
"""
_RECORDS: Final = """
    SELECT r.seq, r.epoch, r.kind, r.step_id, r.at, r.frame, r.hash, r.frame_hash
    FROM record r JOIN "case" c ON c.no = r.case_no
    WHERE c.tenant = $1 AND c.case_id = $2 AND r.seq >= $3 ORDER BY r.seq
"""
REVIEW: Final = """
    SELECT r.id, c.tenant, c.case_id, r.step_id, r.title, r.state, r.opened_at, r.expires, r.proposal_hash, r.frame,
           r.decision, r.case_no
    FROM review r JOIN "case" c ON c.no = r.case_no
"""
_REVIEWS: Final = f'{REVIEW} WHERE $1::text IS NULL OR r.state = $1 ORDER BY r.opened_at, r.id COLLATE "C"'
_REVIEW: Final = f"{REVIEW} WHERE r.id = $1"
_INBOXES: Final = """
    SELECT c.tenant, c.case_id, i.id, i.kind, i.frame, i.position
    FROM "case" c JOIN unnest($1::text[], $2::text[]) AS k (tenant, case_id) USING (tenant, case_id)
    JOIN inbox i ON i.case_no = c.no WHERE NOT i.consumed
"""
#: A node that is dead holds nothing, so a timer counts unless somebody with a lease has the case. Each OFFSET keeps the
#: planner to the timers in their order, one by one until the first that counts, however many there are.
_DUE: Final = """
    SELECT w.due FROM (SELECT case_no, due FROM wait WHERE kind = 'timer' ORDER BY due OFFSET 0) w
    CROSS JOIN LATERAL (
        SELECT FROM "case" c WHERE c.no = w.case_no AND c.status = 'parked'
            AND NOT EXISTS (SELECT 1 FROM node n WHERE n.name = c.node) OFFSET 0
    ) c ORDER BY w.due LIMIT 1
"""

_WAITS: Final = msgspec.json.Decoder(tuple[tuple[str, WaitKind, str, int], ...])
_ANY_WAITS: Final = msgspec.json.Decoder(tuple[tuple[str, str, str, int], ...])


def storable(*texts: str) -> bool:
    """Say whether texts can be kept at all."""
    return all(map(rules.storable, texts))


async def case(link: Link, key: CaseKey) -> CaseRow | None:
    """Give one case with its waits."""
    found = await link.fetchrow(_CASE, *key) if storable(*key) else None
    return None if found is None else shown(found)


async def cases_by_key(link: Link, keys: Iterable[CaseKey]) -> dict[CaseKey, CaseRow]:
    """Give those of these cases that are there."""
    wanted = list(keys)
    rows = await link.fetch(_CASES_BY_KEY, [key.tenant for key in wanted], [key.case_id for key in wanted])
    return {found.key: found for found in map(shown, rows)}


async def cases(link: Link, tenant: str | None, status: CaseStatus | None, parent: str | None) -> Sequence[CaseRow]:
    """Give cases with their waits, ordered by tenant and case id."""
    if not storable(tenant or "", parent or ""):
        return []
    return [shown(row) for row in await link.fetch(_CASES, tenant, status, parent)]


async def awaiting(link: Link, keys: Sequence[str], after: Place, limit: int | None) -> Sequence[CaseRow]:
    """Give the cases that wait for one of these keys, who changed longest ago first."""
    wanted = [key for key in keys if storable(key)]
    return [shown(row) for row in await link.fetch(_AWAITING, wanted, *after, limit)]


async def records(link: Link, key: CaseKey, from_seq: int) -> Sequence[Record]:
    """Give a case's log from `from_seq` on, in order."""
    rows = await link.fetch(_RECORDS, *key, from_seq) if storable(*key) else []
    return [Record(*row) for row in rows]


async def reviews(link: Link, state: str | None) -> Sequence[ReviewRow]:
    """Give reviews, oldest first."""
    return [review_row(row) for row in await link.fetch(_REVIEWS, state)]


async def review(link: Link, review_id: str) -> ReviewRow | None:
    """Give one review."""
    found = await link.fetchrow(_REVIEW, review_id) if storable(review_id) else None
    return None if found is None else review_row(found)


async def artifact(link: Link, sha256: str) -> bytes | None:
    """Give the bytes stored under their content hash."""
    if not storable(sha256):
        return None
    found: bytes | None = await link.fetchval("SELECT data FROM artifact WHERE sha256 = $1", sha256)
    return found


async def setting(link: Link, name: str) -> str | None:
    """Give a remembered setting."""
    found: str | None = await link.fetchval("SELECT value FROM setting WHERE name = $1", name)
    return found


async def inboxes(link: Link, keys: Sequence[CaseKey]) -> dict[CaseKey, list[InboxItem]]:
    """Give what waits for each of these cases, in order of insertion; those for which nothing waits are left out."""
    rows = await link.fetch(_INBOXES, [key.tenant for key in keys], [key.case_id for key in keys])
    found: dict[CaseKey, list[InboxItem]] = {}
    # Put in order here: asked to, the server might go through all items there are in their order.
    for tenant, case_id, *item in sorted(rows, key=lambda row: int(row["position"])):
        key = CaseKey(tenant, case_id)
        found.setdefault(key, []).append(InboxItem(key, *item))
    return found


async def held(link: Link, node: str) -> list[CaseKey]:
    """Give the cases that a node holds."""
    return [CaseKey(*row) for row in await link.fetch('SELECT tenant, case_id FROM "case" WHERE node = $1', node)]


async def next_due(link: Link) -> int | None:
    """Give the earliest due moment of the timers of parked cases that no node holds under a lease."""
    due: int | None = await link.fetchval(_DUE)
    return due


def case_row(row: "Row") -> CaseRow:
    """Make a case of a row of `RETURNING_CASE`."""
    _, tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew, parent, *rest = row
    head, opened_at, changed_at, claims, chapter, waits, *_ = rest
    return CaseRow(
        key=CaseKey(tenant, case_id),
        epoch=epoch,
        next_seq=next_seq,
        node=node,
        status=CaseStatus(status),
        result=result,
        flow=flow,
        version=version,
        source_hash=source_hash,
        crew=crew,
        parent=parent,
        head=head,
        opened_at=opened_at,
        changed_at=changed_at,
        waits=waits_of(waits),
        claims=claims,
        chapter=chapter,
    )


def shown(row: "Row") -> CaseRow:
    """Give a case; of one whose row cannot be read what is sure, so that it hides no other and says why."""
    try:
        below = [number for number in (row["epoch"], row["next_seq"], row["claims"], row["chapter"]) if number < 0]
        if below:
            raise ValueError(f"{below[0]} is kept where something is counted")
        return case_row(row)
    except ValueError as error:
        key = CaseKey(row["tenant"], row["case_id"])
        wait = Wait(f"operator:{key.case_id}", WaitKind.OPERATOR, f"{rules.UNREADABLE}: {error}")
        return CaseRow(key, 0, 0, "", CaseStatus.PARKED, "", "", "", "", "", "", b"", 0, 0, (wait,))


def waits_of(kept: str | None) -> tuple[Wait, ...]:
    """Make of `WAITS` what a case waits for."""
    if not kept:
        return ()
    try:
        return tuple(Wait(*wait) for wait in _WAITS.decode(kept))
    except msgspec.ValidationError:
        return tuple(starmap(_wait, _ANY_WAITS.decode(kept)))


def _wait(key: str, kind: str, reason: str, due: int) -> Wait:
    try:
        return Wait(key, WaitKind(kind), reason, due)
    except ValueError as error:
        return Wait(key, WaitKind.OPERATOR, f"what it waits for cannot be read: {error}")


def log_of(row: "Row") -> Sequence[Record]:
    """Make a log of a row with `BEGINNING`."""
    names = ("seqs", "epochs", "kinds", "step_ids", "ats", "frames", "hashes", "frame_hashes")
    return [Record(*values) for values in zip(*(row[name] or () for name in names), strict=True)]


def inbox_of(key: CaseKey, row: "Row") -> Sequence[InboxItem]:
    """Make the inbox of a case of a row with `BEGINNING`."""
    names = ("item_ids", "item_kinds", "item_frames", "positions")
    return [InboxItem(key, *values) for values in zip(*(row[name] or () for name in names), strict=True)]


def review_row(row: "Row") -> ReviewRow:
    """Make a review of a row of `REVIEW`."""
    review_id, tenant, case_id, *rest, _ = row
    return ReviewRow(review_id, CaseKey(tenant, case_id), *rest)
