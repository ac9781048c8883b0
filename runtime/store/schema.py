"""The tables of a SQLite store, version 1, and what each later version adds.

The log is an append-only rowid table with a narrow integer unique index: a clustered text key would dirty one page
for each case in a commit. A case is known inside by its number, so no other table repeats its text key. The inbox
keeps the id of a consumed item, without its frame (which stands in the log by then), for the life of the case.
It does not know how the tables came to be; that is the migrations' business.
"""

from typing import Final

#: Marks a file as ours in SQLite's header: "CASE" in ASCII.
APPLICATION_ID: Final = 0x43415345

TABLES: Final = (
    """
    CREATE TABLE "case" (
        no INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        case_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        next_seq INTEGER NOT NULL,
        node TEXT NOT NULL,
        status TEXT NOT NULL,
        result TEXT NOT NULL,
        flow TEXT NOT NULL,
        version TEXT NOT NULL,
        source_hash TEXT NOT NULL,
        crew TEXT NOT NULL,
        parent TEXT NOT NULL,
        head BLOB NOT NULL,
        opened_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        seen INTEGER NOT NULL DEFAULT 0,
        UNIQUE (tenant, case_id)
    )
    """,
    """CREATE INDEX case_open ON "case" (node) WHERE status = 'open'""",
    """
    CREATE TABLE record (
        case_no INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        kind TEXT NOT NULL,
        step_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        frame BLOB NOT NULL,
        hash BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX record_place ON record (case_no, seq)",
    """
    CREATE TABLE inbox (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        case_no INTEGER NOT NULL,
        id TEXT NOT NULL,
        target TEXT NOT NULL,
        kind TEXT NOT NULL,
        frame BLOB NOT NULL,
        consumed INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE UNIQUE INDEX inbox_once ON inbox (case_no, id)",
    "CREATE INDEX inbox_unread ON inbox (case_no, position) WHERE consumed = 0",
    "CREATE INDEX inbox_id ON inbox (id)",
    """
    CREATE TABLE wait (
        case_no INTEGER NOT NULL,
        place INTEGER NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        reason TEXT NOT NULL,
        due INTEGER NOT NULL,
        PRIMARY KEY (case_no, place)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX wait_key ON wait (key)",
    "CREATE INDEX wait_due ON wait (due) WHERE kind = 'timer'",
    """
    CREATE TABLE review (
        no INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        case_no INTEGER NOT NULL,
        step_id TEXT NOT NULL,
        title TEXT NOT NULL,
        state TEXT NOT NULL,
        opened_at INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        proposal_hash TEXT NOT NULL,
        frame BLOB NOT NULL,
        decision BLOB NOT NULL
    )
    """,
    "CREATE INDEX review_state ON review (state)",
    "CREATE TABLE artifact (sha256 TEXT NOT NULL UNIQUE, data BLOB NOT NULL)",
    "CREATE TABLE node (name TEXT NOT NULL PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE setting (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

#: Version 2: how often a case was claimed in vain, and where its replay begins.
CLAIMS_AND_CHAPTERS: Final = (
    'ALTER TABLE "case" ADD COLUMN claims INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "case" ADD COLUMN chapter INTEGER NOT NULL DEFAULT 0',
    'CREATE INDEX case_suspect ON "case" (node) WHERE claims >= 2',
)

#: Version 3: open cases are found in the order in which they are given, and not sorted each time.
OPEN_IN_ORDER: Final = (
    "DROP INDEX case_open",
    """CREATE INDEX case_open ON "case" (opened_at) WHERE status = 'open'""",
)

#: Version 4: accounts and their ledgers.
ACCOUNTS: Final = (
    """
    CREATE TABLE account (
        no INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        limit_micros INTEGER NOT NULL,
        spent_micros INTEGER NOT NULL,
        reserved_micros INTEGER NOT NULL,
        next_seq INTEGER NOT NULL,
        head BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE ledger (
        account_no INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        micros INTEGER NOT NULL,
        at INTEGER NOT NULL,
        draw_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        "by" TEXT NOT NULL,
        hash BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX ledger_place ON ledger (account_no, seq)",
    "CREATE UNIQUE INDEX ledger_once ON ledger (draw_id, account_no, kind) WHERE draw_id <> ''",
)
