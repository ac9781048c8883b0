"""The seals of a PostgreSQL store's settings, by which it shows that somebody else changed one.

No log says what a setting must be: which history the store holds, whether it is halted, what is switched off. So beside
each stands its hash, under a name of its own that the same statement sets, and `unsealed` names those whose hash is
another. The mark has none: each renewal counts it up, and those that renew remember how far it had come.
It does not know what a setting means.
"""

from typing import Final

from casework.runtime.store.generation import MARK
from casework.runtime.store.postgres_link import Link

#: How the name of a seal begins; what it seals follows.
SEAL: Final = "store.seal:"
#: Sets the seals of the settings that a part `kept` of the same statement has set.
SEALING: Final = """
    INSERT INTO setting SELECT 'store.seal:' || name, encode(sha256(convert_to(value, 'UTF8')), 'hex') FROM kept
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
#: Seals all that there is, once.
FIRST_SEALS: Final = """
    INSERT INTO setting SELECT 'store.seal:' || name, encode(sha256(convert_to(value, 'UTF8')), 'hex') FROM setting
    WHERE name <> 'store.mark'
"""
_UNSEALED: Final = """
    SELECT coalesce(s.name, k.name) FROM (
        SELECT name, encode(sha256(convert_to(value, 'UTF8')), 'hex') AS hash FROM setting
        WHERE NOT starts_with(name, $1) AND name <> $2
    ) s FULL JOIN (
        SELECT substr(name, length($1) + 1) AS name, value FROM setting WHERE starts_with(name, $1)
    ) k ON k.name = s.name
    WHERE s.hash IS DISTINCT FROM k.value ORDER BY 1
"""


def sealed(statement: str) -> str:
    """Give a statement that sets settings and seals them."""
    return " ".join(("WITH kept AS (", statement, "RETURNING name, value )", SEALING))


async def unsealed(link: Link) -> list[str]:
    """Name the settings that are not as they were set."""
    return [name for (name,) in await link.fetch(_UNSEALED, SEAL, MARK)]
