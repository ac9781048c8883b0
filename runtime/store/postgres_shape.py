"""Holds what a PostgreSQL schema has of our tables against what the migrations make.

A trigger, a rule or a policy of somebody else's runs within our commits: one that gives nothing back for a row takes a
message away without an error. So may a unique index or a constraint, for a message that is there already is passed
over. Somebody's other indexes, tables, views and functions in the schema change nothing of what we read and write, nor
do rights, comments, statistics, replicas, or where and how full the server keeps its pages.

What is expected stands here as the server's catalog says it, since a schema that is only read cannot be made anew to
look at. All columns are NOT NULL, so only one that is not says anything about it.
It does not know what stands in the tables.
"""

from typing import Final

from casework.runtime.errors import StoreInvalid
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_url import PostgresAddress
from casework.runtime.store.shape import Alien, Part, aliens_among

_TABLES: Final = {
    "account": "no bigint ALWAYS, name text C, limit_micros bigint, spent_micros bigint, reserved_micros bigint,"
    " next_seq bigint, head bytea",
    "artifact": "sha256 text C, data bytea",
    "case": "no bigint ALWAYS, tenant text C, case_id text C, epoch bigint, next_seq bigint, node text C,"
    " status text C, result text, flow text, version text, source_hash text, crew text, parent text C, head bytea,"
    " opened_at bigint, changed_at bigint, seen bigint 0, claims bigint 0, suspect boolean false, chapter bigint 0",
    "casework_version": "version bigint",
    "inbox": "position bigint ALWAYS, case_no bigint, id text C, target text C, kind text, frame bytea,"
    " consumed boolean false",
    "ledger": "account_no bigint, seq bigint, kind text, micros bigint, at bigint, draw_id text C, epoch bigint,"
    " by text, hash bytea",
    "node": "name text C, until bigint, carries text[] '{}'::text[]",
    "record": "case_no bigint, seq bigint, epoch bigint, kind text, step_id text, at bigint, frame bytea, hash bytea,"
    r" frame_hash bytea '\x'::bytea",
    "review": "id text C, case_no bigint, step_id text, title text, state text, opened_at bigint, expires bigint,"
    " proposal_hash text, frame bytea, decision bytea",
    "setting": "name text C, value text",
    "wait": "case_no bigint, place bigint, key text C, kind text, reason text, due bigint",
}
_CONSTRAINTS: Final = (
    ("account_name_key", "account", "UNIQUE (name)"),
    ("account_pkey", "account", "PRIMARY KEY (no)"),
    ("artifact_pkey", "artifact", "PRIMARY KEY (sha256)"),
    ("case_pkey", "case", "PRIMARY KEY (no)"),
    ("case_tenant_case_id_key", "case", "UNIQUE (tenant, case_id)"),
    ("inbox_pkey", "inbox", 'PRIMARY KEY ("position")'),
    ("node_pkey", "node", "PRIMARY KEY (name)"),
    ("review_pkey", "review", "PRIMARY KEY (id)"),
    ("setting_pkey", "setting", "PRIMARY KEY (name)"),
)
_INDEXES: Final = (
    ("case_open", "case", "btree (opened_at, no) WHERE (status = 'open'::text)"),
    ("case_parent", "case", "btree (parent) WHERE (parent <> ''::text)"),
    ("case_suspect", "case", "btree (node) WHERE suspect"),
    ("inbox_id", "inbox", "btree (id)"),
    ("inbox_once", "inbox", "UNIQUE btree (case_no, id)"),
    ("inbox_unread", "inbox", 'btree (case_no, "position") WHERE (NOT consumed)'),
    ("ledger_once", "ledger", "UNIQUE btree (draw_id, account_no, kind) WHERE (draw_id <> ''::text)"),
    ("ledger_place", "ledger", "UNIQUE btree (account_no, seq)"),
    ("record_place", "record", "UNIQUE btree (case_no, seq)"),
    ("review_state", "review", "btree (state)"),
    ("wait_case", "wait", "btree (case_no, place)"),
    ("wait_due", "wait", "btree (due) WHERE (kind = 'timer'::text)"),
    ("wait_key", "wait", "btree (key)"),
)
_MADE: Final = (
    *(Part("table", name, name, columns) for name, columns in _TABLES.items()),
    *(Part("constraint", *constraint) for constraint in _CONSTRAINTS),
    *(Part("index", *index) for index in _INDEXES),
)

#: What runs within statements of ours, or decides which rows they see, for whoever asks.
_MEDDLERS: Final = """
    WITH ours AS (
        SELECT c.oid, c.relname, c.relpersistence, c.relrowsecurity
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname = ANY($2::text[])
    ), meddlers (type, name, on_table, sql) AS (
        SELECT 'trigger', g.tgname, t.relname, '' FROM ours t JOIN pg_trigger g ON g.tgrelid = t.oid
        WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
        UNION ALL
        SELECT 'rule', r.rulename, t.relname, '' FROM ours t JOIN pg_rewrite r ON r.ev_class = t.oid
        WHERE r.ev_enabled <> 'D'
        UNION ALL
        SELECT 'row level', 'security', t.relname, '' FROM ours t WHERE {hidden}
    )
"""
_REFUSED: Final = " ".join(
    (_MEDDLERS.replace("{hidden}", "row_security_active(t.oid)"), "SELECT * FROM meddlers ORDER BY 1 DESC, 3, 2")
)
_SHAPE: Final = " ".join((
    _MEDDLERS.replace("{hidden}", "t.relrowsecurity"),
    r"""
    SELECT 'table' AS type, t.relname AS name, t.relname AS on_table,
           CASE t.relpersistence WHEN 'p' THEN '' ELSE 'UNLOGGED ' END || (
        SELECT string_agg(
            concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), nullif(o.collname, 'default'),
                      CASE WHEN NOT a.attnotnull THEN 'NULL' END,
                      CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
                      CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END, pg_get_expr(d.adbin, d.adrelid)),
            ', ' ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation o ON o.oid = a.attcollation
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS sql FROM ours t
    UNION ALL
    SELECT 'constraint', k.conname, t.relname, pg_get_constraintdef(k.oid)
    FROM ours t JOIN pg_constraint k ON k.conrelid = t.oid WHERE k.contype NOT IN ('n', 't')
    UNION ALL
    SELECT 'index', i.relname, t.relname,
           CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END || CASE WHEN x.indisvalid THEN '' ELSE 'INVALID ' END
           || regexp_replace(substring(pg_get_indexdef(x.indexrelid) FROM ' USING (.*)$'), ' WITH \([^)]*\)', '')
    FROM ours t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = t.oid)
    UNION ALL
    SELECT 'inheriting table', h.relname, t.relname, ''
    FROM ours t JOIN pg_inherits p ON p.inhparent = t.oid JOIN pg_class h ON h.oid = p.inhrelid
    UNION ALL
    SELECT * FROM meddlers ORDER BY 1, 3, 2
    """,
))  # fmt: skip


async def aliens(link: Link, schema: str) -> list[Alien]:
    """Tell what is missing, what is another, and what of somebody else's may change what is read and written."""
    there = [Part(*row) for row in await link.fetch(_SHAPE, schema, list(_TABLES))]
    return aliens_among(_MADE, there, _meddles)


async def refuse_meddlers(link: Link, address: PostgresAddress) -> None:
    """Refuse to write where somebody else's statements would run within our commits, or hide rows from us.

    Raises:
        StoreInvalid: they would; whatever the driver raises is raised as well.
    """
    found = [Part(*row) for row in await link.fetch(_REFUSED, address.schema, list(_TABLES))]
    for part in found[:1]:
        what = f"{part.type} {part.name} on its table {part.table} is somebody else's and may change what is kept"
        remedy = "switch it off" if part.type == "row level" else "drop it"
        raise StoreInvalid(address.shown, f"{what}; {remedy}")


def _meddles(part: Part) -> bool:
    return part.type != "index" or part.sql.startswith("UNIQUE")
