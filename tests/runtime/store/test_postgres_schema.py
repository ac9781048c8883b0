"""What a PostgreSQL schema may and may not be, who makes its tables, and what is said of its URL."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import anyio
import pytest
from postgres_server import PASSWORD, PostgresServer
from store_support import claimed

from casework.runtime.errors import StoreError, StoreInvalid, StoreNewer, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store.postgres_schema import SCHEMA_VERSION
from casework.runtime.store.postgres_url import masked, postgres_address
from casework.runtime.store.urls import door_server, open_door, open_reader, open_store, wait_settled

NUMBERS = count()
WAYS: tuple[Callable[..., Any], ...] = (open_store, open_reader, open_door)

OPENER = """
import sys

import anyio

from casework.runtime.seams import World
from casework.runtime.store.urls import open_store


async def main(url):
    store = await open_store(url, World())
    await store.remember("opened", "yes")
    await store.aclose()


anyio.run(main, sys.argv[1])
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def schema() -> str:
    return f"schema_{next(NUMBERS)}"


def tables(postgres: PostgresServer, schema: str) -> str:
    return postgres.psql(
        f"SELECT string_agg(relname || relfilenode, ',' ORDER BY relname) FROM pg_class"
        f" WHERE relnamespace = '{schema}'::regnamespace"
    )


def test_processes_that_open_a_new_schema_at_once_make_it_once(postgres: PostgresServer, schema: str) -> None:
    command = [sys.executable, "-c", OPENER, postgres.url(schema)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    assert postgres.psql(f"SELECT version FROM {schema}.casework_version") == str(SCHEMA_VERSION)
    assert postgres.psql(f"SELECT value FROM {schema}.setting WHERE name = 'opened'") == "yes"


@pytest.mark.promise("STORE-12")
async def test_a_newer_schema_is_refused_and_not_touched(postgres: PostgresServer, schema: str) -> None:
    url = postgres.url(schema)
    await (await open_store(url, World())).aclose()
    postgres.psql(f"UPDATE {schema}.casework_version SET version = 99")
    before = tables(postgres, schema)
    for way in WAYS:
        with pytest.raises(StoreNewer, match="version is 99"):
            await way(url, World())
    assert tables(postgres, schema) == before
    assert postgres.psql(f"SELECT version FROM {schema}.casework_version") == "99"


async def test_a_schema_of_another_program_is_refused_and_not_touched(postgres: PostgresServer, schema: str) -> None:
    postgres.psql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.customer (name text)")
    before = tables(postgres, schema)
    for way in WAYS:
        with pytest.raises(StoreInvalid, match="another program"):
            await way(postgres.url(schema), World())
    assert tables(postgres, schema) == before


async def test_a_reader_makes_nothing(postgres: PostgresServer, schema: str) -> None:
    with pytest.raises(StoreInvalid, match="nothing was stored yet"):
        await open_reader(postgres.url(schema), World())
    assert postgres.psql(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'") == "0"


async def test_two_schemas_of_one_database_are_two_stores(postgres: PostgresServer, schema: str) -> None:
    one = await open_store(postgres.url(schema), World())
    other = await open_store(postgres.url(f"{schema}_b"), World())
    await claimed(one, "c")
    assert list(await other.cases()) == []
    reader = await open_reader(postgres.url(schema), World())
    assert len(await reader.cases()) == 1
    for store in (one, other, reader):
        await store.aclose()


async def test_without_a_name_the_schema_is_called_casework(postgres: PostgresServer) -> None:
    await (await open_store(postgres.url(), World())).aclose()
    assert postgres.psql("SELECT version FROM casework.casework_version") == str(SCHEMA_VERSION)


def test_on_trio_it_is_refused_in_words() -> None:
    url = "postgresql://casework:open-sesame@127.0.0.1:1/postgres"
    with pytest.raises(StoreInvalid, match="needs asyncio"):
        anyio.run(partial(open_store, url, World()), backend="trio")


@pytest.mark.parametrize("schema", ["", "Studio", "pg_catalog", "a b", "x" * 60, "a;drop"])
async def test_a_schema_that_cannot_be_ours_is_refused(schema: str) -> None:
    with pytest.raises(StoreInvalid, match="must be lower-case"):
        await open_store(f"postgresql://127.0.0.1:1/postgres?schema={schema}", World())


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    for way in WAYS:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await way("postgresql://casework:open-sesame@127.0.0.1:1/postgres", World())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://casework:open-sesame@127.0.0.1:1/postgres",
        "postgresql://casework:open-sesame@127.0.0.1:nonsense/postgres",
        "postgresql://casework:p/open-sesame@127.0.0.1:1/postgres",
        "postgresql://casework:p@open-sesame@127.0.0.1:1/postgres",
        "postgresql://casework:p?open-sesame@127.0.0.1:1/postgres",
        "postgresql://casework:open-sesame/p@127.0.0.1:1/postgres",
        "postgresql://casework:open-sesame?p@127.0.0.1:1/postgres",
        "postgresql://casework:open-sesame#p@127.0.0.1:1/postgres",
        "postgresql://127.0.0.1:1/postgres?user=casework&password=open-sesame",
        "postgresql://127.0.0.1:1/postgres?user=casework&pass%77ord=open-sesame",
        "postgresql://127.0.0.1:1/postgres?user=casework&%50ASSWORD=open-sesame",
        "postgresql://casework:open-sesame@127.0.0.1:1/postgres?schema=NO",
        "postgres://casework:open-sesame@127.0.0.1:1/postgres",
        "postgresq://casework:open-sesame@127.0.0.1:1/postgres",
    ],
)
async def test_no_error_tells_the_password(url: str) -> None:
    for way in WAYS:
        with pytest.raises(StoreError) as raised:
            await way(url, World())
        seen: BaseException | None = raised.value
        assert "open-sesame" not in raised.value.url
        while seen is not None:
            assert "open-sesame" not in f"{seen} {seen!r} {seen.args}"
            seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("port", ["99999", "-1"])
async def test_a_port_that_is_none_is_refused_in_words(host: str, port: str) -> None:
    for way in WAYS:
        with pytest.raises(StoreInvalid, match="a port is a number from 1 to 65535"):
            await way(f"postgresql://casework:open-sesame@{host}:{port}/postgres", World())


async def test_a_setting_that_the_server_does_not_know_is_named(postgres: PostgresServer, schema: str) -> None:
    for way in WAYS:
        with pytest.raises(StoreInvalid, match=r'the server knows no such setting: .*"flavour"'):
            await way(f"{postgres.url(schema)}&flavour=sweet", World())


async def test_a_wrong_password_is_refused_without_telling_it(postgres: PostgresServer) -> None:
    url = postgres.url().replace(PASSWORD, "close-sesame")
    with pytest.raises(StoreInvalid, match="the server refuses: password authentication failed") as raised:
        await open_store(url, World())
    assert "sesame" not in str(raised.value)


async def test_a_store_names_itself_without_its_password(postgres: PostgresServer, schema: str) -> None:
    store = await open_store(postgres.url(schema), World())
    assert store.url == postgres.url(schema).replace(PASSWORD, "***")
    await store.aclose()


def test_the_driver_is_given_everything_but_the_schema() -> None:
    address = postgres_address("postgresql://u:p%40ss@h:1/d?schema=studio&sslmode=require")
    assert address.dsn == "postgresql://u:p%40ss@h:1/d?sslmode=require"
    assert (address.schema, address.shown) == ("studio", "postgresql://u:***@h:1/d?schema=studio&sslmode=require")
    assert postgres_address("postgresql:///d").schema == "casework"
    assert masked("sqlite:///a@b.db") == "sqlite:///a@b.db"


async def test_a_store_of_another_kind_is_settled_once_its_own_runtime_is() -> None:
    store = await open_store("memory:", World())
    waited: list[bool] = []

    async def idle() -> None:
        waited.append(True)

    await wait_settled(store, idle, World())
    assert waited == [True]
    assert door_server(store) is None
