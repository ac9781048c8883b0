"""One case that cannot be read leaves the others of its claim alone, and a claim costs few statements."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from store_support import NODE, NOW, TENANT, arrived, key_of, opening

from casework.runtime.seams import World
from casework.runtime.store import changes, sqlite_claims
from casework.runtime.store.base import Append, Appended, CaseStatus
from casework.runtime.store.connections import connect_owner
from casework.runtime.store.urls import open_store

NAMES = ("a", "b", "c")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def damaged(path: Path, statement: str) -> str:
    """Make a store with three open cases that have a message each, change one of them, and give its URL."""
    url = f"sqlite:///{path}"
    store = await open_store(url, World())
    for name in NAMES:
        await store.open_case(opening(key_of(name)))
        await store.deliver(TENANT, name, f"m-{name}", arrived(f"m-{name}"))
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    return url


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET kind = cast(x'ff' AS TEXT) WHERE case_no = 2",
        "UPDATE record SET frame = cast(x'ff' AS TEXT) WHERE case_no = 2",
        "UPDATE inbox SET id = cast(x'ff' AS TEXT) WHERE case_no = 2",
    ],
)
async def test_a_case_whose_log_or_inbox_cannot_be_read_says_so_and_the_others_begin(
    tmp_path: Path, statement: str
) -> None:
    store = await open_store(await damaged(tmp_path / "cases.db", statement), World())
    with anyio.fail_after(5):
        await store.renew(NODE, until=NOW + 1_000)
        given = (await store.claim(NODE, limit=9, now=NOW)).cases
        assert [each.row.key.case_id for each in given] == list(NAMES)
        assert [bool(each.broken) for each in given] == [False, True, False]
        assert "not ours" in given[1].broken
        assert (len(given[1].records), len(given[1].inbox)) == (0, 0)
        assert all(len(each.records) == len(each.inbox) == 1 for each in (given[0], given[2]))
        # Who holds it can park it all the same.
        row = given[1].row
        parking = Append(row.key, row.epoch, row.next_seq, (), CaseStatus.PARKED, release=True)
        assert isinstance(await store.append(parking), Appended)
        again = await store.reclaim(NODE, key_of("a"))
        assert again is not None
        assert not again.broken
    await store.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE "case" SET flow = cast(x'ff' AS TEXT) WHERE no = 2""",
        """UPDATE "case" SET head = 'text' WHERE no = 2""",
        """UPDATE "case" SET changed_at = 'soon', opened_at = 'soon' WHERE no = 2""",
    ],
)
async def test_a_case_whose_row_cannot_be_read_is_set_aside_and_the_others_begin(
    tmp_path: Path, statement: str
) -> None:
    store = await open_store(await damaged(tmp_path / "cases.db", statement), World())
    with anyio.fail_after(5):
        await store.renew(NODE, until=NOW + 1_000)
        claims = await store.claim(NODE, limit=9, now=NOW)
        assert [each.row.key.case_id for each in claims.cases] == ["a", "c"]
        await store.renew("node-2", until=NOW + 5_000)
        claims = await store.claim("node-2", limit=9, now=NOW + 2_000)
        assert [each.row.key.case_id for each in claims.cases] == ["a", "c"]
    await store.aclose()


def test_a_claim_makes_as_many_statements_for_a_hundred_cases_as_for_three(tmp_path: Path) -> None:
    counted: list[int] = []
    with closing(connect_owner(f"{tmp_path}/cases.db", "sqlite:")) as connection:
        for round_, size in enumerate((3, 100)):
            connection.execute("BEGIN IMMEDIATE")
            changes.renew(connection, NODE, NOW + 1_000)
            for number in range(size):
                changes.open_case(connection, opening(key_of(f"{round_}-{number}")), [])
            connection.execute("COMMIT")
            statements: list[str] = []
            connection.set_trace_callback(statements.append)
            connection.execute("BEGIN IMMEDIATE")
            claims = sqlite_claims.claim(connection, NODE, 256, NOW)
            connection.execute("COMMIT")
            connection.set_trace_callback(None)
            assert len(claims.cases) == size
            counted.append(len(statements))
    assert counted[0] == counted[1] <= 12


def test_a_claim_looks_at_no_more_open_cases_than_it_takes(tmp_path: Path) -> None:
    bound = (NOW, 0, 1, 256, "node")
    with closing(connect_owner(f"{tmp_path}/cases.db", "sqlite:")) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sqlite_claims._CLAIMABLE}", bound))
    # In the order of the index, so that it ends with the limit; what is sorted is what that leaves.
    assert "SCAN case USING INDEX case_open" in plan
    assert plan.count("USE TEMP B-TREE FOR ORDER BY") == 1
