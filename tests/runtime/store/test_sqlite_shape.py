"""What of a SQLite file's tables, indexes, triggers and views is not as they were made is told, and nothing else."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from casework.runtime.errors import StoreInvalid
from casework.runtime.seams import World
from casework.runtime.store.migrations import STEPS
from casework.runtime.store.schema import APPLICATION_ID
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import NOBODY, Finding, verify
from tests.support.rich_store import fill

TRIGGER = "CREATE TRIGGER tt AFTER INSERT ON record BEGIN DELETE FROM inbox; END"

ALTERED = {
    TRIGGER: "trigger tt on record is somebody else's",
    TRIGGER.replace("ON record", "ON RECORD"): "trigger tt on record is somebody else's",
    "CREATE TABLE own (x); CREATE TRIGGER tt AFTER INSERT ON own BEGIN DELETE FROM inbox; END": (
        "trigger tt on own is somebody else's"
    ),
    'CREATE VIEW closed AS SELECT * FROM "case"': "view closed on closed is somebody else's",
    "CREATE UNIQUE INDEX one ON inbox (case_no, kind)": "index one on inbox is somebody else's",
    "DROP INDEX wait_key": "index wait_key is missing",
    "DROP INDEX wait_key; CREATE INDEX wait_key ON wait (kind)": "index wait_key is not as it was made",
    "DROP INDEX inbox_once; CREATE INDEX inbox_once ON inbox (case_no, id)": "index inbox_once is not as it was made",
    "DROP TABLE artifact": "table artifact is missing",
    "DROP TABLE ledger; CREATE VIEW ledger AS SELECT 1": "table ledger is missing",
    "ALTER TABLE node ADD COLUMN own TEXT": "table node is not as it was made",
    "ALTER TABLE node RENAME COLUMN until TO ends": "table node is not as it was made",
}
HARMLESS = {
    "an index of one's own": "CREATE INDEX own ON record (kind)",
    "a table of one's own": "CREATE TABLE mine (x UNIQUE); CREATE UNIQUE INDEX mine_x ON mine (x)",
    "statistics": "ANALYZE",
    "a file that was written anew": "VACUUM",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "rich.db"
    await fill(f"sqlite:///{path}")
    return path


def changed(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(statements)


async def told(path: Path) -> list[Finding]:
    reader = await open_reader(f"sqlite:///{path}", World())
    try:
        return await verify(reader)
    finally:
        await reader.aclose()


@pytest.mark.promise("STORE-8")
async def test_whatever_may_change_what_is_read_and_written_is_told(path: Path) -> None:
    for statements, why in ALTERED.items():
        copy = path.with_name("altered.db")
        shutil.copy(path, copy)
        changed(copy, statements)
        assert Finding(NOBODY, 0, why) in await told(copy), statements


async def test_what_somebody_adds_that_changes_nothing_is_not_told(path: Path) -> None:
    for what, statements in HARMLESS.items():
        changed(path, statements)
        assert await told(path) == [], what


async def test_a_file_of_every_earlier_version_is_as_it_should_be_once_it_was_brought_to_this_one(
    tmp_path: Path,
) -> None:
    for version in range(1, len(STEPS) + 1):
        path = tmp_path / f"{version}.db"
        # Whoever wrote the statements may have indented them otherwise.
        statements = [" ".join(each.split()) for step in STEPS[:version] for each in step]
        header = (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {version}")
        changed(path, ";".join((*statements, *header)))
        await (await open_store(f"sqlite:///{path}", World())).aclose()
        assert await told(path) == [], version


async def test_a_file_in_which_somebody_elses_trigger_would_run_is_read_but_not_written(path: Path) -> None:
    changed(path, TRIGGER)
    with pytest.raises(StoreInvalid, match="trigger tt on its table record is somebody else's"):
        await open_store(f"sqlite:///{path}", World())
    assert await told(path)
    changed(path, "DROP TRIGGER tt; CREATE TABLE own (x); CREATE TRIGGER tt AFTER INSERT ON own BEGIN SELECT 1; END")
    await (await open_store(f"sqlite:///{path}", World())).aclose()
