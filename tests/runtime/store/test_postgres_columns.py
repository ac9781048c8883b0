"""Columns as text: whatever stands in them, the server reads what was written."""

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer

from casework.runtime.store.postgres_columns import columns, numbers, texts, written

SIGNS = st.text(st.sampled_from([*list("\",\\{}'xNUL \n\t"), "é", "😀"]), max_size=8)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.none() | SIGNS | st.sampled_from(["NULL", "", "plain", '"', '","'])),
    amounts=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
)
async def test_the_server_reads_just_the_texts_and_numbers_that_were_written(
    postgres: PostgresServer, words: list[str | None], amounts: list[int | None]
) -> None:
    link = await asyncpg.connect(postgres.url())
    try:
        read = await link.fetchrow("SELECT $1::text::text[], $2::text::bigint[]", texts(words), numbers(amounts))
    finally:
        await link.close()
    assert read is not None
    assert list(read) == [words, amounts]


def test_rows_become_columns_of_their_kinds_and_no_rows_become_empty_ones() -> None:
    rows = [(1, "a", b"x", True), (None, 'b"', b"y", False)]
    assert written(rows, "ntdn") == ["{1,NULL}", '{"a","b\\""}', (b"x", b"y"), "{True,False}"]
    assert written([], "ntd") == ["{}", "{}", ()]
    assert columns([], 2) == [(), ()]
