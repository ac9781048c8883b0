"""From a store's URL to the store: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute/path.db`.

Whoever opens a store owns it; a reader looks on; a door writes through the owner. It does not know what a store does.
"""

import os.path
from typing import TYPE_CHECKING, Final

from casework.runtime.errors import StoreInvalid
from casework.runtime.seams import World
from casework.runtime.store.base import Store, StoreReader
from casework.runtime.store.memory import MemoryStore

if TYPE_CHECKING:
    from casework.runtime.store.door import DoorServer
    from casework.runtime.store.door_client import DoorClient

MEMORY: Final = "memory:"
SQLITE: Final = "sqlite:///"


async def open_store(url: str, world: World) -> Store:
    """Open a store as its owner; a missing SQLite file is made, its directory is not.

    Raises:
        StoreInvalid: the URL names no store, or the file is none.
        StoreOwned: another process owns it.
        StoreNewer: a newer version wrote it; it was not touched.
        StoreUnavailable: it cannot be opened just now.

    If cancelled, nothing is held.
    """
    if url == MEMORY:
        return MemoryStore()
    path = sqlite_path(url)
    from casework.runtime.store.sqlite import SqliteStore

    return await SqliteStore.open(url, path, world)


async def open_reader(url: str, world: World) -> StoreReader:
    """Open a store for reading, whoever owns it.

    Raises:
        StoreInvalid: the URL names no store that outlives its process, there is no such file, or it is no store.
        StoreNewer: a newer version wrote it.
        StoreUnavailable: it cannot be read just now.

    If cancelled, nothing stays open.
    """
    path = sqlite_path(_outliving(url))
    from casework.runtime.store.sqlite_reader import SqliteReader

    return await SqliteReader.open(url, path, world)


async def open_door(url: str, world: World) -> "DoorClient":
    """Find the process that owns a store, to write through it.

    Raises:
        StoreInvalid: the URL names no store that others can reach.
        StoreUnavailable: no process owns it.

    If cancelled, nothing stays open.
    """
    del world  # a socket is waited for in the loop; the seam stands here as with every way to a store
    path = sqlite_path(_outliving(url))
    from casework.runtime.store.door_client import DoorClient

    return await DoorClient.open(url, path)


def door_server(store: Store) -> "DoorServer | None":
    """Give what serves this store to other processes, or None where no other process could find it."""
    from casework.runtime.store.sqlite import SqliteStore

    if not isinstance(store, SqliteStore):
        return None
    from casework.runtime.store.door import DoorServer

    return DoorServer(store, store.path)


def sqlite_path(url: str) -> str:
    """Give the absolute path of a SQLite URL's file.

    Raises:
        StoreInvalid: the URL names no file, or one that cannot be there.
    """
    if not url.startswith(SQLITE):
        raise StoreInvalid(url, f"no such kind of store; write {SQLITE}FILE (four slashes before an absolute path)")
    path = url.removeprefix(SQLITE)
    if not path or "\0" in path:
        raise StoreInvalid(url, f"it names no file; write {SQLITE}FILE")
    path = os.path.abspath(path)
    if os.path.isdir(path):
        raise StoreInvalid(url, "that is a directory; name a file in it")
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreInvalid(url, f"the directory {os.path.dirname(path)} does not exist; make it first")
    return path


def _outliving(url: str) -> str:
    if url == MEMORY:
        raise StoreInvalid(url, f"it lives inside one process and nobody else can see it; use {SQLITE}FILE")
    return url
