"""A delivery that takes its case, on a disk that fails: what was answered is there, and nothing without its cause."""

import os
from pathlib import Path

import anyio
import anyio.lowlevel
import apsw
import pytest
from store_support import NODE, NOW, TENANT, arrived, evidence, key_of, note, parked

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import sqlite_writer
from casework.runtime.store.base import Append, Appended, Delivered, Duplicate, Store, Unknown
from casework.runtime.store.claims import Claimed
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.taking import Delivery
from tests.support.power_loss import Disk

CASES = 6
SEEDS = 60
#: Calls of the disk within which it fails: as many as all deliveries make.
CALLS = 120


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # The memory beside the file is on the machine's own disk, whose syncs are slow and not what is tested.
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Wakes:
    """Parked cases that are woken, and what the store said of it."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.appended: list[str] = []
        self.unknown = 0

    async def work(self, store: Store) -> None:
        """Wake one case after another; those with odd numbers append."""
        for number in range(CASES):
            name = str(number)
            taken: list[Claimed] = []
            async with anyio.create_task_group() as group:

                async def deliver(name: str = name, taken: list[Claimed] = taken) -> None:
                    delivery = Delivery(TENANT, name, name, arrived(name))
                    answer = await store.deliver_and_claim(NODE, delivery, now=NOW, taken=taken.append)
                    self.unknown += isinstance(answer, Unknown)
                    if isinstance(answer, Delivered):
                        self.answered.append(name)

                group.start_soon(deliver)
                if number % 2:
                    while not taken and name not in self.answered and not self.unknown:
                        await anyio.lowlevel.checkpoint()
                    for claimed in taken:
                        append = Append(claimed.row.key, claimed.row.epoch, 2, (note(2, claimed.row.epoch),))
                        if await store.append(append) == Appended():
                            self.appended.append(name)
            if name not in self.answered:
                return

    async def check(self, store: Store, where: str) -> None:
        """Whatever was answered is there, and no record without the message and the claim before it."""
        rows = {row.key.case_id: row for row in await store.cases()}
        for name in rows:
            had = await store.deliver(TENANT, name, name, arrived(name)) == Duplicate((key_of(name),))
            assert had or name not in self.answered, where
            assert rows[name].next_seq == 3 or name not in self.appended, where
            assert (had and rows[name].epoch == 2) or rows[name].next_seq == 2, where


async def opened(disk: Disk, folder: Path) -> SqliteStore:
    path = f"{folder}/cases.db"
    return await SqliteStore.open(f"sqlite:///{path}", path, World(), binding=disk.binding)


@pytest.mark.promise("STORE-11")
@pytest.mark.parametrize("fault", ["power", "sync"])
async def test_what_a_delivery_took_outlives_a_disk_that_fails_once_it_was_answered_or_appended_to(
    tmp_path: Path, fault: str
) -> None:
    answered = unknown = 0
    for seed in range(SEEDS):
        disk, wakes, folder = Disk(seed), Wakes(), tmp_path / str(seed)
        folder.mkdir()
        with anyio.fail_after(60):
            store = await opened(disk, folder)
            for number in range(CASES):
                await parked(store, str(number), evidence("receipt"))
            if fault == "power":
                disk.loses_at = disk.calls + disk.chance.randint(1, CALLS)
            else:
                disk.fails_with = {"sync": apsw.SQLITE_IOERR_FSYNC}
                disk.fails_at = disk.fallible + 1 + seed % (2 * CASES)
            try:
                await wakes.work(store)
                disk.dark = True
            except StoreUnavailable:
                assert disk.dark
            await store.aclose()
            disk.fails_at = 0
            disk.lose_power()
            store = await opened(disk, folder)
            await wakes.check(store, f"{fault}, seed {seed}")
            await store.aclose()
        disk.close()
        answered, unknown = answered + len(wakes.answered), unknown + wakes.unknown
    assert answered > SEEDS
    assert unknown


@pytest.mark.parametrize("appends", [True, False], ids=["appends", "does nothing"])
async def test_a_delivery_is_answered_once_its_case_appends_or_after_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appends: bool
) -> None:
    monkeypatch.setattr(sqlite_writer, "OWED_SECONDS_MAX", 60.0 if appends else 0.001)
    disk = Disk()
    with anyio.fail_after(5):
        store = await opened(disk, tmp_path)
        await parked(store, "a", evidence("receipt"))
        before = store.statistics().waited
        taken = anyio.Event()
        given: list[Claimed] = []

        def heard(claimed: Claimed) -> None:
            given.append(claimed)
            taken.set()

        async with anyio.create_task_group() as group:
            delivery = Delivery(TENANT, "a", "m1", arrived("m1"))

            async def deliver() -> None:
                answer = await store.deliver_and_claim(NODE, delivery, now=NOW, taken=heard)
                assert answer == Delivered((key_of("a"),))

            group.start_soon(deliver)
            await taken.wait()
            if appends:
                assert await store.append(Append(key_of("a"), 2, 2, (note(2, 2),))) == Appended()
        assert store.statistics().waited == before + 1
        await store.aclose()
    disk.close()


async def test_a_read_sees_no_delivery_before_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "OWED_SECONDS_MAX", 60.0)
    disk = Disk()
    with anyio.fail_after(5):
        store = await opened(disk, tmp_path)
        await parked(store, "a", evidence("receipt"))
        before = store.statistics().waited
        async with anyio.create_task_group() as group:
            delivery = Delivery(TENANT, "a", "m1", arrived("m1"))

            async def deliver() -> None:
                await store.deliver_and_claim(NODE, delivery, now=NOW, taken=lambda _: taken.set())

            taken = anyio.Event()
            group.start_soon(deliver)
            await taken.wait()
            assert len(await store.inbox(key_of("a"))) == 1
            assert store.statistics().waited == before + 1
        await store.aclose()
    disk.close()
