"""The store in memory keeps the promises of a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from casework.runtime.store.base import Store
from casework.runtime.store.conformance import OpenStore, StoreConformance
from casework.runtime.store.memory import MemoryStore


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        store = MemoryStore()

        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            yield store
            await store.aclose()

        return opened
