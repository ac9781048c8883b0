"""What a SQLite file may and may not be, and what its owner does when the disk fails."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from store_support import NODE, NOW, TENANT, arrived, claimed, evidence, key_of, note, opening, parked, take, there

from casework.runtime.errors import StoreInvalid, StoreNewer, StoreOwned, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import connections
from casework.runtime.store.base import Append, Appended, CaseOpened, Opening, Record, Store, Unavailable, Unknown
from casework.runtime.store.batch import BATCH_MAX
from casework.runtime.store.connections import MACHINE
from casework.runtime.store.migrations import SCHEMA_VERSION
from casework.runtime.store.schema import APPLICATION_ID
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.sqlite_writer import POINT_COMMIT_AFTER, POINT_COMMIT_BEFORE
from casework.runtime.store.urls import open_door, open_reader, open_store
from casework.runtime.store.verify import verify


class Disk:
    """A disk that fails at one named point."""

    def __init__(self) -> None:
        self.fails_at = ""
        self.code = sqlite3.SQLITE_IOERR

    def point(self, name: str) -> None:
        if name == self.fails_at:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self.code
            raise error


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def store(url: str, disk: Disk) -> AsyncIterator[Store]:
    store = await open_store(url, World(faults=disk))
    yield store
    await store.aclose()


def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.promise("STORE-12")
async def test_a_newer_file_is_refused_and_not_touched(tmp_path: Path, url: str) -> None:
    path = tmp_path / "cases.db"
    await (await open_store(url, World())).aclose()
    changed(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    for way in (open_store, open_reader):
        with pytest.raises(StoreNewer, match="version is 99"):
            await way(url, World())
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"date,amount\n", b"x" * 5_000, b"SQLite format 3\x00" + b"\x00" * 600])
async def test_a_file_that_is_no_store_is_refused_and_not_touched(tmp_path: Path, url: str, content: bytes) -> None:
    path = tmp_path / "cases.db"
    path.write_bytes(content)
    for way in (open_store, open_reader):
        with pytest.raises(StoreInvalid):
            await way(url, World())
    assert path.read_bytes() == content
    assert not (tmp_path / "cases.db.lock").exists()


async def test_a_database_of_another_program_is_refused_and_not_touched(tmp_path: Path, url: str) -> None:
    path = tmp_path / "cases.db"
    changed(path, "CREATE TABLE customer (name TEXT)")
    before = path.read_bytes()
    for way in (open_store, open_reader):
        with pytest.raises(StoreInvalid, match="another program"):
            await way(url, World())
    assert path.read_bytes() == before


async def test_a_store_says_in_its_header_whose_it_is(tmp_path: Path, url: str) -> None:
    await (await open_store(url, World())).aclose()
    with closing(sqlite3.connect(tmp_path / "cases.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_an_empty_file_becomes_a_store(tmp_path: Path, url: str) -> None:
    (tmp_path / "cases.db").touch()
    store = await open_store(url, World())
    assert isinstance(await store.open_case(opening(key_of("c"))), CaseOpened)
    await store.aclose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("cases.db", "write sqlite:///FILE"),
        ("postgres://x", "write sqlite:///FILE"),
        ("sqlite://cases.db", "write sqlite:///FILE"),
        ("sqlite:///", "names no file"),
        ("sqlite:////nowhere/at/all/cases.db", "the directory /nowhere/at/all does not exist"),
        ("sqlite:////", "is a directory"),
    ],
)
async def test_a_url_that_names_no_store_says_how_to_write_one(url: str, says: str) -> None:
    for way in (open_store, open_reader, open_door):
        with pytest.raises(StoreInvalid, match=says):
            await way(url, World())


async def test_a_store_in_memory_cannot_be_seen_by_others() -> None:
    assert (await open_store("memory:", World())).url == "memory:"
    for way in (open_reader, open_door):
        with pytest.raises(StoreInvalid, match="one process"):
            await way("memory:", World())


async def test_a_reader_of_a_missing_file_makes_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreInvalid, match="no such file"):
        await open_reader(url, World())
    assert os.listdir(tmp_path) == []


async def test_a_relative_url_is_below_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = await open_store("sqlite:///odd #?%41 name.db", World())
    await store.aclose()
    assert sorted(os.listdir(tmp_path)) == ["odd #?%41 name.db", "odd #?%41 name.db.generation"]


@pytest.mark.promise("STORE-13")
async def test_a_second_owner_in_the_same_process_is_refused(store: Store, url: str) -> None:
    with pytest.raises(StoreOwned, match="owns it"):
        await open_store(url, World())
    assert isinstance(await store.open_case(opening(key_of("c"))), CaseOpened)


async def test_a_closed_store_leaves_its_file_and_its_memory_and_refuses_calls(tmp_path: Path, store: Store) -> None:
    await claimed(store, "c")
    await store.aclose()
    await store.aclose()
    assert sorted(os.listdir(tmp_path)) == ["cases.db", "cases.db.generation"]
    assert isinstance(await store.append(Append(key_of("c"), 1, 1, (note(1),))), Unavailable)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.cases()


async def test_closing_finishes_what_is_queued(store: Store, url: str) -> None:
    await claimed(store, "c")
    results: list[object] = []

    async def append() -> None:
        results.append(await store.append(Append(key_of("c"), 1, 1, (note(1),))))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(append)
            await anyio.wait_all_tasks_blocked()
            await store.aclose()
    assert results == [Appended()]


async def test_a_cancelled_close_closes_all_the_same(store: Store, url: str) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.aclose()
    again = await open_store(url, World())
    await again.aclose()


async def test_a_cancelled_opening_holds_nothing(url: str) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await open_store(url, World())
    assert scope.cancelled_caught
    await (await open_store(url, World())).aclose()


@pytest.mark.promise("STORE-13")
async def test_whoever_takes_ownership_may_claim_what_nodes_before_it_held(store: Store, url: str) -> None:
    await claimed(store, "c")
    await store.aclose()
    again = await open_store(url, World())
    [row] = await take(again, "node-2", limit=1, now=NOW)
    assert row.epoch == 2
    await again.aclose()


@pytest.mark.promise("STORE-13")
async def test_a_reader_sees_what_is_durable_while_the_owner_writes(store: Store, url: str) -> None:
    await parked(store, "c", evidence("receipt"))
    reader = await open_reader(url, World())
    assert await reader.case(key_of("c")) == await there(store, "c")
    await store.deliver(TENANT, "receipt", "m1", arrived())
    await take(store, NODE, limit=1, now=NOW)
    await store.append(Append(key_of("c"), 2, 2, (note(2, 2),)))
    assert [record.seq for record in await reader.records(key_of("c"))] == [0, 1, 2]
    assert list(await reader.cases()) == list(await store.cases())
    assert await verify(reader) == []
    await reader.aclose()
    await reader.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await reader.cases()


async def test_verifying_while_the_owner_appends_finds_nothing(store: Store, url: str) -> None:
    row = await claimed(store, "c")
    reader = await open_reader(url, World())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def append() -> None:
                for seq in range(1, 200):
                    assert await store.append(Append(row.key, 1, seq, (note(seq),))) == Appended()
                group.cancel_scope.cancel()

            group.start_soon(append)
            while True:
                assert await verify(reader) == []
    await reader.aclose()


@pytest.mark.promise("STORE-16")
async def test_a_full_disk_refuses_and_takes_work_again_once_there_is_room(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    row = await claimed(store, "c")
    limit = await store._writer.read(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone()[0])
    big = Append(row.key, 1, 1, (note(1, frame=bytes(1 << 20)),))
    with anyio.fail_after(5):
        full = await store.append(big)
        assert isinstance(full, Unavailable)
        assert "full" in full.why
        assert (await there(store, "c")).next_seq == 1
        await store._writer.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {limit + 4096}"))
        assert await store.append(big) == Appended()
        assert await verify(store) == []


@pytest.mark.promise("STORE-16")
@pytest.mark.parametrize(("point", "durable"), [(POINT_COMMIT_BEFORE, False), (POINT_COMMIT_AFTER, True)])
async def test_a_commit_in_doubt_is_unknown_and_the_file_is_not_written_any_more(
    store: Store, url: str, disk: Disk, point: str, durable: bool
) -> None:
    row = await claimed(store, "c")
    disk.fails_at = point
    assert isinstance(await store.append(Append(row.key, 1, 1, (note(1),))), Unknown)
    disk.fails_at = ""
    assert isinstance(await store.append(Append(row.key, 1, 1, (note(1),))), Unavailable)
    with pytest.raises(StoreUnavailable, match="start again"):
        await take(store, NODE, limit=1, now=NOW)
    with pytest.raises(StoreUnavailable, match="start again"):
        await store.cases()
    await store.aclose()
    again = await open_store(url, World())
    assert (await there(again, "c")).next_seq == (2 if durable else 1)
    assert await verify(again) == []
    await again.aclose()


async def test_a_lock_not_given_at_commit_is_unavailable_and_work_goes_on(store: Store, disk: Disk) -> None:
    row = await claimed(store, "c")
    disk.fails_at, disk.code = POINT_COMMIT_BEFORE, sqlite3.SQLITE_BUSY
    assert isinstance(await store.append(Append(row.key, 1, 1, (note(1),))), Unavailable)
    disk.fails_at = ""
    assert await store.append(Append(row.key, 1, 1, (note(1),))) == Appended()


async def test_more_calls_than_fit_into_one_transaction_are_all_answered(store: Store) -> None:
    results: list[object] = []

    async def open_one(number: int) -> None:
        results.append(await store.open_case(opening(key_of(f"{number:04}"))))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(2 * BATCH_MAX + 7):
                group.start_soon(open_one, number)
    assert len(results) == 2 * BATCH_MAX + 7 == len(await store.cases())
    assert all(isinstance(result, CaseOpened) for result in results)


@pytest.mark.promise("STORE-9")
async def test_a_call_that_cannot_be_stored_fails_alone(store: Store) -> None:
    row = await claimed(store, "c")
    odd = Opening(key_of("odd"), Record(0, 0, "opened", "", NOW, b"", b""), "f\udc80", "1", "h", "crew")
    results: list[object] = []

    async def append() -> None:
        results.append(await store.append(Append(row.key, 1, 1, (note(1),))))

    async def odd_one() -> None:
        with pytest.raises(UnicodeEncodeError):
            await store.open_case(odd)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(append)
            group.start_soon(odd_one)
    assert results == [Appended()]
    assert [row.key.case_id for row in await store.cases()] == ["c"]


async def test_a_store_on_a_file_system_that_is_read_only_is_read_without_a_file_beside_it(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(url, World())
    await store.open_case(opening(key_of("a")))
    await store.aclose()
    before = os.listdir(tmp_path)

    def connect(uri: str) -> sqlite3.Connection:
        assert uri.endswith("?mode=ro&immutable=1")
        return MACHINE.connect(uri)

    monkeypatch.setattr(connections, "MACHINE", replace(MACHINE, connect=connect, sealed=lambda _path: True))
    reader = await open_reader(url, World())
    assert [row.key for row in await reader.cases()] == [key_of("a")]
    assert os.listdir(tmp_path) == before
    await reader.aclose()


async def test_a_store_that_was_not_closed_well_says_what_to_do_where_it_can_only_be_read(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_store(url, World())).aclose()
    (tmp_path / "cases.db-wal").write_bytes(b"left over")

    def connect(uri: str) -> sqlite3.Connection:
        assert uri.endswith("?mode=ro")
        return MACHINE.connect(uri)

    def cannot(_connection: sqlite3.Connection, _url: str) -> int:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(connections, "MACHINE", replace(MACHINE, connect=connect, sealed=lambda _path: True))
    monkeypatch.setattr(connections, "version_of", cannot)
    with pytest.raises(StoreUnavailable, match="copy it and its `-wal` to where one can write"):
        await open_reader(url, World())
