"""A damaged file: the one case that is hit is parked or told, or the file is refused; the others go on."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from store_support import NODE, NOW, arrived, key_of, note, opening, take

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.base import Append, Appended, CaseStatus, WaitKind
from casework.runtime.store.generation import HALTED
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify
from tests.support.flow_scene import Ask, crew, runtime

#: Bits flipped in copies of a store.
FLIPS = 150


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def waits_twice(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    await case.park("again", reason="waits")
    return inputs.n


@pytest.fixture
async def original(tmp_path: Path) -> Path:
    """Give a store with two cases that wait for one thing each."""
    path = tmp_path / "original.db"
    async with runtime(crew(waits_twice), f"sqlite:///{path}") as machine:
        for name in ("hit", "well"):
            await machine.open("waits_twice", name, Ask(3))
            await machine.deliver(name, key="go", by="test")
            await machine.wait(name)
            await machine.wait_idle()
    return path


def copied(original: Path, statement: str = "") -> str:
    copy = original.with_name("cases.db")
    shutil.copy(original, copy)
    if statement:
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute(statement)
    return f"sqlite:///{copy}"


RECORDS = {
    "frame": "frame = cast(substr(frame, 1, 5) || x'ff' || substr(frame, 7) AS BLOB)",
    "frame of a type that nobody knows": "frame = x'81a474797065a6667574757265'",
    "frame of another type": "frame = 12",
    "kind": "kind = 'closed'",
    "moment": "at = 'soon'",
    "place": "seq = seq + 20",
    "hash": "hash = zeroblob(32)",
}
ROWS = {
    "head": "head = 7",
    "another head": "head = zeroblob(32)",
    "length": "next_seq = next_seq + 1",
    "length that is too short": "next_seq = next_seq - 1",
    "length that is none": "next_seq = 'many'",
    "moment": "opened_at = x'00'",
    "flow": "flow = cast(x'ff' AS TEXT)",
    "status": "status = 'opem'",
    "status that is no text": "status = cast(x'70ff' AS TEXT)",
}


@pytest.mark.parametrize("damage", RECORDS)
async def test_a_case_with_a_damaged_record_parks_and_says_so_and_others_go_on(original: Path, damage: str) -> None:
    url = copied(original, f"UPDATE record SET {RECORDS[damage]} WHERE case_no = 1 AND seq = 2")
    with anyio.fail_after(10):
        async with runtime(crew(waits_twice), url) as machine:
            for name in ("hit", "well"):
                await machine.store.deliver("default", name, "m", arrived("m", "again"))
            assert (await machine.wait("well")).status is CaseStatus.CLOSED
            row = await machine.wait("hit")
            assert (row.status, row.waits[0].kind) == (CaseStatus.PARKED, WaitKind.OPERATOR)
            assert "record 2" in row.waits[0].reason


@pytest.mark.parametrize("damage", ROWS)
async def test_a_case_with_a_damaged_row_never_stops_another_and_is_told(original: Path, damage: str) -> None:
    url = copied(original, f'UPDATE "case" SET {ROWS[damage]} WHERE no = 1')
    with anyio.fail_after(10):
        async with runtime(crew(waits_twice), url) as machine:
            for name in ("hit", "well"):
                await machine.store.deliver("default", name, "m", arrived("m", "again"))
            assert (await machine.wait("well")).status is CaseStatus.CLOSED
            # Nobody tries the other one for ever.
            await machine.wait_idle()
            assert machine.statistics().ended < 10
            assert [row.key.case_id for row in await machine.store.cases()] == ["hit", "well"]
        reader = await open_reader(url, World())
        hit, well = await reader.cases()
        await reader.aclose()
        assert well.status is CaseStatus.CLOSED
        assert hit.status is not CaseStatus.CLOSED


@pytest.mark.promise("STORE-8")
async def test_a_flipped_bit_is_refused_found_or_harmless(original: Path) -> None:
    """Whatever bit of the file flips: no call gives a wrong log, and nothing but the store's own errors is raised."""
    reader = await open_reader(copied(original), World())
    logs = {row.key: await reader.records(row.key) for row in await reader.cases()}
    await reader.aclose()
    chance, told = random.Random(1), 0
    for _ in range(FLIPS):
        url = copied(original)
        _flip(original.with_name("cases.db"), chance)
        try:
            reader = await open_reader(url, World())
        except StoreError:
            told += 1
            continue
        try:
            findings = {finding.key for finding in await verify(reader)}
            rows = await reader.cases()
            told += bool(findings) or len(rows) < len(logs)
            for row in rows:
                if row.key in logs and row.key not in findings:
                    assert await reader.records(row.key) == logs[row.key]
        except StoreError:
            told += 1
        finally:
            await reader.aclose()
    assert told > 0


def _flip(path: Path, chance: random.Random) -> None:
    bit = chance.randrange(path.stat().st_size * 8)
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


async def test_an_owner_of_a_damaged_file_works_on_or_refuses_it_with_an_error_of_its_own(original: Path) -> None:
    chance = random.Random(2)
    for _ in range(FLIPS):
        url = copied(original)
        original.with_name("cases.db.generation").unlink(missing_ok=True)
        _flip(original.with_name("cases.db"), chance)
        try:
            store = await open_store(url, World())
        except StoreError:
            continue
        try:
            with anyio.fail_after(30):
                await store.renew(NODE, until=NOW + 1)
                await store.open_case(opening(key_of("new")))
                for row in await take(store, NODE, limit=9, now=NOW):
                    await store.append(Append(row.key, row.epoch, row.next_seq, (note(row.next_seq, row.epoch),)))
        except (StoreUnavailable, StoreInvalid):
            pass
        finally:
            await store.aclose()


async def test_a_cut_log_gives_an_older_store_that_is_whole_and_known_to_be_older(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    store = await open_store(f"sqlite:///{path}", World())
    await store.renew(NODE, until=NOW + 1_000)
    await store.open_case(opening(key_of("c")))
    (row,) = await take(store, NODE, limit=1, now=NOW)
    for seq in range(1, 30):
        assert await store.append(Append(row.key, 1, seq, (note(seq),))) == Appended()
    log = path.with_name("cases.db-wal").read_bytes()
    database = path.read_bytes()
    await store.aclose()
    memory = path.with_name("cases.db.generation").read_bytes()
    lengths: list[int] = []
    for cut in (0, 1, 31, len(log) // 3, len(log) // 2, len(log) - 1, len(log)):
        path.write_bytes(database)
        path.with_name("cases.db-wal").write_bytes(log[:cut])
        path.with_name("cases.db.generation").write_bytes(memory)
        store = await open_store(f"sqlite:///{path}", World())
        assert await verify(store) == []
        (there,) = await store.cases() or (None,)
        lengths.append(there.next_seq if there else 0)
        assert bool(await store.setting(HALTED)) is (lengths[-1] < 30)
        await store.aclose()
    assert lengths == sorted(lengths)
    assert lengths[-1] == 30
