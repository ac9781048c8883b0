"""A PostgreSQL store that is older than somebody remembers: a dump, a copy of the data, a replica that lagged."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from postgres_server import PASSWORD, PATIENCE_SECONDS, PostgresServer, postgres_server
from store_support import NODE, NOW, claimed, key_of, note, opening, there

from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.seams import MICROS, World
from casework.runtime.store import postgres_generation
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseOpened,
    CaseRow,
    CaseStatus,
    Fenced,
    Store,
    WaitKind,
)
from casework.runtime.store.claims import Claims
from casework.runtime.store.generation import HALTED, OLDER, accept
from casework.runtime.store.postgres import PostgresStore
from casework.runtime.store.postgres_generation import Seen, objection
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify
from tests.support.flow_scene import Ask, crew, runtime
from tests.support.small_staff import SmallStaff, SmallTool

pytestmark = pytest.mark.promise("STORE-19")

NUMBERS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server of our own, whose data may be put back; where there is none, `postgres` has skipped."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def schema() -> str:
    return f"generation_{next(NUMBERS)}"


@pytest.fixture
def url(server: PostgresServer, schema: str, tmp_path: Path) -> str:
    """A store whose memory is kept in a folder."""
    return f"{server.url(schema)}&memory={tmp_path}"


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return tmp_path / "dump"


def client(server: PostgresServer, program: str, *arguments: object) -> None:
    """Run one of the server's own programs against it."""
    environment = os.environ | {"PGPASSWORD": PASSWORD, "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    command = [str(server._bin / program), "-U", "casework", "-d", "postgres", *map(str, arguments)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PATIENCE_SECONDS)


def save(server: PostgresServer, schema: str, dump: Path) -> None:
    client(server, "pg_dump", "-Fc", "-n", schema, "-f", dump)


def restore(server: PostgresServer, dump: Path) -> None:
    """Put a dump back in place of what is there, under whoever is connected."""
    client(server, "pg_restore", "--clean", "--if-exists", "--single-transaction", dump)


def copied(server: PostgresServer, copy: Path) -> None:
    """Copy the server's data, as a replica that lags from now on."""
    server.stop()
    shutil.copytree(server._data, copy)
    server.start()


def failed_over(server: PostgresServer, copy: Path) -> None:
    """Have the copy in the server's place."""
    server.stop()
    shutil.rmtree(server._data)
    shutil.copytree(copy, server._data)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "--reference", str(server._folder), str(server._data)], check=True)
    server.start()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url, World())
    try:
        yield store
    finally:
        await store.aclose()


async def halted(store: Store) -> str:
    return await store.setting(HALTED) or ""


async def grow(store: Store, row: CaseRow, seq: int) -> object:
    return await store.append(Append(row.key, row.epoch, seq, (note(seq, row.epoch),)))


async def row_of(store: Store, case_id: str) -> CaseRow:
    row = await store.case(CaseKey("default", case_id))
    assert row is not None
    return row


async def until(answered: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Ask again until the store is there again."""
    with anyio.fail_after(30):
        while await answered() != wanted:
            await anyio.lowlevel.checkpoint()


async def renew(store: Store, node: str = NODE) -> None:
    await store.renew(node, until=World().clock.wall_micros() + 60 * MICROS)


async def pays(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    await case.call("pay", {"n": inputs.n}, returns=int)
    return inputs.n


async def _pay(arguments: object) -> object:
    return 1


def payers() -> SmallStaff:
    return crew(pays, tools={"pay": SmallTool(_pay, RiskTier.IRREVERSIBLE)})


async def test_a_restored_dump_has_no_effect_until_a_person_accepts_it(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    staff = payers()
    with anyio.fail_after(30):
        async with runtime(staff, url) as machine:
            await machine.open("pays", "c1", Ask(7))
            await machine.wait("c1")
        await anyio.to_thread.run_sync(save, server, schema, dump)
        async with runtime(staff, url) as machine:
            await machine.deliver("c1", key="go", by="test")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
        assert len(staff.performed) == 1

        await anyio.to_thread.run_sync(restore, server, dump)
        async with runtime(staff, url) as machine:
            await machine.deliver("c1", key="go", by="test")
            row = await machine.wait("c1")
            assert (row.status, row.waits[0].kind) == (CaseStatus.PARKED, WaitKind.OPERATOR)
            assert row.waits[0].reason.startswith(f"{OLDER}: leases on it were renewed ")
            assert "casework store accept" in row.waits[0].reason
            assert PASSWORD not in row.waits[0].reason
        assert len(staff.performed) == 1

        async with opened(url) as store:
            keys = await accept(store, by="ann", now=NOW, generation="g2")
            assert [key.case_id for key in keys or ()] == ["c1"]
        async with runtime(staff, url) as machine:
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert await verify(machine.store) == []
    assert len({key for _, _, key in staff.performed}) == 1


async def test_a_dump_restored_under_a_process_that_works_takes_its_cases_away_with_its_next_renewal(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    async with opened(url) as store, opened(server.url(schema)) as other:
        row = await claimed(store, "c")
        await renew(store)
        await renew(other, "idle")
        await anyio.to_thread.run_sync(save, server, schema, dump)
        # The idle one has done nothing since but renew.
        for seq in range(1, 4):
            assert await grow(store, row, seq) == Appended()
        await renew(other, "idle")
        await anyio.to_thread.run_sync(restore, server, dump)
        await renew(other, "idle")
        assert OLDER in await halted(other)
        assert await grow(store, row, 4) == Fenced(2)
        assert (await there(store, "c")).node == ""


async def test_a_node_that_lives_on_parks_its_cases_and_goes_on_with_them_once_a_person_accepts(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    staff = payers()
    with anyio.fail_after(30):
        async with runtime(staff, url) as machine, opened(server.url(schema)) as operators:
            await machine.open("pays", "c1", Ask(7))
            await machine.wait("c1")
            await anyio.to_thread.run_sync(save, server, schema, dump)
            await machine.deliver("c1", key="go", by="test")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            await anyio.to_thread.run_sync(restore, server, dump)
            await machine.store.renew("another", until=0)
            await machine.deliver("c1", key="go", by="test")
            assert (await machine.wait("c1")).waits[0].reason.startswith(OLDER)
            assert len(staff.performed) == 1
            # A case that was just about to be parked is told by whoever accepts once more.
            while (await row_of(operators, "c1")).status is not CaseStatus.CLOSED:
                await accept(operators, by="ann", now=NOW, generation="g2")
            assert await verify(machine.store) == []
    assert len({key for _, _, key in staff.performed}) == 1


async def test_a_store_whose_closing_is_cancelled_has_closed_its_connections(url: str) -> None:
    async with opened(url) as store:
        assert isinstance(store, PostgresStore)
        await renew(store)
        link = store._writer._link
        assert link is not None
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.aclose()
        assert link.is_closed()


async def test_a_claim_of_an_older_store_gives_nothing_though_nobody_has_halted_it_yet(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    async with opened(url) as store:
        await store.open_case(opening(key_of("c")))
        await anyio.to_thread.run_sync(save, server, schema, dump)
        await renew(store)
        await anyio.to_thread.run_sync(restore, server, dump)
        assert await store.claim(NODE, limit=1, now=World().clock.wall_micros()) == Claims()
        await renew(store)
        given = await store.claim(NODE, limit=1, now=World().clock.wall_micros())
        assert OLDER in (given.halted or "")
        assert [claimed.row.key for claimed in given.cases] == [key_of("c")]


async def test_a_case_that_stands_otherwise_than_it_was_written_has_the_store_looked_at(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    async with opened(url) as store:
        row = await claimed(store, "c")
        await renew(store)
        assert await grow(store, row, 1) == Appended()
        await anyio.to_thread.run_sync(save, server, schema, dump)
        assert await grow(store, row, 2) == Appended()
        await anyio.to_thread.run_sync(restore, server, dump)
        # No renewal was lost, but a record was.
        assert await grow(store, row, 3) == Fenced(2)
        assert "record 2 of case c is not the one that was written" in await halted(store)


async def test_a_failover_to_data_that_lagged_is_noticed_before_anything_is_written(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    async with opened(url) as store:
        row = await claimed(store, "c")
        await renew(store)
        assert await grow(store, row, 1) == Appended()
        await anyio.to_thread.run_sync(copied, server, tmp_path / "replica")
        await until(lambda: grow(store, row, 2), Appended())
        await anyio.to_thread.run_sync(failed_over, server, tmp_path / "replica")
        await until(lambda: store.open_case(opening(key_of("new"))), CaseOpened(key_of("new")))
        assert "record 2 of case c is not the one that was written" in await halted(store)
        assert await grow(store, row, 3) == Fenced(2)


async def test_a_server_that_was_started_again_with_all_that_was_written_goes_on(
    server: PostgresServer, url: str
) -> None:
    async with opened(url) as store:
        row = await claimed(store, "c")
        await renew(store)
        assert await grow(store, row, 1) == Appended()
        await anyio.to_thread.run_sync(server.stop)
        await anyio.to_thread.run_sync(server.start)
        await until(lambda: grow(store, row, 2), Appended())
        await renew(store)
        assert await halted(store) == ""


async def test_what_one_process_accepts_is_accepted_for_all(
    server: PostgresServer, url: str, schema: str, dump: Path
) -> None:
    async with opened(url) as store, opened(server.url(schema)) as other:
        row = await claimed(store, "c")
        await renew(store)
        await anyio.to_thread.run_sync(save, server, schema, dump)
        assert await grow(store, row, 1) == Appended()
        await renew(other, "idle")
        await anyio.to_thread.run_sync(restore, server, dump)
        await renew(store)
        assert await halted(store)
        assert await accept(other, by="ann", now=NOW, generation="g2") == []
        for each, node in ((store, NODE), (other, "idle")):
            await renew(each, node)
            assert await halted(each) == ""
    # What is remembered of the history that was ended does not halt the one that a person chose.
    async with opened(url) as store:
        assert await halted(store) == ""


async def test_without_a_folder_a_process_that_starts_remembers_nothing(
    server: PostgresServer, schema: str, dump: Path
) -> None:
    async with opened(server.url(schema)) as store:
        await claimed(store, "before")
    await anyio.to_thread.run_sync(save, server, schema, dump)
    async with opened(server.url(schema)) as store:
        await claimed(store, "lost")
    await anyio.to_thread.run_sync(restore, server, dump)
    async with opened(server.url(schema)) as store:
        await renew(store)
        assert await halted(store) == ""


async def test_a_schema_made_anew_where_one_is_remembered_is_halted(
    server: PostgresServer, url: str, schema: str
) -> None:
    async with opened(url) as store:
        await claimed(store, "c")
    server.psql(f"DROP SCHEMA {schema} CASCADE")
    async with opened(url) as store:
        assert "made anew" in await halted(store)


@pytest.mark.parametrize("content", [b"", b"{", b'{"generation": 1}'])
async def test_a_memory_that_cannot_be_read_halts_the_store(
    url: str, schema: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / f"{schema}.generation").write_bytes(content)
    async with opened(url) as store:
        assert "cannot be read" in await halted(store)


async def test_a_memory_that_cannot_be_written_costs_nothing_but_itself(
    url: str, schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{schema}.generation.{os.getpid()}.new").mkdir()
    async with opened(url) as store:
        await claimed(store, "c")
        assert await halted(store) == ""
    assert "may not be noticed" in caplog.text
    assert not (tmp_path / f"{schema}.generation").exists()


async def test_what_a_process_saw_is_written_down_while_it_works(
    url: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_generation, "SAVE_SECONDS", 0.0)
    memory = tmp_path / f"{schema}.generation"
    async with opened(url) as store:
        before = memory.read_bytes()
        await renew(store)
        assert memory.read_bytes() != before


A = Seen("g1", 5, "t", "c", 3, "aa")


@pytest.mark.parametrize(
    ("found", "past", "says"),
    [
        (A, "", ""),
        (Seen("g1", 9, "t", "c", 3, "aa"), "", ""),
        (Seen("g1", 4, "t", "c", 3, "aa"), "", "renewed 4 times, and had been 5 times"),
        (Seen("g1", 9, "t", "c", 3, ""), "", "record 3 of case c"),
        (Seen("g1", 9, "t", "c", 3, "bb"), "", "record 3 of case c"),
        (Seen("g2", 9, "t", "c", 3, "aa"), "", "another one"),
        (Seen("g2", 1), "g0 g1", ""),
    ],
)
def test_what_was_seen_must_be_a_part_of_what_is_found(found: Seen, past: str, says: str) -> None:
    said = objection(A, found, past)
    assert says in said
    assert bool(said) == bool(says)
