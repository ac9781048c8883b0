"""The store in a SQLite file keeps the promises of a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from casework.runtime.seams import World
from casework.runtime.store.base import Store
from casework.runtime.store.conformance import OpenStore, StoreConformance
from casework.runtime.store.urls import open_store as open_url


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def several_processes(self) -> bool:
        return False

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            store = await open_url(f"sqlite:///{tmp_path}/cases.db", World())
            try:
                yield store
            finally:
                await store.aclose()

        return opened
