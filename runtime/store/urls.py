"""From a store's URL to the store: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute/path.db`, `postgresql://`.

Whoever opens a SQLite store owns it; a reader looks on; a door writes through the owner. A PostgreSQL store has no
owner: every process opens it and writes for itself. It does not know what a store does.
"""

import os.path
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from anyio.abc import TaskStatus

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseStatus, Store, StoreDoor, StoreReader, WaitKind
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.postgres_url import POSTGRES, PostgresAddress, masked, postgres_address

if TYPE_CHECKING:
    from casework.runtime.store.postgres import PostgresStore

MEMORY: Final = "memory:"
SQLITE: Final = "sqlite:///"
#: Seconds between two looks at whether a store has come to rest.
LOOK_SECONDS: Final = 0.2
#: Seconds for which short waits of cases are waited for in all: another try at an undo, a pause of a flow.
SHORT_SECONDS: Final = 5.0


class StoreService(Protocol):
    """What runs beside a store for as long as a runtime works on it."""

    settled: Callable[[], Awaitable[None]] | None
    """Waits until the runtime has nothing to do; set by the runtime."""
    told: Callable[[CircuitsAsked | TurnAsked], Awaitable[bytes]] | None
    """Answers what only the runtime can; set by it."""

    def on_switch(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with all that was switched so far, each time that another process has switched something."""
        ...

    async def serve(self, *, task_status: TaskStatus[None] = ...) -> None:
        """Serve until cancelled."""
        ...


class Door(StoreDoor, Protocol):
    """A way to write where others do the work."""

    async def settle(self, timeout_seconds: float) -> bool:
        """Wait until they have nothing to do; False if they still had when the time was over."""
        ...


async def open_store(url: str, world: World) -> Store:
    """Open a store to work on it; a missing SQLite file or PostgreSQL schema is made, a directory is not.

    Raises:
        StoreInvalid: the URL names no store, or the file is none.
        StoreOwned: another process owns it.
        StoreNewer: a newer version wrote it; it was not touched.
        StoreUnavailable: it cannot be opened just now.

    If cancelled, nothing is held.
    """
    if url == MEMORY:
        return MemoryStore()
    if url.startswith(POSTGRES):
        return await _open_postgres(url, world)
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
    if url.startswith(POSTGRES):
        address = _driven(url)
        from casework.runtime.store.postgres_reader import PostgresReader

        return await PostgresReader.open(address)
    path = sqlite_path(_outliving(url))
    from casework.runtime.store.sqlite_reader import SqliteReader

    return await SqliteReader.open(url, path, world)


async def open_door(url: str, world: World) -> Door:
    """Find who works on a store, to write where they will see it: a SQLite file's owner, a PostgreSQL store's nodes.

    Raises:
        StoreInvalid: the URL names no store that others can reach.
        StoreUnavailable: nobody works on it.

    If cancelled, nothing stays open.
    """
    if url.startswith(POSTGRES):
        address = _driven(url)
        from casework.runtime.store.postgres_door import PostgresDoor

        return await PostgresDoor.open(address, world)
    path = sqlite_path(_outliving(url))
    from casework.runtime.store.door_client import DoorClient

    return await DoorClient.open(url, path)


def door_server(store: Store) -> StoreService | None:
    """Give what joins this store with other processes, or None where no other process could find it."""
    shared = _shared(store)
    if shared is not None:
        return shared.ear
    from casework.runtime.store.sqlite import SqliteStore

    if not isinstance(store, SqliteStore):
        return None
    from casework.runtime.store.door import DoorServer

    return DoorServer(store, store.path)


async def wait_settled(store: Store, idle: Callable[[], Awaitable[None]], world: World) -> None:
    """Wait until no case of a store can go on without something from outside, whoever holds it.

    A case that goes on within `SHORT_SECONDS` by itself is waited for, one that sleeps for longer is not. `idle` waits
    for the runtime of this process, which is all there is unless others may work on the store as well: they may be at
    it, or have been killed and hold their cases until their lease is over.
    A store that cannot be asked just now is waited for.
    """
    shared, clock = _shared(store), world.clock
    soon = clock.wall_micros() + int(SHORT_SECONDS * MICROS)
    await idle()
    while (shared is not None and await _unsettled(shared)) or await _resting(store, soon):
        await clock.sleep(LOOK_SECONDS)
        await idle()


def sqlite_path(url: str) -> str:
    """Give the absolute path of a SQLite URL's file.

    Raises:
        StoreInvalid: the URL names no file, or one that cannot be there.
    """
    if not url.startswith(SQLITE):
        ways = f"write {SQLITE}FILE (four slashes before an absolute path), or {POSTGRES}USER@HOST/DATABASE"
        raise StoreInvalid(masked(url), f"no such kind of store; {ways}")
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


async def _unsettled(store: "PostgresStore") -> bool:
    try:
        return await store.unsettled()
    except StoreUnavailable:
        return True


async def _resting(reader: StoreReader, soon: int) -> bool:
    """Tell whether a case rests that goes on by itself before a moment."""
    try:
        rows = await reader.cases(status=CaseStatus.PARKED)
    except StoreUnavailable:
        return False
    return any(wait.kind is WaitKind.TIMER and wait.due < soon for row in rows for wait in row.waits)


async def _open_postgres(url: str, world: World) -> Store:
    address = _driven(url)
    from casework.runtime.store.postgres import PostgresStore

    return await PostgresStore.open(address, world)


def _driven(url: str) -> PostgresAddress:
    address = postgres_address(url)
    if find_spec("asyncpg") is None:
        raise StoreInvalid(address.shown, "PostgreSQL needs an extra: pip install 'casework[postgres]'")
    return address


def _shared(store: Store) -> "PostgresStore | None":
    # Not imported to be asked: who has not opened such a store need not have its driver.
    if not store.url.startswith(POSTGRES):
        return None
    from casework.runtime.store.postgres import PostgresStore

    return store if isinstance(store, PostgresStore) else None
