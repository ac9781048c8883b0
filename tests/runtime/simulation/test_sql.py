"""The disk that runs SQLite's own schema and statements on the loop: a store like any other, and as repeatable."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from store_support import OpenStore

from casework.runtime.simulation import draw_plan, simulate
from casework.runtime.simulation.sql import sql_in_memory
from casework.runtime.store.base import Store
from casework.runtime.store.conformance import StoreConformance
from casework.runtime.store.sqlite_quick import Quick
from tests.support.simulated_service import bank_run

SEED = 5


class TestSqlInMemory(StoreConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def several_processes(self) -> bool:
        return False

    @pytest.fixture
    def open_store(self) -> OpenStore:
        kept = sql_in_memory()

        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            yield kept

        return opened


def test_a_run_over_its_statements_is_the_same_again() -> None:
    first, again = (simulate(bank_run, seed=SEED, plan=draw_plan(SEED), sql=True).digest for _ in range(2))
    assert first == again


def test_cases_end_over_it_as_they_do_over_the_store_in_memory() -> None:
    plan = draw_plan(SEED)
    ends = [simulate(bank_run, seed=SEED, plan=plan, sql=sql).value.keys() for sql in (False, True)]
    assert ends[0] == ends[1]


def test_cases_end_the_same_over_a_sqlite_that_knows_no_statement_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> list[object]:
        refused.append("FROM")
        raise sqlite3.OperationalError('near "FROM": syntax error')

    refused: list[str] = []
    known = simulate(bank_run, seed=SEED, plan=draw_plan(SEED), sql=True).value.keys()
    monkeypatch.setattr(Quick, "write", unknown)
    assert simulate(bank_run, seed=SEED, plan=draw_plan(SEED), sql=True).value.keys() == known
    assert refused
