"""Looks through a PostgreSQL store for what is not as it was written, of what no log tells.

The server keeps its pages, types and keys whole itself, so what is left are the delivered files: each must have the
hash under which it is kept. They are looked at a few at a time, for a statement has its time.
It does not know what a log says.
"""

from typing import Final

from casework.runtime.store.inspection import Oddity
from casework.runtime.store.postgres_link import Link

#: Files that one statement hashes; each has 20 MiB at most.
FILES_MAX: Final = 20
_FILES: Final = """
    SELECT a.sha256, encode(sha256(a.data), 'hex') FROM artifact a WHERE a.sha256 > $1 ORDER BY a.sha256 LIMIT $2
"""


async def files_after(link: Link, name: str) -> tuple[str, list[Oddity]]:
    """Look at the next files after one, by their names; give the last of them, empty after all, and what is odd."""
    rows = await link.fetch(_FILES, name, FILES_MAX)
    odd = [Oddity(f"artifact {kept!r} has other bytes than it had") for kept, now in rows if kept != now]
    return (rows[-1][0] if rows else ""), odd
