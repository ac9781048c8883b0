"""Reads a case that was just claimed thing by thing, so that what cannot be read of it is known by its name.

A page on the server's disk may be no page any more. Where it holds a piece of one case's log, or of a message to it,
the statement that gives many cases with all that is theirs fails for all of them. Read like this, the one case is given
with the reason and parks with it, which is no other's trouble.
It does not know who claims, nor how the case was found.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from msgspec.structs import replace

from casework.runtime.store import postgres_queries as queries
from casework.runtime.store.base import CaseRow
from casework.runtime.store.claims import Claimed
from casework.runtime.store.postgres_link import Link, damaged, told

_WAITS: Final = queries.WAITS.format("$1")
_LAST: Final = "SELECT coalesce(max(position), 0) FROM inbox WHERE case_no = $1 AND NOT consumed"


async def claimed_apart(link: Link, number: int, row: CaseRow) -> Claimed:
    """Read what a claimed case needs to begin; what the driver raises is raised, but what it cannot read is told."""
    what = "what it waits for"
    try:
        async with _savepoint(link):
            row = replace(row, waits=queries.waits_of(await link.fetchval(_WAITS, number)))
            what = "its log"
            records = await queries.records(link, row.key, row.chapter)
            what = "its inbox"
            inboxes = await queries.inboxes(link, [row.key])
    except asyncpg.PostgresError as error:
        if not damaged(error):
            raise
        # What is there by now would wake it again and again.
        seen = int(await link.fetchval(_LAST, number))
        return Claimed(row, broken=f"{what} cannot be read: {told(error)}", seen=seen)
    return Claimed(row, records, inboxes.get(row.key, ()))


@asynccontextmanager
async def _savepoint(link: Link) -> AsyncGenerator[None, None]:
    """Have a transaction, if there is one, go on after an error of the server."""
    if not link.is_in_transaction():
        yield
        return
    await link.execute("SAVEPOINT apart")
    try:
        yield
    except asyncpg.PostgresError:
        await link.execute("ROLLBACK TO apart")
        raise
