"""What a PostgreSQL store does when its server or a connection goes away."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import anyio
import anyio.to_thread
import asyncpg
import pytest
from postgres_server import PostgresServer
from store_support import NODE, NOW, TENANT, arrived, claimed, evidence, key_of, note, opening, parked, take, there

from casework.runtime.errors import StoreInvalid
from casework.runtime.seams import World
from casework.runtime.store.base import Append, Appended, CaseRow, Delivered, Fenced, Store, Unavailable, Unknown
from casework.runtime.store.chain import broken_at
from casework.runtime.store.postgres_writer import POINT_COMMIT_AFTER, POINT_COMMIT_BEFORE
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify

NUMBERS = count()


class Cable:
    """A connection that breaks at one named point."""

    def __init__(self) -> None:
        self.breaks_at = ""

    def point(self, name: str) -> None:
        if name == self.breaks_at:
            raise ConnectionResetError("the cable was pulled")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def schema() -> str:
    return f"server_{next(NUMBERS)}"


@pytest.fixture
def cable() -> Cable:
    return Cable()


@pytest.fixture
async def store(postgres: PostgresServer, schema: str, cable: Cable) -> AsyncIterator[Store]:
    store = await open_store(postgres.url(schema), World(faults=cable))
    yield store
    await store.aclose()


async def until(answered: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Ask again until the store is there again."""
    with anyio.fail_after(10):
        while await answered() != wanted:
            await anyio.lowlevel.checkpoint()


async def grow(store: Store, row: CaseRow, ends: dict[str, tuple[int, object]], enough: anyio.Event) -> None:
    """Append to a case until something goes wrong; keep how many were answered, and what the last one was."""
    for seq in range(1, 10_000):
        if seq > 4:
            enough.set()
        answer = await store.append(Append(row.key, row.epoch, seq, (note(seq, row.epoch),)))
        if answer != Appended():
            ends[row.key.case_id] = (seq, answer)
            return


@pytest.mark.promise("STORE-11")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT], ids=["killed", "immediate", "fast"])
async def test_a_server_that_ends_amid_two_hundred_appends_loses_nothing_that_was_answered(
    store: Store, postgres: PostgresServer, how: signal.Signals
) -> None:
    await store.renew(NODE, until=NOW + 1_000)
    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(store.open_case, opening(key_of(f"{number:03}")))
    rows = await take(store, NODE, limit=200, now=NOW)
    ends: dict[str, tuple[int, object]] = {}
    enough = anyio.Event()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(grow, store, row, ends, enough)
            await enough.wait()
            await anyio.to_thread.run_sync(postgres.stop, how)
        await anyio.to_thread.run_sync(postgres.start)
    assert len(ends) == len(rows) == 200
    await until(lambda: store.append(Append(rows[0].key, 99, 1, (note(1, 99),))), Fenced(1))
    for name, (seq, answer) in ends.items():
        durable = (await there(store, name)).next_seq
        assert durable in ({seq, seq + 1} if isinstance(answer, Unknown) else {seq}), (name, answer)
    assert await verify(store) == []


@pytest.mark.promise("STORE-16")
@pytest.mark.parametrize(("point", "length"), [(POINT_COMMIT_BEFORE, 1), (POINT_COMMIT_AFTER, 2)])
async def test_a_connection_that_breaks_about_the_commit_leaves_it_unknown(
    store: Store, cable: Cable, point: str, length: int
) -> None:
    row = await claimed(store, "c")
    cable.breaks_at = point
    answer = await store.append(Append(row.key, 1, 1, (note(1),)))
    cable.breaks_at = ""
    assert answer == Unknown("the connection was lost (the cable was pulled)")
    after = await there(store, "c")
    assert after.next_seq == length
    assert broken_at(after, await store.records(row.key)) is None
    again = await store.reclaim(NODE, row.key)
    assert again is not None
    assert await store.append(Append(row.key, again.row.epoch, length, (note(length, again.row.epoch),))) == Appended()


@pytest.mark.promise("STORE-16")
async def test_a_connection_that_breaks_before_the_commit_did_nothing(
    store: Store, postgres: PostgresServer, schema: str
) -> None:
    row = await claimed(store, "c")
    answers: list[object] = []

    async def append() -> None:
        answers.append(await store.append(Append(row.key, 1, 1, (note(1),))))

    blocker = await asyncpg.connect(postgres.url())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, blocker.transaction():
            await blocker.execute(f'LOCK TABLE {schema}."case"')
            group.start_soon(append)
            ended = 0
            while not ended:
                ended = await blocker.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                )
    await blocker.close()
    assert len(answers) == 1
    assert isinstance(answers[0], Unavailable)
    assert (await there(store, "c")).next_seq == 1
    await until(lambda: store.append(Append(row.key, 1, 1, (note(1),))), Appended())


async def test_a_store_whose_connections_were_all_ended_goes_on(store: Store, postgres: PostgresServer) -> None:
    await parked(store, "c", evidence("receipt"))
    await store.cases()
    postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'casework'")
    assert [row.key for row in await store.cases()] == [key_of("c")]
    await until(lambda: store.deliver(TENANT, "receipt", "m1", arrived()), Delivered((key_of("c"),)))


async def test_while_the_server_is_away_calls_are_refused_and_afterwards_taken(
    store: Store, postgres: PostgresServer
) -> None:
    row = await claimed(store, "c")
    await anyio.to_thread.run_sync(postgres.stop)
    append = Append(row.key, 1, 1, (note(1),))
    try:
        for _ in range(3):
            assert isinstance(await store.append(append), Unavailable)
    finally:
        await anyio.to_thread.run_sync(postgres.start)
    await until(lambda: store.append(append), Appended())
    assert len(await store.records(row.key)) == 2


@pytest.mark.promise("STORE-9")
async def test_what_the_server_cannot_keep_is_refused_alone(store: Store) -> None:
    rows = [await claimed(store, "a"), await claimed(store, "b")]
    answers: dict[str, object] = {}

    async def append(row: CaseRow, result: str) -> None:
        try:
            answers[row.key.case_id] = await store.append(Append(row.key, 1, 1, (note(1),), result=result))
        except StoreInvalid as error:
            answers[row.key.case_id] = str(error)

    async with anyio.create_task_group() as group:
        group.start_soon(append, rows[0], "no\0text")
        group.start_soon(append, rows[1], "a text")
    assert answers["b"] == Appended()
    assert "does not take this" in str(answers["a"])
    assert (await there(store, "a")).next_seq == 1


async def test_a_caller_that_is_cancelled_keeps_nobody_from_the_commit(store: Store) -> None:
    rows = [await claimed(store, f"{number}") for number in range(6)]
    answers: list[object] = []

    async def append(row: CaseRow) -> None:
        answers.append(await store.append(Append(row.key, 1, 1, (note(1),))))

    for cancelled in range(3):
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as doomed:
                    doomed.start_soon(append, rows[cancelled])
                    await anyio.lowlevel.checkpoint()
                    group.start_soon(append, rows[3 + cancelled])
                    await anyio.lowlevel.checkpoint()
                    scope.cancel()
    assert answers.count(Appended()) >= 3
    for number in range(3, 6):
        assert (await there(store, f"{number}")).next_seq == 2
    assert await verify(store) == []


async def test_a_leader_whose_task_is_ended_by_the_loop_itself_leaves_the_lead_to_the_next(store: Store) -> None:
    rows = [await claimed(store, f"{number}") for number in range(6)]
    appends = [asyncio.ensure_future(store.append(Append(row.key, 1, 1, (note(1),)))) for row in rows]
    for place, append in enumerate(appends[:5]):
        await anyio.lowlevel.checkpoint()
        append.cancel(f"ended at {place}")
    with anyio.fail_after(5):
        ends = await asyncio.gather(*appends, return_exceptions=True)
        # What was in a batch that was torn down is not known; whoever comes next is served.
        await until(lambda: store.reclaim("nobody", rows[5].key), None)
    assert len(ends) == 6
    assert await verify(store) == []


async def test_a_closed_store_finishes_what_is_under_way_and_refuses_the_rest(store: Store) -> None:
    row = await claimed(store, "c")
    answers: list[object] = []

    async def append(seq: int) -> None:
        answers.append(await store.append(Append(row.key, 1, seq, (note(seq),))))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(append, 1)
            await anyio.lowlevel.checkpoint()
            await store.aclose()
    assert answers == [Appended()]
    assert isinstance(await store.append(Append(row.key, 1, 2, (note(2),))), Unavailable)
