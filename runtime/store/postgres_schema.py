"""The tables of a PostgreSQL store and how they came to be.

As in a SQLite store a case is known inside by its number, and the log is an append-only table with one narrow index.
What differs serves many writers: whoever changes a case, or puts something into its inbox, locks the case's row
first, so positions in one inbox become visible in their order. Waits have no unique key, because a statement that
replaces them could not see its own deletions. Pages of `case` keep room, so most updates touch no index; `suspect`
stands beside `claims` because an index over what each claim changes would undo that.

All of it happens under an advisory lock that is the schema's own; a schema of the current version is not written to.
Whoever waits for a table that others hold, such as a dump, keeps all who come after him waiting: not for long, then.
It does not know what is kept in the tables.
"""

from typing import Final

from casework.protocols.codec import digest
from casework.runtime.errors import StoreInvalid, StoreNewer, StoreUnavailable
from casework.runtime.store.postgres_link import DRIVER_ERRORS, Fault, Link, connect, fault_of, locked_out, told
from casework.runtime.store.postgres_seals import FIRST_SEALS
from casework.runtime.store.postgres_shape import refuse_meddlers
from casework.runtime.store.postgres_url import PostgresAddress

_TABLES: Final = """
    CREATE TABLE "case" (
        no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant text COLLATE "C" NOT NULL,
        case_id text COLLATE "C" NOT NULL,
        epoch bigint NOT NULL,
        next_seq bigint NOT NULL,
        node text COLLATE "C" NOT NULL,
        status text COLLATE "C" NOT NULL,
        result text NOT NULL,
        flow text NOT NULL,
        version text NOT NULL,
        source_hash text NOT NULL,
        crew text NOT NULL,
        parent text COLLATE "C" NOT NULL,
        head bytea NOT NULL,
        opened_at bigint NOT NULL,
        changed_at bigint NOT NULL,
        seen bigint NOT NULL DEFAULT 0,
        claims bigint NOT NULL DEFAULT 0,
        suspect boolean NOT NULL DEFAULT false,
        chapter bigint NOT NULL DEFAULT 0,
        UNIQUE (tenant, case_id)
    ) WITH (fillfactor = 75);
    CREATE INDEX case_open ON "case" (opened_at, no) WHERE status = 'open';
    CREATE INDEX case_suspect ON "case" (node) WHERE suspect;
    CREATE INDEX case_parent ON "case" (parent) WHERE parent <> '';
    CREATE TABLE record (
        case_no bigint NOT NULL,
        seq bigint NOT NULL,
        epoch bigint NOT NULL,
        kind text NOT NULL,
        step_id text NOT NULL,
        at bigint NOT NULL,
        frame bytea NOT NULL,
        hash bytea NOT NULL,
        frame_hash bytea NOT NULL DEFAULT ''
    );
    CREATE UNIQUE INDEX record_place ON record (case_no, seq);
    CREATE TABLE inbox (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        case_no bigint NOT NULL,
        id text COLLATE "C" NOT NULL,
        target text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        frame bytea NOT NULL,
        consumed boolean NOT NULL DEFAULT false
    );
    CREATE UNIQUE INDEX inbox_once ON inbox (case_no, id);
    CREATE INDEX inbox_unread ON inbox (case_no, position) WHERE NOT consumed;
    CREATE INDEX inbox_id ON inbox (id);
    CREATE TABLE wait (
        case_no bigint NOT NULL,
        place bigint NOT NULL,
        key text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        reason text NOT NULL,
        due bigint NOT NULL
    );
    CREATE INDEX wait_case ON wait (case_no, place);
    CREATE INDEX wait_key ON wait (key);
    CREATE INDEX wait_due ON wait (due) WHERE kind = 'timer';
    CREATE TABLE review (
        id text COLLATE "C" NOT NULL PRIMARY KEY,
        case_no bigint NOT NULL,
        step_id text NOT NULL,
        title text NOT NULL,
        state text NOT NULL,
        opened_at bigint NOT NULL,
        expires bigint NOT NULL,
        proposal_hash text NOT NULL,
        frame bytea NOT NULL,
        decision bytea NOT NULL
    );
    CREATE INDEX review_state ON review (state);
    CREATE TABLE artifact (sha256 text COLLATE "C" NOT NULL PRIMARY KEY, data bytea NOT NULL);
    CREATE TABLE node (name text COLLATE "C" NOT NULL PRIMARY KEY, until bigint NOT NULL);
    CREATE TABLE setting (name text COLLATE "C" NOT NULL PRIMARY KEY, value text NOT NULL);
    CREATE TABLE casework_version (version bigint NOT NULL);
    INSERT INTO casework_version VALUES (0);
"""

#: Version 2: accounts and their ledgers.
_ACCOUNTS: Final = """
    CREATE TABLE account (
        no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        limit_micros bigint NOT NULL,
        spent_micros bigint NOT NULL,
        reserved_micros bigint NOT NULL,
        next_seq bigint NOT NULL,
        head bytea NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE ledger (
        account_no bigint NOT NULL,
        seq bigint NOT NULL,
        kind text NOT NULL,
        micros bigint NOT NULL,
        at bigint NOT NULL,
        draw_id text COLLATE "C" NOT NULL,
        epoch bigint NOT NULL,
        "by" text NOT NULL,
        hash bytea NOT NULL
    );
    CREATE UNIQUE INDEX ledger_place ON ledger (account_no, seq);
    CREATE UNIQUE INDEX ledger_once ON ledger (draw_id, account_no, kind) WHERE draw_id <> '';
"""

#: Version 4: nodes say which versions of flows they carry. A process of an earlier one that still works says nothing.
_CARRIED: Final = "ALTER TABLE node ADD COLUMN carries text[] NOT NULL DEFAULT '{}'"

#: Step n brings version n to version n + 1. Steps are never changed once released. Version 3: settings have seals.
STEPS: Final[tuple[str, ...]] = (_TABLES, _ACCOUNTS, FIRST_SEALS, _CARRIED)
SCHEMA_VERSION: Final = len(STEPS)

#: How long a step may wait for each lock while nodes of an earlier version work: less than their leases last, and more
#: than one of them may stand still amid a transaction. A step that takes several must not wait for more than the first.
LOCK_SECONDS_MAX: Final = 3.0

_STANDING: Final = """
    SELECT to_regclass($1 || '.casework_version') IS NOT NULL AS ours,
           EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1) AS used
"""


async def version_of(link: Link, address: PostgresAddress) -> int:
    """Give the version of a schema, 0 for one that is empty or not there yet.

    Raises:
        StoreInvalid: the schema belongs to somebody else.
        StoreNewer: a newer version of this code made it.
        StoreUnavailable: its tables are there and its version is not, as while a dump is put back.
        Whatever the driver raises.
    """
    standing = await link.fetchrow(_STANDING, address.schema)
    assert standing is not None, "a query without a table has a row"
    if not standing["ours"]:
        if standing["used"]:
            why = f"schema {address.schema} holds tables of another program; name one of its own by ?schema="
            raise StoreInvalid(address.shown, why)
        return 0
    found = await link.fetchval("SELECT version FROM casework_version")
    if found is None:
        why = "its tables are there without their version: a dump is not put back to its end, or has no data"
        raise StoreUnavailable(address.shown, f"{why}; wait for its end, or put back a whole one")
    version = int(found)
    if version > SCHEMA_VERSION:
        why = f"its version is {version}, this Casework reads up to {SCHEMA_VERSION}; use a newer Casework"
        raise StoreNewer(address.shown, why)
    return version


async def migrate(link: Link, address: PostgresAddress) -> None:
    """Bring the schema to `SCHEMA_VERSION` in one transaction, one process after another; raises as `version_of`.

    If cancelled, the caller closes the connection, and nothing happened.
    """
    if await version_of(link, address) == SCHEMA_VERSION:
        return
    async with link.transaction():
        await link.execute("SET LOCAL statement_timeout = 0")
        await link.execute("SELECT pg_advisory_xact_lock($1)", _lock_key(address.schema), timeout=600.0)
        version = await version_of(link, address)
        if version == SCHEMA_VERSION:
            return
        # Asked first, for whoever may use a schema that others made need not be one who may make schemas.
        if not await link.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", address.schema):
            await link.execute(f'CREATE SCHEMA "{address.schema}"')
        await link.execute(f"SET LOCAL lock_timeout = {LOCK_SECONDS_MAX * 1000:.0f}")
        for step in STEPS[version:]:
            await link.execute(step, timeout=600.0)
        await link.execute("UPDATE casework_version SET version = $1", SCHEMA_VERSION)


async def connected(address: PostgresAddress, *, known: bool) -> Link:
    """Open a writing connection to a schema that is of our version, or is brought to it.

    A schema that was `known` before is not made anew: who empties it is about to put a dump back.

    Raises:
        StoreInvalid, StoreNewer, StoreUnavailable: it cannot be had; nothing is held.
    """
    link = await connect(address, writes=True)
    try:
        if await version_of(link, address):
            await refuse_meddlers(link, address)
        elif known:
            why = "its tables are gone; put a dump back, or start again to begin with none"
            raise StoreUnavailable(address.shown, why)
        await migrate(link, address)
    except DRIVER_ERRORS as error:
        kind = StoreInvalid if fault_of(error, link) in {Fault.OURS, Fault.REFUSED} else StoreUnavailable
        link.terminate()
        held = "; others hold its tables, such as a dump: try again once they have ended" if locked_out(error) else ""
        raise kind(address.shown, f"its tables cannot be made or read ({told(error)}){held}") from error
    except BaseException:
        link.terminate()
        raise
    return link


def _lock_key(schema: str) -> int:
    return int.from_bytes(digest(f"casework:{schema}".encode())[:8], signed=True)
