"""A store of an earlier version is brought to this one when it is opened, with everything that it holds."""

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer
from store_support import NODE, NOW, TENANT, arrived, evidence, ids, key_of, note, opening

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import migrations, postgres_schema
from casework.runtime.store.accounts import Account, Draw, Drawn
from casework.runtime.store.base import Append, Appended, CaseStatus
from casework.runtime.store.chain import GENESIS, chained
from casework.runtime.store.postgres_link import connect
from casework.runtime.store.postgres_url import postgres_address
from casework.runtime.store.schema import APPLICATION_ID
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify

NUMBERS = count()

#: A case as the first version wrote it: open, without a node, with its first record.
CASE = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew,
                        parent, head, opened_at, changed_at)
    VALUES ('{tenant}', 'old', 0, 1, '', 'open', '', 'quarter', '1', 'abc', 'books', '', {head}, {at}, {at})
"""
RECORD = """
    INSERT INTO record (case_no, seq, epoch, kind, step_id, at, frame, hash)
    VALUES (1, 0, 0, 'opened', '', {at}, {frame}, {head})
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def written(literal: str) -> list[str]:
    """Give the statements that wrote the case, with bytes as `literal` has them."""
    first = opening(key_of("old")).record
    head = literal.format(chained(GENESIS, key_of("old"), first).hex())
    values = {"tenant": TENANT, "head": head, "at": NOW, "frame": literal.format(first.frame.hex())}
    return [CASE.format(**values), RECORD.format(**values)]


async def goes_on(url: str) -> None:
    """Open a store that holds the case, and do with it what this version can do."""
    store = await open_store(url, World())
    try:
        assert await verify(store) == []
        await store.renew(NODE, until=NOW + 1_000)
        (given,) = (await store.claim(NODE, limit=9, now=NOW)).cases
        assert (given.row.key, given.row.chapter, [record.frame for record in given.records]) == (
            key_of("old"), 0, [b"opened"],
        )  # fmt: skip
        parked = Append(given.row.key, 1, 1, (note(1),), CaseStatus.PARKED, waits=(evidence("receipt"),), release=True)
        assert isinstance(await store.append(parked), Appended)
        await store.deliver(TENANT, "receipt", "m1", arrived())
        (given,) = (await store.claim(NODE, limit=9, now=NOW)).cases
        assert ids(given.inbox) == ["m1"]
        assert isinstance(await store.set_limit("tenant/acme", 100, by="ann", at=NOW), Account)
        assert await store.draw(Draw("d1", ("tenant/acme",), 60, 1, NOW)) == Drawn("d1")
        assert await verify(store) == []
    finally:
        await store.aclose()


@pytest.mark.parametrize("version", range(1, migrations.SCHEMA_VERSION))
async def test_a_file_of_an_earlier_version_goes_on_with_its_cases(tmp_path: Path, version: int) -> None:
    path = tmp_path / "cases.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statements in migrations.STEPS[:version]:
            for statement in statements:
                connection.execute(statement)
        for statement in written("x'{}'"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    url = f"sqlite:///{path}"
    with pytest.raises(StoreInvalid, match=f"it is of version {version}; a Runtime or `casework run` brings it to"):
        await open_reader(url, World())
    await goes_on(url)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (migrations.SCHEMA_VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def earlier(version: int) -> tuple[str, str]:
    """Give a schema's name, and the statements that make it as an earlier version did, with the case."""
    schema = f"earlier_{next(NUMBERS)}"
    steps = [*postgres_schema.STEPS[:version], f"UPDATE casework_version SET version = {version}"]
    statements = [f"CREATE SCHEMA {schema}", f"SET search_path = {schema}", *steps, *written("decode('{}', 'hex')")]
    return schema, ";".join(statements)


@pytest.mark.parametrize("version", range(1, postgres_schema.SCHEMA_VERSION))
async def test_a_schema_of_an_earlier_version_goes_on_with_its_cases(postgres: PostgresServer, version: int) -> None:
    schema, made = earlier(version)
    postgres.psql(made)
    with pytest.raises(StoreInvalid, match=f"it is of version {version}; a Runtime or `casework run` brings it to"):
        await open_reader(postgres.url(schema), World())
    await goes_on(postgres.url(schema))
    assert postgres.psql(f"SELECT version FROM {schema}.casework_version") == str(postgres_schema.SCHEMA_VERSION)


async def test_a_schema_whose_tables_somebody_else_holds_is_migrated_later_and_keeps_nobody_waiting_meanwhile(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_schema, "LOCK_SECONDS_MAX", 0.05)
    schema, made = earlier(postgres_schema.SCHEMA_VERSION - 1)
    postgres.psql(made)
    url = postgres.url(schema)
    dump = await connect(postgres_address(url))
    with anyio.fail_after(5):
        async with dump.transaction():
            await dump.execute('LOCK TABLE "case", node IN ACCESS SHARE MODE')
            with pytest.raises(StoreUnavailable, match="others hold its tables, such as a dump: try again once"):
                await open_store(url, World())
    await dump.close()
    assert postgres.psql(f"SELECT version FROM {schema}.casework_version") == str(postgres_schema.SCHEMA_VERSION - 1)
    await goes_on(url)
