"""The short way through PostgreSQL: one statement where it can be, and the same answers as by the long one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from postgres_server import PostgresServer
from store_support import NODE, NOW, TENANT, arrived, claimed, evidence, key_of, note, opening, there

from casework.runtime.errors import StoreInvalid
from casework.runtime.seams import MICROS, World
from casework.runtime.store import postgres_quick
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseOpened,
    CaseStatus,
    Conflict,
    Fenced,
    InboxItem,
    Store,
    Unavailable,
)
from casework.runtime.store.postgres import PostgresStore
from casework.runtime.store.postgres_writer import POINT_COMMIT_BEFORE
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify

NUMBERS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(f"quick_{next(NUMBERS)}")


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = await open_store(url, World())
    assert isinstance(store, PostgresStore)
    yield store
    await store.aclose()


@pytest.fixture
async def other(url: str, store: PostgresStore) -> AsyncIterator[Store]:
    other = await open_store(url, World())
    yield other
    await other.aclose()


@asynccontextmanager
async def statements(store: PostgresStore) -> AsyncIterator[list[str]]:
    """Collect what is sent to the server by the writing connection."""
    sent: list[str] = []
    link = store._writer._link
    assert link is not None

    def collect(record: Any) -> None:
        sent.append(record.query.split(None, 1)[0])

    with link.query_logger(collect):
        yield sent
        # The driver tells of a statement in the next round of the loop.
        await anyio.lowlevel.checkpoint()


async def together(store: Store, *appends: Append) -> list[object]:
    """Append at once; give the answers in order."""
    answers: dict[int, object] = {}

    async def append(place: int, append: Append) -> None:
        answers[place] = await store.append(append)

    async with anyio.create_task_group() as group:
        for place, each in enumerate(appends):
            group.start_soon(append, place, each)
    return [answers[place] for place in range(len(appends))]


async def test_what_a_node_does_with_the_cases_that_it_holds_is_one_statement_a_batch(store: PostgresStore) -> None:
    rows = [await claimed(store, f"c{number}") for number in range(3)]
    async with statements(store) as sent:
        assert await together(store, *(Append(row.key, 1, 1, (note(1), note(2))) for row in rows)) == [Appended()] * 3
        assert await store.open_case(opening(key_of("new"))) == CaseOpened(key_of("new"))
        closing = Append(rows[0].key, 1, 3, (note(3),), status=CaseStatus.CLOSED, result="completed")
        closed = await store.append(closing)
        parking = Append(rows[1].key, 1, 3, (), status=CaseStatus.PARKED, waits=(evidence("receipt"),), release=True)
        assert await store.append(parking) == Appended()
    assert sent == ["WITH"] * 4
    assert closed == Appended((await there(store, "c0")).head)
    assert (await there(store, "c0")).result == "completed"
    assert (await there(store, "c1")).waits == (evidence("receipt"),)
    assert (await there(store, "c2")).next_seq == 3
    assert await verify(store) == []


@pytest.mark.promise("STORE-4")
@pytest.mark.promise("STORE-9")
async def test_a_case_that_stands_otherwise_than_remembered_is_refused_alone(
    store: PostgresStore, other: Store
) -> None:
    lost, kept = await claimed(store, "lost"), await claimed(store, "kept")
    await other.renew("node-2", until=NOW + 60 * MICROS)
    await store.renew(NODE, until=0)
    assert len((await other.claim("node-2", limit=1, now=NOW)).cases) == 1
    answers = await together(store, *(Append(row.key, 1, 1, (note(1),)) for row in (lost, kept)))
    assert answers == [Fenced(2), Appended()]
    assert (await there(store, "lost")).next_seq == 1
    # Who was refused is not remembered, and the other still is.
    async with statements(store) as sent:
        assert await store.append(Append(kept.key, 1, 2, (note(2),))) == Appended()
        assert await store.append(Append(lost.key, 1, 1, (note(1),))) == Fenced(2)
    assert sent[0] == "WITH"
    assert await verify(store) == []


@pytest.mark.promise("STORE-4")
async def test_an_append_at_another_place_than_remembered_is_a_conflict(store: PostgresStore) -> None:
    row = await claimed(store, "c")
    assert await store.append(Append(row.key, 1, 1, (note(1),))) == Appended()
    assert await store.append(Append(row.key, 1, 1, (note(1),))) == Conflict(2)
    assert await store.append(Append(row.key, 1, 5, (note(5),))) == Conflict(2)
    assert await store.append(Append(row.key, 1, 2, (note(2),))) == Appended()


@pytest.mark.promise("STORE-8")
async def test_a_log_that_was_written_to_behind_our_back_is_gone_on_with_as_it_is(
    store: PostgresStore, postgres: PostgresServer, url: str
) -> None:
    row = await claimed(store, "c")
    schema = url.rpartition("=")[2]
    postgres.psql(f"""UPDATE {schema}."case" SET head = sha256('another')""")
    assert await store.append(Append(row.key, 1, 1, (note(1),))) == Appended()
    # Not hidden by what we remember: the chain is broken where it was altered.
    assert [finding.seq for finding in await verify(store)] == [1]


@pytest.mark.promise("STORE-1")
async def test_openings_of_new_cases_and_of_old_ones_are_answered_each_for_itself(store: PostgresStore) -> None:
    await store.open_case(opening(key_of("old")))
    answers: dict[str, object] = {}

    async def open_case(name: str) -> None:
        answers[name] = await store.open_case(opening(key_of(name), at=NOW + 1))

    async with anyio.create_task_group() as group:
        for name in ("new-1", "old", "new-2"):
            group.start_soon(open_case, name)
    old = await there(store, "old")
    assert answers == {"old": CaseExists(old), **{name: CaseOpened(key_of(name)) for name in ("new-1", "new-2")}}
    assert old.opened_at == NOW
    for name in answers:
        assert [record.kind for record in await store.records(key_of(name))] == ["opened"]
    assert await verify(store) == []


@pytest.mark.promise("STORE-9")
async def test_a_value_that_the_server_does_not_take_is_refused_alone(store: PostgresStore) -> None:
    bad, good = await claimed(store, "bad"), await claimed(store, "good")
    answers: dict[str, object] = {}

    async def append(key: str, append: Append) -> None:
        try:
            answers[key] = await store.append(append)
        except StoreInvalid as error:
            answers[key] = type(error)

    async with anyio.create_task_group() as group:
        group.start_soon(append, "bad", Append(bad.key, 1, 1, (note(1),), result="a\0b"))
        group.start_soon(append, "good", Append(good.key, 1, 1, (note(1),)))
    assert answers == {"bad": StoreInvalid, "good": Appended()}


async def test_a_bug_on_the_short_way_leaves_nobody_of_its_batch_waiting(url: str, store: PostgresStore) -> None:
    class Bug:
        armed = False

        def point(self, name: str) -> None:
            if self.armed and name == POINT_COMMIT_BEFORE:
                self.armed = False
                raise RuntimeError("a bug")

    bug = Bug()
    broken = await open_store(url, World(faults=bug))
    row = await claimed(broken, "c")
    answers: dict[str, object] = {}

    async def append() -> None:
        with pytest.raises(RuntimeError, match="a bug"):
            await broken.append(Append(row.key, 1, 1, (note(1),)))

    async def deliver() -> None:
        answers["deliver"] = await broken.deliver(TENANT, "c", "m1", arrived())

    bug.armed = True
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(append)
            group.start_soon(deliver)
    assert answers == {"deliver": Unavailable("it was interrupted")}
    await broken.aclose()
    assert (await there(store, "c")).next_seq == 1


@pytest.mark.promise("STORE-6")
async def test_an_append_that_touches_another_case_reaches_it(store: PostgresStore) -> None:
    row, receiver = await claimed(store, "c"), await claimed(store, "receiver")
    item = InboxItem(receiver.key, "m1", "arrived", arrived())
    assert await store.append(Append(row.key, 1, 1, (note(1),), sends=(item,))) == Appended()
    assert [each.id for each in await store.inbox(receiver.key)] == ["m1"]
    async with statements(store) as sent:
        assert await store.append(Append(row.key, 1, 2, (note(2),))) == Appended()
        assert await store.append(Append(receiver.key, 1, 1, (note(1),), consumed=("m1",))) == Appended()
    assert sent == ["WITH"] * 2
    assert await store.inbox(receiver.key) == []


async def test_a_case_that_was_forgotten_is_locked_and_looked_at(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_quick, "KNOWN_MAX", 1)
    first, _ = await claimed(store, "first"), await claimed(store, "second")
    async with statements(store) as sent:
        assert await store.append(Append(first.key, 1, 1, (note(1),))) == Appended()
    assert sent == ["BEGIN", "SELECT", "WITH", "COMMIT"]
    async with statements(store) as sent:
        assert await store.append(Append(first.key, 1, 2, (note(2),))) == Appended()
    assert sent == ["WITH"]


@pytest.mark.promise("STORE-10")
async def test_a_case_claimed_again_goes_on_under_its_new_epoch(store: PostgresStore) -> None:
    row = await claimed(store, "c")
    again = await store.reclaim(NODE, row.key)
    assert again is not None
    assert await store.append(Append(row.key, 1, 1, (note(1),))) == Fenced(2)
    assert await store.append(Append(row.key, 2, 1, (note(1, 2),))) == Appended()
