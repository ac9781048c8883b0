"""Every single change, deletion, swap and cut in a stored log is found."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from store_support import NODE, NOW, TENANT, key_of, note, opening, take

from casework.protocols.codec import encode
from casework.protocols.records import CaseResult, Child, Closed
from casework.runtime.seams import World
from casework.runtime.store.base import Append, Appended, CaseKey, CaseStatus, Record
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify

LENGTH = 5
OTHER = CaseKey(TENANT, "other")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def original(tmp_path: Path) -> Path:
    """Give a store with two logs of the same length."""
    path = tmp_path / "original.db"
    store = await open_store(f"sqlite:///{path}", World())
    await store.renew(NODE, until=NOW + 1)
    for key in (key_of("case"), OTHER):
        await store.open_case(opening(key))
        await take(store, NODE, limit=1, now=NOW)
        records = tuple(note(seq, at=NOW + seq, frame=b"frame %d" % seq) for seq in range(1, LENGTH))
        assert await store.append(Append(key, 1, 1, records)) == Appended()
    await store.aclose()
    return path


async def found(original: Path, tamper: Callable[[sqlite3.Connection], object]) -> list[tuple[CaseKey, int]]:
    copy = original.with_name("copy.db")
    shutil.copy(original, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        tamper(connection)
    reader = await open_reader(f"sqlite:///{copy}", World())
    findings = await verify(reader)
    await reader.aclose()
    return [(finding.key, finding.seq) for finding in findings]


async def test_an_untouched_store_verifies(original: Path) -> None:
    assert await found(original, lambda _: None) == []


CHANGES = {
    "epoch": "epoch + 1",
    "kind": "kind || 'x'",
    "step_id": "step_id || 'x'",
    "at": "at + 1",
    "frame": "frame || x'00'",
    "hash": "zeroblob(32)",
    "frame of another type": "12",
    "at of another type": "'soon'",
    "at before the epoch": "-1",
    "step_id that is no text": "cast(x'ff' AS TEXT)",
    "hash that is missing its end": "substr(hash, 1, 31)",
}


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize("change", CHANGES)
async def test_any_changed_field_of_any_record_is_found(original: Path, change: str) -> None:
    column = change.split(maxsplit=1)[0]
    for seq in range(LENGTH):
        statement = f"UPDATE record SET {column} = {CHANGES[change]} WHERE case_no = 1 AND seq = {seq}"
        [(key, place)] = await found(original, lambda connection, s=statement: connection.execute(s))  # type: ignore[misc]
        assert key == key_of("case")
        assert place <= seq


@pytest.mark.promise("STORE-8")
async def test_any_deleted_record_is_found(original: Path) -> None:
    for seq in range(LENGTH):
        statement = f"DELETE FROM record WHERE case_no = 1 AND seq = {seq}"
        assert await found(original, lambda connection, s=statement: connection.execute(s)) == [  # type: ignore[misc]
            (key_of("case"), seq)
        ]


@pytest.mark.promise("STORE-8")
async def test_any_deleted_record_is_found_when_the_later_ones_close_the_gap(original: Path) -> None:
    for seq in range(LENGTH):

        def close_gap(connection: sqlite3.Connection, seq: int = seq) -> None:
            connection.execute("DELETE FROM record WHERE case_no = 1 AND seq = ?", (seq,))
            for later in range(seq + 1, LENGTH):
                connection.execute("UPDATE record SET seq = seq - 1 WHERE case_no = 1 AND seq = ?", (later,))

        [(key, _)] = await found(original, close_gap)
        assert key == key_of("case")


@pytest.mark.promise("STORE-8")
async def test_any_two_swapped_records_are_found(original: Path) -> None:
    for left in range(LENGTH):
        for right in range(left + 1, LENGTH):

            def swap(connection: sqlite3.Connection, pair: tuple[int, int] = (left, right)) -> None:
                for source, target in ((pair[0], 99), (pair[1], pair[0]), (99, pair[1])):
                    connection.execute("UPDATE record SET seq = ? WHERE case_no = 1 AND seq = ?", (target, source))

            [(key, place)] = await found(original, swap)
            assert (key, place) == (key_of("case"), left)


@pytest.mark.promise("STORE-8")
async def test_a_cut_tail_is_found(original: Path) -> None:
    for length in range(LENGTH):
        statement = f"DELETE FROM record WHERE case_no = 1 AND seq >= {length}"
        assert await found(original, lambda connection, s=statement: connection.execute(s)) == [  # type: ignore[misc]
            (key_of("case"), length)
        ]


@pytest.mark.promise("STORE-8")
async def test_a_record_moved_from_another_case_is_found(original: Path) -> None:
    def move(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM record WHERE case_no = 1 AND seq = 2")
        connection.execute("UPDATE record SET case_no = 1 WHERE case_no = 2 AND seq = 2")

    assert await found(original, move) == [(key_of("case"), 2), (OTHER, 2)]


@pytest.mark.promise("STORE-8")
async def test_a_record_added_behind_the_end_is_found(original: Path) -> None:
    def add(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO record SELECT case_no, seq + 1, epoch, kind, step_id, at, frame, hash FROM record "
            "WHERE case_no = 1 AND seq = ?",
            (LENGTH - 1,),
        )

    [(key, _)] = await found(original, add)
    assert key == key_of("case")


async def test_a_changed_head_is_found_and_other_cases_go_on(original: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("""UPDATE "case" SET head = zeroblob(32) WHERE no = 1""")

    assert await found(original, change) == [(key_of("case"), LENGTH - 1)]


@pytest.fixture
async def family(tmp_path: Path) -> Path:
    """Give a store with a case that opened another one, both closed."""
    path = tmp_path / "original.db"
    store = await open_store(f"sqlite:///{path}", World())
    await store.renew(NODE, until=NOW + 1)
    await store.open_case(opening(key_of("case")))
    await take(store, NODE, limit=1, now=NOW)
    opened = Record(1, 1, "child", "open", NOW, encode(Child(case_id="other", flow="f")))
    closed = Record(2, 1, "closed", "case", NOW, encode(Closed(result=CaseResult.COMPLETED)))
    append = Append(
        key_of("case"), 1, 1, (opened, closed), CaseStatus.CLOSED, "completed", opens=(opening(OTHER),), release=True
    )
    assert isinstance(await store.append(append), Appended)
    await store.aclose()
    return path


@pytest.mark.promise("STORE-8")
async def test_a_case_that_was_deleted_whole_is_missed_where_it_was_opened(family: Path) -> None:
    def delete(connection: sqlite3.Connection) -> None:
        (number,) = connection.execute("SELECT rowid FROM \"case\" WHERE case_id = 'other'").fetchone()
        connection.execute("DELETE FROM record WHERE case_no = ?", (number,))
        connection.execute('DELETE FROM "case" WHERE rowid = ?', (number,))

    assert await found(family, lambda _: None) == []
    assert await found(family, delete) == [(key_of("case"), 1)]


@pytest.mark.promise("STORE-8")
async def test_a_case_whose_row_says_another_result_than_its_log_is_found(family: Path) -> None:
    def lie(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE \"case\" SET result = 'failed' WHERE case_id = 'case'")

    assert await found(family, lie) == [(key_of("case"), 2)]
