"""Remembers, outside of a PostgreSQL store, how far it had come, so that an older one in its place is noticed.

A restored dump, a recovery to a point in time, a failover to a replica that lagged: each is a well-formed store that
lacks the last intents and results. So each renewal of a lease counts the store's mark up by one, whichever process
renews, and each process remembers the highest mark that it saw and the last record that it wrote itself. A store with
a lower mark, without that record, or of another history is older: it is halted, and every case is taken from whoever
has it, for all processes at once. A person lets it go on (see `generation`).
It is looked at on every new connection, with every renewal and claim, and when a case does not stand as it was known.
A process that ends takes what it remembers with it, unless the URL names a folder for it (`?memory=FOLDER`).
It does not know what is asked of the store.
"""

import logging
import os
from typing import Final, final

from msgspec import Struct

from casework.runtime.seams import World
from casework.runtime.store.generation import (
    GENERATION,
    HALTED,
    MARK,
    OLDER,
    PAST,
    halting,
    read_memory,
    write_memory,
)
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_seals import SEALING, sealed, unsealed
from casework.runtime.store.postgres_standing import Standing
from casework.runtime.store.postgres_url import PostgresAddress
from casework.runtime.store.settings import SWITCHES

#: Seconds between two times that the memory is written down: a sync of its own, so not often.
SAVE_SECONDS: Final = 10.0

_LOGGER: Final = logging.getLogger(__name__)

_BEGIN: Final = sealed("INSERT INTO setting VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
_FIND: Final = """
    SELECT (SELECT value FROM setting WHERE name = $1) AS generation,
           (SELECT value FROM setting WHERE name = $2) AS past,
           (SELECT value FROM setting WHERE name = $3) AS halted,
           (SELECT value FROM setting WHERE name = $4)::bigint AS mark,
           (SELECT octet_length(value) FROM setting WHERE name = $8) AS switches,
           (SELECT r.hash FROM record r JOIN "case" c ON c.no = r.case_no
            WHERE c.tenant = $5 AND c.case_id = $6 AND r.seq = $7) AS hash
"""
_COUNT: Final = """
    INSERT INTO setting VALUES ($1, '1')
    ON CONFLICT (name) DO UPDATE SET value = (setting.value::bigint + 1)::text RETURNING value::bigint
"""
#: Whoever had a case is fenced, and no lease keeps it from being taken and parked.
_HALT: Final = """
    WITH kept AS (
        INSERT INTO setting VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
        RETURNING name, value
    ), sealed AS (
        {sealing}
    ), ended AS (
        DELETE FROM node
    ), told AS (
        SELECT pg_notify($3, 'halted')
    ), taken AS (
        UPDATE "case" SET node = '', epoch = epoch + 1, claims = 0, suspect = false WHERE no IN (
            SELECT no FROM "case" WHERE node <> '' ORDER BY no FOR NO KEY UPDATE
        )
    )
    SELECT count(*) FROM told
""".replace("{sealing}", SEALING)


class Seen(Struct, frozen=True):
    """How far a process knows that a store had come."""

    generation: str
    mark: int
    tenant: str = ""
    case_id: str = ""
    seq: int = -1
    """The last record that the process wrote, if it wrote any."""
    hash: str = ""


def objection(seen: Seen, found: Seen, past: str) -> str:
    """Say why a store is not the one that was seen or one that came after it; empty if it is.

    `found` holds the store's record at the place of the one that was seen, and `past` the generations that a person
    ended by accepting an older state.
    """
    if found.generation != seen.generation:
        return "" if seen.generation in past.split() else f"{OLDER}: it is another one, or was made anew; "
    if found.mark < seen.mark:
        return f"{OLDER}: leases on it were renewed {found.mark} times, and had been {seen.mark} times; "
    if found.hash != seen.hash:
        return f"{OLDER}: record {seen.seq} of case {seen.case_id} is not the one that was written; "
    return ""


@final
class Keeper:
    """What this process remembers of a store."""

    def __init__(self, address: PostgresAddress, world: World) -> None:
        """Begin without remembering anything."""
        self._address = address
        self._world = world
        self._path = os.path.join(address.memory, f"{address.schema}.generation") if address.memory else ""
        self._read = not self._path
        self._seen: Seen | None = None
        self._saved: Seen | None = None
        self._saved_at = 0.0
        self._unread = ""
        self._told = False
        self.switches = 0  #: bytes of what was switched, as it was then
        self.halted = ""  #: why nothing may go on, as it was when last looked at

    @property
    def has_seen(self) -> bool:
        """Tell whether anything is remembered of the store: then it was there before."""
        return self._seen is not None

    @property
    def mark(self) -> int:
        """Give the highest mark that was seen."""
        return 0 if self._seen is None else self._seen.mark

    async def check(self, link: Link) -> None:
        """Look at the store, and halt it if it is older than we remember; raises what the driver raises.

        If cancelled, the store may have been halted.
        """
        await self._recall()
        await self._tell_unsealed(link)
        await link.execute(_BEGIN, GENERATION, self._world.ids.new())
        seen = self._seen or Seen("", 0)
        names = (GENERATION, PAST, HALTED, MARK)
        row = await link.fetchrow(_FIND, *names, seen.tenant, seen.case_id, seen.seq, SWITCHES)
        assert row is not None, "a query without a table has a row"
        found = Seen(
            row["generation"], row["mark"] or 0, seen.tenant, seen.case_id, seen.seq, (row["hash"] or b"").hex()
        )
        self.switches = row["switches"] or 0
        self.halted = row["halted"] or ""
        if self.halted:
            return
        objected = self._unread or (objection(seen, found, row["past"] or "") if self._seen else "")
        if objected:
            self.halted = halting(objected, self._address.shown)
            _LOGGER.warning("%s: %s", self._address.shown, self.halted)
            await link.fetchval(_HALT, HALTED, self.halted, self._address.channel)
        # After an acceptance what we wrote last may be gone for good.
        self._seen = found if found.hash else Seen(found.generation, found.mark)
        self._unread = ""

    async def _tell_unsealed(self, link: Link) -> None:
        """Tell what somebody else set, as this process comes to the store."""
        if not self._told:
            for name in await unsealed(link):
                _LOGGER.warning(
                    "%s: setting %s is not as it was set: somebody else changed it", self._address.shown, name
                )
            self._told = True

    async def count(self, link: Link) -> int:
        """Count the mark up, in the caller's transaction; give it, to be `saw` once that is durable."""
        return int(await link.fetchval(_COUNT, MARK))

    def saw(self, mark: int) -> None:
        """Remember a mark that is durable."""
        if self._seen is not None and mark > self._seen.mark:
            self._seen = Seen(self._seen.generation, mark, *self._last())

    def wrote(self, standing: Standing) -> None:
        """Remember the last record of a case, which is durable and ours."""
        if self._seen is not None:
            key, last = standing.key, standing.next_seq - 1
            seen = self._seen
            self._seen = Seen(seen.generation, seen.mark, key.tenant, key.case_id, last, standing.head.hex())

    async def save(self, *, now: bool = False) -> None:
        """Write down what is remembered, if a folder was named, it is time or `now`, and the store is not halted.

        A memory that cannot be written stays as it was. If cancelled, it may have been written.
        """
        seen, clock = self._seen, self._world.clock
        if not self._path or seen is None or self.halted or seen == self._saved:
            return
        if not now and clock.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        self._saved_at = clock.monotonic()
        try:
            # Other processes may write theirs at the same time, to the same file.
            await self._world.offload.run(write_memory, self._path, seen, f"{self._path}.{os.getpid()}")
        except OSError as error:
            _LOGGER.warning("%s cannot be written (%s): an older store may not be noticed", self._path, error)
        self._saved = seen

    async def _recall(self) -> None:
        if self._read:
            return
        try:
            self._seen = self._saved = await self._world.offload.run(read_memory, self._path, Seen)
        except ValueError as error:
            self._unread = f"{OLDER}, perhaps: {error}; "
        self._read = True

    def _last(self) -> tuple[str, str, int, str]:
        assert self._seen is not None, "the last record is remembered with a mark"
        return self._seen.tenant, self._seen.case_id, self._seen.seq, self._seen.hash
