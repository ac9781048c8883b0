"""Settings of a PostgreSQL store that somebody else changed: `verify` names them."""

from itertools import count

import pytest
from postgres_server import PostgresServer

from casework.runtime.seams import World
from casework.runtime.store.postgres_seals import SEAL
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify

NUMBERS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def schema(postgres: PostgresServer) -> str:
    """Give a store whose settings were set, set again and added to."""
    schema = f"seals_{next(NUMBERS)}"
    store = await open_store(postgres.url(schema), World())
    for value in ("first", "second"):
        await store.remember("crew", value)
        await store.extend("switches", f"{value}\n")
    await store.renew("n1", until=1)
    await store.aclose()
    return schema


async def told(url: str) -> list[str]:
    reader = await open_reader(url, World())
    try:
        return [finding.why for finding in await verify(reader)]
    finally:
        await reader.aclose()


@pytest.mark.promise("STORE-8")
async def test_settings_that_the_store_set_itself_verify(postgres: PostgresServer, schema: str) -> None:
    assert postgres.psql(f"SELECT value FROM {schema}.setting WHERE name = 'crew'") == "second"
    assert await told(postgres.url(schema)) == []


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("UPDATE {}.setting SET value = 'other' WHERE name = 'crew'", ["crew"]),
        ("UPDATE {}.setting SET name = 'crews' WHERE name = 'crew'", ["crew", "crews"]),
        ("DELETE FROM {}.setting WHERE name = 'switches'", ["switches"]),
        ("INSERT INTO {}.setting VALUES ('store.halted', '')", ["store.halted"]),
        (f"UPDATE {{}}.setting SET value = '' WHERE name = '{SEAL}crew'", ["crew"]),
    ],
)
async def test_a_setting_that_was_changed_is_named_and_is_well_again_once_it_is_set(
    postgres: PostgresServer, schema: str, statement: str, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    postgres.psql(statement.format(schema))
    assert await told(postgres.url(schema)) == [f"setting {name} is not as it was set" for name in names]
    store = await open_store(postgres.url(schema), World())
    assert f"setting {names[0]} is not as it was set: somebody else changed it" in caplog.text
    await store.remember("crew", "third")
    await store.aclose()
    left = [f"setting {name} is not as it was set" for name in names if name != "crew"]
    assert await told(postgres.url(schema)) == left
