"""The store in PostgreSQL keeps the promises of a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from postgres_server import PostgresServer

from casework.runtime.seams import World
from casework.runtime.store.base import Store
from casework.runtime.store.conformance import OpenStore, StoreConformance
from casework.runtime.store.urls import open_store as open_url

NUMBERS = count()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param}


class TestPostgresStore(StoreConformance):
    @pytest.fixture
    def open_store(self, postgres: PostgresServer) -> OpenStore:
        url = postgres.url(f"conformance_{next(NUMBERS)}")

        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            store = await open_url(url, World())
            try:
                yield store
            finally:
                await store.aclose()

        return opened
