"""What retention drops from a SQLite file is not in the file any more."""

from pathlib import Path

from store_support import claimed, close, key_of, note, review, there

from casework.runtime.seams import World
from casework.runtime.store.archive import Retained
from casework.runtime.store.base import Append, Appended
from casework.runtime.store.conformance.archive import account, archive_of
from casework.runtime.store.urls import open_store

SECRET = b"what nobody may read any more"


def holding(folder: Path, secret: bytes) -> list[str]:
    """Name the files that hold some bytes."""
    return [path.name for path in sorted(folder.iterdir()) if secret in path.read_bytes()]


async def test_dropped_contents_are_written_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"
    store = await open_store(url, World())
    row = await claimed(store, "old")
    records = tuple(note(seq, frame=SECRET * seq) for seq in range(1, 200))
    assert await store.append(Append(row.key, 1, 1, records, reviews_opened=(review(row.key),))) == Appended()
    await close(store, await there(store, "old"))
    await store.aclose()
    assert holding(tmp_path, SECRET) == ["cases.db"]
    store = await open_store(url, World())
    assert await archive_of(store).retain([key_of("old")], await account()) == Retained(201)
    await store.aclose()
    assert holding(tmp_path, SECRET) == []
