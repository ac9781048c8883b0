"""The store's own statements on a disk that loses power: nothing acknowledged is lost, nothing is damaged."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import apsw
import pytest
from store_support import NODE, NOW, key_of, note, opening, take

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import sqlite_upkeep
from casework.runtime.store.base import Append, Appended, CaseOpened, CaseRow, Store, Unavailable, Unknown
from casework.runtime.store.conformance import OpenStore, StoreConformance
from casework.runtime.store.generation import HALTED
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.verify import verify
from tests.support.power_loss import Disk

#: Power losses in one run of the suite; the full size is CASEWORK_POWER_LOSSES=1000.
LOSSES = int(os.environ.get("CASEWORK_POWER_LOSSES", "200"))
IN_A_ROW = 10
CASES = 8
#: Appends to each case while a disk fails.
ROUNDS = 3
#: Calls of the disk within which the power fails: from the making of the file to some ten commits.
CALLS = 1_500


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.close()


@asynccontextmanager
async def opened(disk: Disk, folder: Path) -> AsyncIterator[SqliteStore]:
    path = f"{folder}/cases.db"
    store = await SqliteStore.open(f"sqlite:///{path}", path, World(), binding=disk.binding)
    try:
        yield store
    finally:
        await store.aclose()


class TestStoreOnADiskThatLosesPower(StoreConformance):
    """Whatever the suite wrote is there after a loss whenever the store was closed."""

    @pytest.fixture
    def several_processes(self) -> bool:
        return False

    @pytest.fixture
    def open_store(self, tmp_path: Path, disk: Disk) -> OpenStore:
        @asynccontextmanager
        async def reopened() -> AsyncIterator[Store]:
            disk.lose_power()
            async with opened(disk, tmp_path) as store:
                yield store

        return reopened


class Ledger:
    """What a store has acknowledged: how many records each case has at least."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.appends = 0
        self.refused: list[Unavailable | Unknown] = []

    async def work(self, store: Store, rounds: int) -> None:
        """Open cases, claim them and append to all of them at once, until the store fails."""
        try:
            for number in range(CASES):
                result = await store.open_case(opening(key_of(str(number))))
                if isinstance(result, CaseOpened):
                    self.acknowledged[str(number)] = 1
            await store.renew(NODE, until=NOW + 1_000)
            rows = await take(store, NODE, limit=CASES, now=NOW)
        except StoreUnavailable:
            return
        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(self._grow, store, row, rounds)

    async def _grow(self, store: Store, row: CaseRow, rounds: int) -> None:
        for seq in range(row.next_seq, row.next_seq + rounds):
            append = Append(row.key, row.epoch, seq, (note(seq, row.epoch, frame=bytes(300)),))
            result = await store.append(append)
            if isinstance(result, Unavailable):
                # What did not happen may be tried again.
                result = await store.append(append)
            if result != Appended():
                assert isinstance(result, Unavailable | Unknown)
                self.refused.append(result)
                return
            self.acknowledged[row.key.case_id] = seq + 1
            self.appends += 1

    async def lost(self, store: Store) -> int:
        """Count acknowledged records that are not there; what is there must be whole."""
        assert await verify(store) == []
        there = {row.key.case_id: row.next_seq for row in await store.cases()}
        return sum(max(0, length - there.get(name, 0)) for name, length in self.acknowledged.items())


async def survive(disk: Disk, folder: Path) -> tuple[int, int, bool]:
    """Write until the power fails at a random call.

    Gives how many appends were acknowledged, how many acknowledged records are lost, and whether the store noticed
    that it is older than it was.
    """
    ledger = Ledger()
    disk.loses_at = disk.calls + disk.chance.randint(1, CALLS)
    try:
        async with opened(disk, folder) as store:
            await ledger.work(store, 100)
    except StoreUnavailable:
        assert disk.dark
    disk.lose_power()
    async with opened(disk, folder) as store:
        return ledger.appends, await ledger.lost(store), bool(await store.setting(HALTED))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the log written back and cut off all the time, for that is when a loss can hurt."""
    monkeypatch.setattr(sqlite_upkeep, "WRITE_BACK_ROWS", 30)
    monkeypatch.setattr(sqlite_upkeep, "LOG_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(sqlite_upkeep, "AGAIN_SECONDS", 0.01)
    # The memory beside the file is on the machine's own disk, whose syncs are slow and not what is tested.
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.promise("STORE-11")
@pytest.mark.usefixtures("eager")
async def test_no_power_loss_loses_what_was_acknowledged_or_damages_a_log(tmp_path: Path) -> None:
    appends = 0
    for seed in range(LOSSES // IN_A_ROW):
        # What survives one loss must survive the next as well.
        disk = Disk(seed)
        (tmp_path / str(seed)).mkdir()
        for _ in range(IN_A_ROW):
            acknowledged, lost, older = await survive(disk, tmp_path / str(seed))
            assert (lost, older) == (0, False), f"seed {seed}"
            appends += acknowledged
        disk.close()
    assert appends > LOSSES * 10


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("eager")
async def test_the_simulation_finds_what_is_lost_where_commits_are_not_synced(tmp_path: Path) -> None:
    lost = 0
    for seed in range(20):
        disk = Disk(seed, synchronous="NORMAL")
        (tmp_path / str(seed)).mkdir()
        lost += (await survive(disk, tmp_path / str(seed)))[1]
        disk.close()
    assert lost > 0


FAULTS = {
    "full": {"write": apsw.SQLITE_FULL, "truncate": apsw.SQLITE_FULL, "open": apsw.SQLITE_CANTOPEN},
    "sync": {"sync": apsw.SQLITE_IOERR_FSYNC},
    "sync, and a kill": {"sync": apsw.SQLITE_IOERR_FSYNC},
    "write": {
        "write": apsw.SQLITE_IOERR_WRITE,
        "truncate": apsw.SQLITE_IOERR_TRUNCATE,
        "delete": apsw.SQLITE_IOERR_DELETE,
    },
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.promise("STORE-16")
@pytest.mark.usefixtures("eager")
async def test_whichever_call_of_the_disk_fails_nothing_acknowledged_is_lost(tmp_path: Path, fault: str) -> None:
    failed: list[str] = []
    for number in range(1, await fallible_calls(tmp_path, FAULTS[fault]) + 1):
        disk = Disk(number)
        disk.fails_at, disk.fails_with, disk.killed = number, FAULTS[fault], "kill" in fault
        folder = tmp_path / str(number)
        folder.mkdir()
        await endure(disk, folder, full=fault == "full")
        if disk.failed:
            failed.append(disk.failed)
        disk.close()
    assert {"sync of cases.db-wal", "sync of cases.db"} <= set(failed) or "sync" not in fault
    assert {"write of cases.db-wal", "write of cases.db"} <= set(failed) or "sync" in fault


async def fallible_calls(folder: Path, kinds: dict[str, int]) -> int:
    """Count the calls of these kinds in a run in which none fails."""
    disk = Disk()
    disk.fails_with = kinds
    async with opened(disk, folder) as store:
        await Ledger().work(store, ROUNDS)
    disk.close()
    return disk.fallible


async def endure(disk: Disk, folder: Path, *, full: bool) -> None:
    """Write while one call fails; go on from what is there; then lose power."""
    ledger = Ledger()
    with suppress(StoreUnavailable):
        async with opened(disk, folder) as store:
            await ledger.work(store, ROUNDS)
            if disk.failed and full:
                assert not ledger.refused
            elif disk.failed:
                await check_it_is_closed(store)
    disk.fails_at, disk.dark, refused = 0, False, list(ledger.refused)
    async with opened(disk, folder) as store:
        assert await ledger.lost(store) == 0
        await ledger.work(store, 1)
        assert ledger.refused == refused
        assert not await store.setting(HALTED)
        # The power fails before the log is written back.
        disk.dark = True
    disk.lose_power()
    async with opened(disk, folder) as store:
        assert await ledger.lost(store) == 0


async def check_it_is_closed(store: Store) -> None:
    """Whatever the disk failed at, nobody trusts it any more before it was opened anew."""
    assert isinstance(await store.open_case(opening(key_of("late"))), Unavailable)
    with pytest.raises(StoreUnavailable, match="start again"):
        await store.cases()
