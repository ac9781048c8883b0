"""Whole cases into and out of a PostgreSQL store, and retention, as functions over a connection.

A frame that retention drops leaves the table at once; its bytes stand in the server's dead rows until it vacuums them,
and in whatever the server archives of its own log. It does not know when a transaction of a batch begins or ends.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from casework.runtime.store import postgres_queries as queries
from casework.runtime.store.archive import (
    BringInResult,
    BroughtIn,
    Cut,
    InboxEntry,
    NotClosed,
    Retained,
    RetainResult,
    StillRead,
    Transfer,
    TrimResult,
)
from casework.runtime.store.base import CaseExists, CaseKey, CaseStatus
from casework.runtime.store.postgres_calls import Asked, BringIn, Retain, Trim
from casework.runtime.store.postgres_columns import columns
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_standing import Standing

_ENTRIES: Final = """
    SELECT i.id, i.target, i.kind, i.frame, i.position <= c.seen AS seen, i.consumed
    FROM inbox i JOIN "case" c ON c.no = i.case_no WHERE c.tenant = $1 AND c.case_id = $2 ORDER BY i.position
"""
_REVIEWS_OF: Final = f'{queries.REVIEW} WHERE c.tenant = $1 AND c.case_id = $2 ORDER BY r.opened_at, r.id COLLATE "C"'
_CASE: Final = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew,
                        parent, head, opened_at, changed_at, chapter)
    VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING no
"""
_RECORDS: Final = """
    INSERT INTO record (case_no, seq, epoch, kind, step_id, at, frame, hash, frame_hash)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bytea[],
                             $8::bytea[], $9::bytea[])
"""
_WAITS: Final = """
    INSERT INTO wait SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
"""
_INBOX: Final = """
    INSERT INTO inbox (case_no, id, target, kind, frame, consumed)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::boolean[])
"""
_SEEN: Final = """
    UPDATE "case" SET seen = coalesce((SELECT max(position) FROM inbox WHERE case_no = $1 AND id = ANY($2::text[])), 0)
    WHERE no = $1
"""
_REVIEWS: Final = """
    INSERT INTO review (id, case_no, step_id, title, state, opened_at, expires, proposal_hash, frame, decision)
    SELECT id, $1, step_id, title, state, opened_at, expires, proposal_hash, frame, decision
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::bytea[],
                $10::bytea[])
        AS g (id, step_id, title, state, opened_at, expires, proposal_hash, frame, decision)
    ON CONFLICT (id) DO NOTHING
"""
_DROP: Final = """
    WITH dropped AS (
        UPDATE record SET frame = '', frame_hash = sha256(frame) WHERE case_no = ANY($1::bigint[]) AND frame <> ''
        RETURNING 1
    ), withdrawn AS (
        DELETE FROM review WHERE case_no = ANY($1::bigint[])
    ), consumed AS (
        UPDATE inbox SET consumed = true, frame = '' WHERE case_no = ANY($1::bigint[]) AND NOT consumed
    )
    SELECT count(*) FROM dropped
"""
_CHAPTERS: Final = 'SELECT no, chapter FROM "case" WHERE no = ANY($1::bigint[])'
_TRIM: Final = """
    WITH dropped AS (
        UPDATE record r SET frame = '', frame_hash = sha256(frame)
        FROM unnest($1::bigint[], $2::bigint[]) AS cut (no, below)
        WHERE r.case_no = cut.no AND r.seq > 0 AND r.seq < cut.below AND r.frame <> '' RETURNING 1
    )
    SELECT count(*) FROM dropped
"""


async def transfer(link: Link, key: CaseKey) -> Transfer | None:
    """Give all of one case, as it is at one moment."""
    async with link.transaction(isolation="repeatable_read", readonly=True):
        row = await queries.case(link, key)
        if row is None:
            return None
        return Transfer(
            row=row,
            records=tuple(await queries.records(link, key, 0)),
            inbox=tuple([_entry(*values) for values in await link.fetch(_ENTRIES, *key)]),
            reviews=tuple(map(queries.review_row, await link.fetch(_REVIEWS_OF, *key))),
        )


async def carry_out(
    link: Link, asked: Sequence[Asked], known: Mapping[CaseKey, Standing]
) -> tuple[dict[int, object], list[CaseKey]]:
    """Do what a batch asks about whole cases; give each call's answer by its place, and the cases that are new."""
    values: dict[int, object] = {}
    arrived: list[CaseKey] = []
    for place, call in enumerate(asked):
        brought: Sequence[Transfer] = ()
        match call:
            case BringIn(transfers=transfers):
                values[place] = await _bring_in(link, transfers)
                brought = transfers
            case Retain(keys=keys, account=account):
                values[place] = await _retain(link, keys, account, known)
            case Trim(cuts=cuts, account=account):
                values[place] = await _trim(link, cuts, account, known)
            case _:
                pass
        if isinstance(values.get(place), BroughtIn):
            arrived += [each.row.key for each in brought if each.row.status is not CaseStatus.CLOSED]
    return values, arrived


async def _bring_in(link: Link, transfers: Sequence[Transfer]) -> BringInResult:
    keys = [each.row.key for each in transfers]
    there = await queries.cases_by_key(link, keys)
    if not there:
        await link.execute("SAVEPOINT bringing")
        try:
            for each in transfers:
                await _insert(link, each)
            return BroughtIn(tuple(keys))
        except asyncpg.UniqueViolationError:
            # Another process opened one of them in between; nothing of this call stands.
            await link.execute("ROLLBACK TO SAVEPOINT bringing")
            there = await queries.cases_by_key(link, keys)
    return CaseExists(next(there[key] for key in keys if key in there))


async def _retain(
    link: Link, keys: Sequence[CaseKey], account: Transfer, known: Mapping[CaseKey, Standing]
) -> RetainResult:
    ongoing = [key for key in keys if key not in known or known[key].status is not CaseStatus.CLOSED]
    if ongoing:
        return NotClosed(tuple(ongoing))
    answer = await _bring_in(link, [account])
    if not isinstance(answer, BroughtIn):
        return answer
    return Retained(int(await link.fetchval(_DROP, [known[key].number for key in keys])))


async def _trim(link: Link, cuts: Sequence[Cut], account: Transfer, known: Mapping[CaseKey, Standing]) -> TrimResult:
    numbers = [known[cut.key].number for cut in cuts if cut.key in known]
    chapters = {int(number): int(chapter) for number, chapter in await link.fetch(_CHAPTERS, numbers)}
    refused = [cut.key for cut in cuts if cut.key not in known or cut.below > chapters[known[cut.key].number]]
    if refused:
        return StillRead(tuple(refused))
    answer = await _bring_in(link, [account])
    if not isinstance(answer, BroughtIn):
        return answer
    return Retained(int(await link.fetchval(_TRIM, numbers, [cut.below for cut in cuts])))


async def _insert(link: Link, transfer: Transfer) -> None:
    row = transfer.row
    standing = (row.epoch, row.next_seq, row.status, row.result)
    described = (row.flow, row.version, row.source_hash, row.crew, row.parent, row.head, row.opened_at, row.changed_at)
    number = await link.fetchval(_CASE, *row.key, *standing, *described, row.chapter)
    records = [(r.seq, r.epoch, r.kind, r.step_id, r.at, r.frame, r.hash, r.frame_hash) for r in transfer.records]
    await link.execute(_RECORDS, number, *columns(records, 8))
    waits = [(place, wait.key, wait.kind, wait.reason, wait.due) for place, wait in enumerate(row.waits)]
    if waits:
        await link.execute(_WAITS, number, *columns(waits, 5))
    entries = [(entry.id, entry.target, entry.kind, entry.frame, not entry.kind) for entry in transfer.inbox]
    if entries:
        await link.execute(_INBOX, number, *columns(entries, 5))
        await link.execute(_SEEN, number, [entry.id for entry in transfer.inbox if entry.kind and entry.seen])
    reviews = [
        (r.id, r.step_id, r.title, r.state, r.opened_at, r.expires, r.proposal_hash, r.frame, r.decision)
        for r in transfer.reviews
    ]
    if reviews:
        await link.execute(_REVIEWS, number, *columns(reviews, 9))


def _entry(item_id: str, target: str, kind: str, frame: bytes, seen: object, consumed: object) -> InboxEntry:
    return InboxEntry(item_id, target) if consumed else InboxEntry(item_id, target, kind, frame, seen=bool(seen))
