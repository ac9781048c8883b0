"""A process that stands still in the middle of a transaction keeps nobody from its cases once its lease is over."""

from itertools import count

import anyio
import pytest
from postgres_server import PostgresServer
from store_support import claimed

from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.seams import World
from casework.runtime.store.postgres_link import connect
from casework.runtime.store.postgres_url import postgres_address
from casework.runtime.store.urls import open_store

NUMBERS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.promise("NODE-5")
async def test_a_case_that_a_stopped_process_has_locked_is_free_within_a_lease(postgres: PostgresServer) -> None:
    url = postgres.url(f"standstill_{next(NUMBERS)}")
    store = await open_store(url, World())
    await claimed(store, "c")
    stopped, heir = await connect(postgres_address(url)), await connect(postgres_address(url))
    await stopped.execute("BEGIN")
    await stopped.execute('UPDATE "case" SET next_seq = 7')
    with anyio.fail_after(LEASE_SECONDS):
        assert await heir.fetchval('SELECT next_seq FROM "case" FOR UPDATE') == 1
    for link in (stopped, heir):
        link.terminate()
    await store.aclose()
