"""Every column of every table of a PostgreSQL store, changed by somebody else: `verify` names the place, and blames no
other case for it."""

from itertools import count
from typing import Final

import asyncpg
import pytest
from postgres_server import PostgresServer

from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, StoreReader
from casework.runtime.store.postgres_link import Link, connect
from casework.runtime.store.postgres_url import postgres_address
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify
from tests.support.rich_store import ended, fill

NUMBERS = count()
WELL = CaseKey("default", "well")

#: What is put into a column, by its type.
CHANGES: Final = {
    "text": {"blank": "''", "another text": "'zzz'"},
    "bigint": {"lowered": '"{}" - 1', "raised": '"{}" + 1', "the highest": "9223372036854775807"},
    "bytea": {"blank": "''", "other bytes": "'\\x00ff'"},
    "boolean": {"the other": 'NOT "{}"'},
    "ARRAY": {"blank": "'{{}}'", "another text": "'{{zzz}}'"},
}
TABLES: Final = (
    "account", "artifact", "case", "inbox", "ledger", "node", "record", "review", "setting", "wait",
)  # fmt: skip
_COLUMNS: Final = """
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name <> 'casework_version' AND is_identity = 'NO'
"""
HIT: Final = "(SELECT no FROM \"case\" WHERE case_id = 'hit')"
#: Which rows are changed; those of the case that is hit, where they are of a case.
ROWS: Final = {
    "case": f"no = {HIT}",
    "record": f"case_no = {HIT} AND seq = 1",
    "inbox": f"case_no = {HIT} AND NOT consumed",
    "wait": f"case_no = {HIT} AND place = 0",
    "review": f"case_no = {HIT}",
    "ledger": "seq = 1",
    "setting": "name = 'out'",
}
#: Changes that nothing shows, for what is kept there follows from nothing: how often a case was owned or claimed in
#: vain, by whom, when it changed, what it has read, what a node says of itself each second, the hash of a frame that is
#: there, where a list has its order from.
UNTOLD: Final[dict[tuple[str, str], set[str]]] = {
    ("case", "epoch"): {"raised"},
    ("case", "node"): {"another text"},
    ("case", "changed_at"): {"lowered", "raised", "the highest"},
    ("case", "seen"): {"lowered", "raised"},
    ("case", "claims"): {"raised", "the highest"},
    ("case", "suspect"): {"the other"},
    ("record", "frame_hash"): {"other bytes"},
    ("inbox", "target"): {"blank"},
    ("wait", "place"): {"lowered", "raised", "the highest"},
    ("review", "opened_at"): {"raised"},
    ("node", "name"): {"another text"},
    ("node", "until"): {"lowered", "raised"},
    ("node", "carries"): {"blank", "another text"},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def made(url: str) -> None:
    """Make a store with rows in all tables."""
    await fill(url)
    store = await open_store(url, World())
    await store.renew("n1", until=5, carries=("quarter:1:abc",))
    await store.aclose()


@pytest.mark.promise("STORE-8")
async def test_a_changed_column_is_told_and_no_other_case_is_blamed(postgres: PostgresServer) -> None:
    url = postgres.url(f"columns_{next(NUMBERS)}")
    await made(url)
    link, reader = await connect(postgres_address(url)), await open_reader(url, World())
    try:
        assert await verify(reader) == []
        columns = [(str(table), str(column), str(type_)) for table, column, type_ in await link.fetch(_COLUMNS)]
        wrong: list[tuple[str, str, str]] = []
        for table, column, type_ in columns:
            for change, value in CHANGES[type_].items():
                blamed = await changed(link, reader, table, column, value)
                if blamed is None:
                    continue
                assert WELL not in blamed, (table, column, change)
                if bool(blamed) is (change in UNTOLD.get((table, column), ())):
                    wrong.append((table, column, change))
        assert wrong == []
        assert {table for table, _, _ in columns} == {*TABLES}
    finally:
        link.terminate()
        await reader.aclose()


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("change", ["\"case\" SET status = 'zzz' WHERE no", "wait SET kind = 'zzz' WHERE case_no"])
async def test_a_row_that_cannot_be_read_keeps_no_other_case_from_its_end(
    change: str, postgres: PostgresServer
) -> None:
    schema = f"columns_{next(NUMBERS)}"
    url = postgres.url(schema)
    await made(url)
    postgres.psql(f"SET search_path = {schema}; UPDATE {change} = {HIT}")
    rows = await ended(url)
    assert rows["well"].status is CaseStatus.CLOSED
    assert any("cannot be read" in wait.reason for wait in rows["hit"].waits) or rows["hit"].status is CaseStatus.CLOSED


async def changed(link: Link, reader: StoreReader, table: str, column: str, value: str) -> set[CaseKey] | None:
    """Give whom `verify` blames while a column is another, which is taken back; None where no row may be so."""
    where = f'{ROWS.get(table, "true")} AND "{column}" IS DISTINCT FROM {value.format(column)}'
    async with link.transaction():
        await link.execute(f'CREATE TEMP TABLE kept AS SELECT * FROM "{table}"')
    try:
        try:
            done = await link.execute(f'UPDATE "{table}" SET "{column}" = {value.format(column)} WHERE {where}')
        except asyncpg.PostgresError:
            return None
        return await told(reader) if done != "UPDATE 0" else None
    finally:
        async with link.transaction():
            await link.execute(f'DELETE FROM "{table}"')
            await link.execute(f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE SELECT * FROM kept')
            await link.execute("DROP TABLE kept")


async def told(reader: StoreReader) -> set[CaseKey]:
    return {finding.key for finding in await verify(reader)}
