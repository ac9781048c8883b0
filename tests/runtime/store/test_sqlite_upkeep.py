"""The write-ahead log is kept short whoever reads, and what is done about it hurts nobody who writes."""

import errno
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from store_support import NODE, NOW, claimed, key_of, note, opening

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import SystemClock, World
from casework.runtime.store import sqlite_reader, sqlite_upkeep
from casework.runtime.store.base import Append, Appended, CaseOpened, CaseRow
from casework.runtime.store.connections import MACHINE, Binding, truncate
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.sqlite_reader import SqliteReader
from casework.runtime.store.sqlite_version import can_damage
from casework.runtime.store.verify import verify

#: Bytes of the log in these tests, in place of 64 MB.
LOG_BYTES = 512 << 10


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/cases.db"


@asynccontextmanager
async def opened(path: str, **options: object) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(f"sqlite:///{path}", path, World(), **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_ROWS", 50)
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_BYTES", 64 << 10)
    monkeypatch.setattr(sqlite_upkeep, "LOG_BYTES_MAX", LOG_BYTES)
    monkeypatch.setattr(sqlite_upkeep, "AGAIN_SECONDS", 0.01)


async def write(store: SqliteStore, row: CaseRow, seqs: range) -> None:
    for seq in seqs:
        append = Append(row.key, row.epoch, seq, (note(seq, row.epoch, frame=bytes(2_000)),))
        assert await store.append(append) == Appended()


@contextmanager
def idle_reader(path: str) -> Iterator[sqlite3.Connection]:
    """Be another program that reads."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        yield connection


async def test_the_log_is_written_back_while_a_store_is_written(path: str) -> None:
    with anyio.fail_after(60):
        async with opened(path) as store:
            row = await claimed(store, "c")
            await write(store, row, range(1, 400))
            told = store.statistics()
            assert told.written_back > 10
            assert told.commits >= 400
            assert told.log_bytes > 0
            # It is cut off in an idle moment, which the answer to an append does not wait for.
            while store.statistics().log_bytes >= LOG_BYTES:
                await anyio.lowlevel.checkpoint()
            assert await verify(store) == []


async def test_a_disk_that_does_not_tell_the_size_of_the_log_keeps_nobody_waiting(path: str) -> None:
    def size(_: str) -> int:
        if failing:
            raise OSError(errno.EIO, "Input/output error")
        return 0

    failing = False
    with anyio.fail_after(10):
        async with opened(path, binding=Binding(size=size)) as store:
            failing = True
            assert await store.open_case(opening(key_of("a"))) == CaseOpened(key_of("a"))
            assert await store.open_case(opening(key_of("b"))) == CaseOpened(key_of("b"))


async def test_what_giving_back_free_pages_left_in_the_log_is_seen_without_another_commit(path: str) -> None:
    with anyio.fail_after(60):
        async with opened(path) as store:
            row = await claimed(store, "c")
            await write(store, row, range(1, 300))
            await store.shrink()
            while max(MACHINE.size(f"{path}-wal"), store.statistics().log_bytes) > LOG_BYTES:
                await anyio.lowlevel.checkpoint()
            assert await verify(store) == []


async def test_a_log_that_a_reader_kept_is_cut_off_once_it_ends_though_nothing_is_written(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_ROWS", 1_000)
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_BYTES", 1 << 20)
    with anyio.fail_after(20):
        async with opened(path) as store:
            row = await claimed(store, "c")
            with idle_reader(path) as reader:
                reader.execute("BEGIN")
                assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
                await write(store, row, range(1, 200))
                assert store.statistics().log_bytes > LOG_BYTES
                # Whoever reads sees its own moment all the time.
                assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
            while store.statistics().log_bytes:
                await anyio.lowlevel.checkpoint()
            assert store.statistics().cut_off == 1
            await write(store, row, range(200, 210))
            assert await verify(store) == []


async def test_a_reader_that_never_ends_costs_the_writer_little(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_ROWS", 1_000)
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_BYTES", 64 << 20)
    monkeypatch.setattr(sqlite_upkeep, "AGAIN_SECONDS", 60.0)
    tries: list[bool] = []

    def counted(connection: sqlite3.Connection) -> bool:
        tries.append(truncate(connection))
        return tries[-1]

    monkeypatch.setattr(sqlite_upkeep, "truncate", counted)
    with anyio.fail_after(20):
        async with opened(path) as store:
            row = await claimed(store, "c")
            with idle_reader(path) as reader:
                reader.execute("BEGIN")
                assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
                await write(store, row, range(1, 300))
                assert store.statistics().log_bytes > LOG_BYTES
                assert tries == [False]


async def test_a_log_far_too_long_is_cut_off_though_the_writer_is_never_idle(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = sqlite_upkeep.Upkeep.look
    monkeypatch.setattr(sqlite_upkeep.Upkeep, "look", lambda upkeep, **_: look(upkeep, idle=False))
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_ROWS", 1_000)
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_BYTES", 4 * LOG_BYTES)
    with anyio.fail_after(10):
        async with opened(path) as store:
            row = await claimed(store, "c")
            for seq in range(1, 300):
                await write(store, row, range(seq, seq + 1))
                assert store.statistics().log_bytes < 5 * LOG_BYTES
            assert store.statistics().cut_off > 0
            assert await verify(store) == []


class Leaping(SystemClock):
    """A clock that leaps by an hour whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 3_600
        return self.now


async def test_a_read_that_takes_too_long_is_ended_and_the_next_one_is_not(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        for number in range(30):
            await store.open_case(opening(key_of(f"{number:02}")))
        await store.renew(NODE, until=NOW + 1_000)
        monkeypatch.setattr(sqlite_reader, "READ_STEPS", 10)
        clock = Leaping()
        reader = await SqliteReader.open(store.url, path, replace(World(), clock=clock))
        with pytest.raises(StoreUnavailable, match="interrupted"):
            await reader.cases()
        monkeypatch.setattr(sqlite_reader, "READ_SECONDS_MAX", 1e9)
        assert len(await reader.cases()) == 30
        await reader.aclose()


VERSIONS = {
    (3, 6, 23): False,
    (3, 7, 0): True,
    (3, 40, 1): True,
    (3, 44, 5): True,
    (3, 44, 6): False,
    (3, 44, 7): False,
    (3, 45, 0): True,
    (3, 50, 6): True,
    (3, 50, 7): False,
    (3, 51, 0): True,
    (3, 51, 2): True,
    (3, 51, 3): False,
    (3, 52, 0): False,
    (4, 0, 0): False,
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_version_that_can_damage_a_log_is_told_once_at_opening(
    path: str, version: tuple[int, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path, binding=replace(Binding(), version=version)) as store:
        await store.open_case(opening(key_of("c")))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert can_damage(version) is VERSIONS[version]
    assert len(told) == VERSIONS[version]
    if told:
        assert ".".join(map(str, version)) in told[0]
        assert "3.51.3" in told[0]
        assert "Casework does both with one connection" in told[0]
