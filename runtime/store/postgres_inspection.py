"""Looks through a PostgreSQL store for what is not as it was written, of what no log tells.

The server keeps its pages, types and keys whole itself, as long as its tables are those that were made
(`postgres_shape`). What is left are messages, which must be of a case and either
read or unread, leases, settings, which have seals, and the delivered files: each must have the hash under which it is
kept. Messages and files are looked at a few at a time, for a statement has its time.
It does not know what a log says.
"""

from collections.abc import Collection
from typing import Final

from casework.runtime.store.base import CaseKey
from casework.runtime.store.inspection import Oddity
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_seals import unsealed
from casework.runtime.store.postgres_shape import aliens

#: Files that one statement hashes; each has 20 MiB at most.
FILES_MAX: Final = 20
#: Messages that one statement looks at.
MESSAGES_MAX: Final = 20_000
#: The latest moment that a lease may end, in microseconds since the epoch: the end of the year 9999.
UNTIL_MAX: Final = 253_402_300_799_000_000
_FILES: Final = """
    SELECT a.sha256, encode(sha256(a.data), 'hex') FROM artifact a
    WHERE $1::text IS NULL OR a.sha256 > $1 ORDER BY a.sha256 LIMIT $2
"""
_MISSING: Final = """
    SELECT name FROM unnest($1::text[]) name WHERE NOT EXISTS (SELECT 1 FROM artifact a WHERE a.sha256 = name)
"""
_PAGE: Final = """
    SELECT max(position) FROM (SELECT position FROM inbox WHERE position > $1 ORDER BY position LIMIT $2) page
"""
_MESSAGES: Final = """
    SELECT c.tenant, c.case_id, i.id, i.kind = '' AND NOT i.consumed AS odd
    FROM inbox i LEFT JOIN "case" c ON c.no = i.case_no
    WHERE i.position > $1 AND i.position <= $2
        AND (c.no IS NULL OR (i.consumed AND octet_length(i.frame) > 0) OR (i.kind = '' AND NOT i.consumed))
"""
_LEASES: Final = "SELECT name FROM node WHERE name = '' OR until > $1 ORDER BY name"


async def messages_after(link: Link, position: int) -> tuple[int | None, list[Oddity]]:
    """Look at the next messages after a position; give that of the last of them, None after all, and what is odd."""
    last = await link.fetchval(_PAGE, position, MESSAGES_MAX)
    if last is None:
        return None, []
    odd: list[Oddity] = []
    for tenant, case_id, item_id, unknown in await link.fetch(_MESSAGES, position, last):
        if tenant is None:
            odd.append(Oddity(f"message {item_id!r} belongs to no case"))
        else:
            why = "cannot be read" if unknown else "is neither read nor unread"
            odd.append(Oddity(f"message {item_id!r} in its inbox {why}", CaseKey(tenant, case_id)))
    return int(last), odd


async def files_after(link: Link, name: str | None) -> tuple[str | None, list[Oddity]]:
    """Look at the next files after one, by their names; give the last of them, None after all, and what is odd."""
    rows = await link.fetch(_FILES, name, FILES_MAX)
    odd = [Oddity(f"artifact {kept!r} has other bytes than it had") for kept, now in rows if kept != now]
    return (rows[-1][0] if rows else None), odd


async def missing(link: Link, names: Collection[str]) -> list[str]:
    """Give those of some delivered files, by their content hashes, that are not kept."""
    return [str(name) for (name,) in await link.fetch(_MISSING, [*names])]


async def tables(link: Link, schema: str) -> tuple[bool, list[Oddity]]:
    """Look at the tables themselves; says as well whether they can be asked for what stands in them."""
    strange = await aliens(link, schema)
    odd = [Oddity(f"{each.type} {each.name} {each.why}") for each in strange]
    return all(each.type != "table" for each in strange), odd


async def the_rest(link: Link) -> list[Oddity]:
    """Look at leases and settings."""
    names = [name for (name,) in await link.fetch(_LEASES, UNTIL_MAX)]
    leases = [Oddity(f"node {name!r} has a lease that was never given") for name in names]
    return leases + [Oddity(f"setting {name} is not as it was set") for name in await unsealed(link)]
