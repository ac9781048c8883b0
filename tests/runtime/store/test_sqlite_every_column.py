"""Every column of every table of a SQLite store, changed by somebody else: `verify` names the place, the case that it
concerns parks and says why or ends as it would have, and all other cases end."""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from casework.runtime.store.base import CaseKey, CaseStatus, WaitKind
from casework.runtime.store.migrations import STEPS
from tests.support.findings_of import told
from tests.support.rich_store import OTHERS, ended, fill

HIT, WELL = CaseKey("default", "hit"), CaseKey("default", "well")

CHANGES = {
    "nothing": "NULL",
    "blank": "''",
    "lowered": "{column} - 1",
    "raised": "{column} + 1",
    "another type": "x'00ff'",
    "another text": "'zzz'",
    "no text": "cast(x'ff' AS TEXT)",
    "the highest": "9223372036854775807",
}
#: Which rows are changed; those of the case that is hit, where they are of a case.
ROWS = {
    "case": "no = 1",
    "record": "case_no = 1 AND seq = 1",
    "inbox": "case_no = 1 AND consumed = 0",
    "wait": "case_no = 1 AND place = 0",
    "review": "case_no = 1",
    "ledger": "seq = 1",
    "setting": "name = 'out'",
}
#: Changes that nothing shows, for what is kept there follows from nothing: how often a case was owned or claimed in
#: vain, by whom, when it changed, what it has read, where a list has its order from.
UNTOLD = {
    ("case", "epoch"): {"raised"},
    ("case", "node"): {"blank", "lowered", "raised", "another text", "no text", "the highest"},
    ("case", "changed_at"): {"lowered", "raised", "the highest"},
    ("case", "seen"): {"lowered", "raised"},
    ("case", "claims"): {"raised", "the highest"},
    ("inbox", "position"): {"lowered"},
    ("inbox", "target"): {"blank"},
    ("review", "no"): {"lowered", "raised", "the highest"},
    ("review", "opened_at"): {"raised"},
    ("node", "name"): {"lowered", "raised", "another text", "the highest"},
    ("node", "until"): {"lowered", "raised"},
}
#: Columns of a case's row whose change parks it once it is wanted, whatever the change.
PARKS = {
    "tenant", "case_id", "next_seq", "status", "result", "flow", "version", "source_hash", "crew", "parent", "head",
    "opened_at", "chapter",
}  # fmt: skip
#: Columns whose change leaves nothing that could wake the case: it rests as it did, and `verify` says so.
ASLEEP = {("case", "no"), ("inbox", "case_no"), ("inbox", "consumed")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Leave out what is told of each damage, hundreds of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def made(path: Path) -> None:
    """Make a store with rows in all tables."""
    await fill(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO node VALUES ('n1', 5)")
    path.with_name(f"{path.name}.generation").unlink()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("columns") / "original.db"
    anyio.run(made, path)
    return path


def columns() -> list[tuple[str, str]]:
    """Give every column of every table, as the newest version has them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in (statement for step in STEPS for statement in step):
            connection.execute(statement)
        asked = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        tables = [name for (name,) in connection.execute(asked)]
        return [(table, row[1]) for table in tables for row in connection.execute(f'PRAGMA table_info("{table}")')]


def damaged(original: Path, table: str, column: str, change: str) -> str:
    """Give the URL of a copy in which a column is another, or nothing where SQLite lets no such value stand there."""
    copy = original.with_name("cases.db")
    for left in original.parent.glob("cases.db*"):
        left.unlink()
    shutil.copy(original, copy)
    value = CHANGES[change].format(column=f'"{column}"')
    with closing(sqlite3.connect(copy)) as connection:
        tables = "type = 'table' AND name NOT LIKE 'sqlite%'"
        before = connection.execute(f"SELECT sql, name FROM sqlite_master WHERE {tables}").fetchall()
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE {tables}")
        connection.execute(f"PRAGMA schema_version = {version + 1}")
        connection.commit()
        where = f'{ROWS.get(table, "1")} AND "{column}" IS NOT {value}'
        try:
            changed = connection.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = {value} WHERE {where}').rowcount
        except sqlite3.IntegrityError:
            return ""
        connection.executemany("UPDATE sqlite_master SET sql = ? WHERE name = ?", before)
        connection.execute(f"PRAGMA schema_version = {version + 2}")
        connection.commit()
    return f"sqlite:///{copy}" if changed > 0 else ""


@pytest.mark.promise("FLOW-5")
@pytest.mark.promise("STORE-8")
@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize(("table", "column"), columns())
async def test_a_changed_column_is_told_and_concerns_one_case(original: Path, table: str, column: str) -> None:
    for change in CHANGES:
        url = damaged(original, table, column, change)
        if not url:
            continue
        findings = await told(url)
        expected = change not in UNTOLD.get((table, column), ())
        assert bool(findings) is expected, (change, findings)
        assert not {finding.key for finding in findings} & {WELL}, change
        rows = await ended(url)
        assert (rows["well"].status, rows["well"].result) == (CaseStatus.CLOSED, "completed"), change
        for other in OTHERS:
            assert [wait.key for wait in rows[other].waits][:1] == [f"leaf:{other}"], change
        hit = rows["hit"]
        parked = [wait.reason for wait in hit.waits if wait.kind is WaitKind.OPERATOR]
        if hit.status is CaseStatus.CLOSED:
            assert hit.result == "completed", change
            assert not (table == "case" and column in PARKS), change
        elif (table, column) not in ASLEEP:
            assert parked, (change, hit)
            assert hit.status is CaseStatus.PARKED, change


async def test_the_rows_of_all_tables_are_changed(original: Path) -> None:
    with closing(sqlite3.connect(original)) as connection:
        for table in {table for table, _ in columns()}:
            (count,) = connection.execute(f'SELECT count(*) FROM "{table}" WHERE {ROWS.get(table, "1")}').fetchone()
            assert count, table
    assert await told(f"sqlite:///{original}") == []
