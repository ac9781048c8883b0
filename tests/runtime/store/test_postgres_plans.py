"""Plans of what is written to PostgreSQL: made once for each connection, and good for whatever comes."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from postgres_server import PostgresServer
from store_support import claimed, key_of, note, opening

from casework.runtime.seams import World
from casework.runtime.store import postgres_leases
from casework.runtime.store.base import Append, Appended, CaseOpened
from casework.runtime.store.postgres import PostgresStore
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.urls import open_store

NUMBERS = count()
#: Some thousand open cases that others hold, and a few suspects among them.
MANY = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, status, result, flow, version, source_hash, crew, parent,
                        head, opened_at, changed_at, node, suspect)
    SELECT 'tenant', 'many-' || n, 1, 1, 'open', '', '', '', '', '', '', '', n, n, 'other', n % 1000 = 0
    FROM generate_series(1, 5000) n;
    ANALYZE "case";
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(postgres: PostgresServer) -> AsyncIterator[PostgresStore]:
    store = await open_store(postgres.url(f"plans_{next(NUMBERS)}"), World())
    assert isinstance(store, PostgresStore)
    yield store
    await store.aclose()


def writing(store: PostgresStore) -> Link:
    link = store._writer._link
    assert link is not None
    return link


async def test_what_is_written_over_and_over_is_planned_once(store: PostgresStore) -> None:
    row = await claimed(store, "c")
    for place in range(1, 10):
        assert await store.append(Append(row.key, 1, place, (note(place),))) == Appended()
        assert await store.open_case(opening(key_of(f"new-{place}"))) == CaseOpened(key_of(f"new-{place}"))
    plans = await writing(store).fetch("SELECT custom_plans, generic_plans FROM pg_prepared_statements")
    assert sum(made for made, _ in plans) == 0
    assert max(used for _, used in plans) >= 18


@pytest.mark.parametrize(
    ("statement", "index", "other"),
    [
        (postgres_leases._CLAIM_SUSPECTS, "case_suspect", "case_open"),
        (postgres_leases._CLAIM_OTHERS, "case_open", "case_suspect"),
    ],
    ids=["suspects", "others"],
)
async def test_a_claim_looks_only_at_the_open_cases_that_it_may_take(
    store: PostgresStore, statement: str, index: str, other: str
) -> None:
    link = writing(store)
    await link.execute(MANY)
    await link.execute(f"PREPARE claim AS {statement}")
    lines = [line for (line,) in await link.fetch("EXPLAIN EXECUTE claim ('node', 1, 1, 1, 1, 1, 1, 1, '{pin}')")]
    used = [line for line in lines if 'on "case" c' in line]
    assert any(index in line for line in used), lines
    assert not any(other in line for line in used), lines
