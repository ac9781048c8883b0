"""Settings of a SQLite store that somebody else changed: `verify` and whoever opens the file name them."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from casework.runtime.errors import StoreInvalid, StoreOwned
from casework.runtime.seams import World
from casework.runtime.store.lock import FileLock
from casework.runtime.store.sqlite_seals import SEALS
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Give a store whose settings were set, set again and added to."""
    path = tmp_path / "cases.db"
    store = await open_store(f"sqlite:///{path}", World())
    for value in ("first", "second"):
        await store.remember("crew", value)
        await store.extend("switches", f"{value}\n")
    await store.aclose()
    return path


async def told(path: Path) -> list[str]:
    reader = await open_reader(f"sqlite:///{path}", World())
    try:
        return [finding.why for finding in await verify(reader)]
    finally:
        await reader.aclose()


@pytest.mark.promise("STORE-8")
async def test_settings_that_the_store_set_itself_verify(path: Path) -> None:
    assert await told(path) == []


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("UPDATE setting SET value = 'other' WHERE name = 'crew'", ["crew"]),
        ("UPDATE setting SET name = 'crews' WHERE name = 'crew'", ["crew", "crews"]),
        ("DELETE FROM setting WHERE name = 'switches'", ["switches"]),
        ("INSERT INTO setting VALUES ('store.halted', '')", ["store.halted"]),
        (f"UPDATE setting SET value = '[]' WHERE name = '{SEALS}'", [SEALS]),
    ],
)
async def test_a_setting_that_was_changed_is_named_and_is_well_again_once_it_is_set(
    path: Path, statement: str, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    assert await told(path) == [f"setting {name} is not as it was set" for name in names]
    store = await open_store(f"sqlite:///{path}", World())
    assert f"setting {names[0]} is not as it was set: somebody else changed it" in caplog.text
    await store.remember("crew", "third")
    await store.aclose()
    assert await told(path) == [f"setting {name} is not as it was set" for name in names if name != "crew"]


async def test_a_file_whose_settings_cannot_be_read_is_refused_in_one_line(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE setting SET value = x'00ff' WHERE name = 'store.generation'")
    with pytest.raises(StoreInvalid, match="its settings cannot be read \\(a text is kept as bytes\\)"):
        await open_store(f"sqlite:///{path}", World())


async def test_a_full_disk_takes_no_number_of_the_owner_and_the_lock_holds_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    path = str(tmp_path / "cases.db.lock")
    lock = FileLock.acquire(path, "sqlite:///cases.db")
    with pytest.raises(StoreOwned, match="another process owns it"):
        FileLock.acquire(path, "sqlite:///cases.db")
    lock.release()
    assert not (tmp_path / "cases.db.lock").exists()
