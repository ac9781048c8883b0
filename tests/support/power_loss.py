"""A disk in memory that knows what was synced: SQLite runs on it, and the power may fail at any of its calls.

What was written but not synced is kept, dropped or torn at a loss, by chance with a seed. A sync that fails behaves
like that of Linux: what it should have written stays visible and is never written any more, though the next sync
says that all is well. The store runs on it with its real schema and statements, through apsw, whose connections are
dressed here as those of `sqlite3`. The file system has no shared memory, so one connection uses a file at a time.
"""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import apsw

from casework.runtime.store.connections import Binding

#: Bytes that are written whole or not at all.
SECTOR = 512
#: What the system's own file systems say of themselves in SQLite.
CLUSTER = 4_096


class File:
    """One file: what is seen of it, and what would be left of it."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.durable = bytearray()
        #: Writes since the last sync: (offset, bytes), or (length, None) for a cut.
        self.pending: list[tuple[int, bytes | None]] = []
        self.named = False  #: whether its name outlives a loss
        self.journal = False  #: whether SQLite syncs its folder with its first sync

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.seen, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def lose(self, chance: random.Random) -> None:
        for offset, data in self.pending:
            fate = chance.choice(("kept", "dropped", "torn"))
            if fate == "kept" or (data is None and fate == "torn" and chance.random() < 0.5):
                _apply(self.durable, offset, data)
            elif fate == "torn" and data is not None:
                for start in range(0, len(data), SECTOR):
                    if chance.random() < 0.5:
                        _apply(self.durable, offset + start, data[start : start + SECTOR])
        self.pending.clear()
        self.seen = bytearray(self.durable)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """The disk of one machine; `binding` lets a store live on it."""

    def __init__(self, seed: int = 0, *, synchronous: str = "FULL") -> None:
        """Make an empty disk; `synchronous` replaces what the store asks of SQLite, to see what it is good for."""
        self.chance = random.Random(seed)
        self.synchronous = synchronous
        self.files: dict[str, File] = {}
        self.removed: dict[str, File] = {}
        self.calls = 0  #: calls that change or sync something
        self.loses_at = 0  #: the call at which the power fails, 0 for none
        self.dark = False  #: whether it has failed
        self.fails_with: dict[str, int] = {}  #: SQLite's code for each kind of call that can fail
        self.fails_at = 0  #: which one of these calls fails, 0 for none
        self.fallible = 0  #: how many of them there were
        self.failed = ""  #: the kind of the call that did
        self.killed = False  #: whether the process is killed at the call that fails: it does nothing any more
        self._system: apsw.VFS | None = _FileSystem(self)
        version = tuple(map(int, apsw.sqlite_lib_version().split(".")))
        self.binding = Binding(connect=self._connect, exists=self._exists, size=self._size, version=version)

    def close(self) -> None:
        """Take the disk out of SQLite."""
        if self._system is not None:
            self._system.unregister()
            self._system = None

    def lose_power(self) -> None:
        """Let the power fail, if it has not yet, and come back."""
        for path, file in sorted(self.removed.items()):
            # That a name was removed is not synced either.
            if path not in self.files and file.named and self.chance.random() < 0.5:
                self.files[path] = file
        self.removed.clear()
        for path, file in sorted(self.files.items()):
            if not file.named and self.chance.random() < 0.5:
                del self.files[path]
                continue
            file.lose(self.chance)
        self.dark, self.loses_at = False, 0

    def sync(self, path: str) -> None:
        """Make a file durable, and with a new journal the names of its folder."""
        file = self.files[path]
        file.sync()
        if file.journal and not file.named:
            self.removed.clear()
            for each in self.files.values():
                each.named = True

    def call(self, kind: str, path: str) -> None:
        """Count one call of SQLite; the power or the call may fail."""
        self.calls += 1
        if self.calls == self.loses_at:
            self.dark = True
        if self.dark:
            raise apsw.exception_for(apsw.SQLITE_IOERR)
        self.fallible += kind in self.fails_with
        if self.fallible == self.fails_at and kind in self.fails_with:
            self.failed = f"{kind} of {path.rpartition('/')[2]}"
            if kind == "sync":
                self.files[path].pending.clear()
            self.dark = self.killed
            raise apsw.exception_for(self.fails_with[kind])

    def _exists(self, path: str) -> bool:
        return path in self.files

    def _size(self, path: str) -> int:
        file = self.files.get(path)
        return 0 if file is None else len(file.seen)

    def _connect(self, uri: str) -> sqlite3.Connection:
        assert self._system is not None, "a disk that was closed is gone"
        with _translated():
            flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            connection = apsw.Connection(uri, flags=flags, vfs=_name(self))
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return cast("sqlite3.Connection", _Connection(connection, self))


def _name(disk: Disk) -> str:
    return f"power-loss-{id(disk)}"


class _FileSystem(apsw.VFS):
    """A disk as SQLite sees it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(_name(disk), "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's names, here and below
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert isinstance(path, str), "all files of a store have names"
        if path not in self._disk.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.exception_for(apsw.SQLITE_CANTOPEN)
            self._disk.call("open", path)
            file = self._disk.files[path] = File()
            file.journal = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))
        flags[1] = flags[0]
        return _OpenFile(self._disk, path, writable=bool(flags[0] & apsw.SQLITE_OPEN_READWRITE))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.call("delete", filename)
        file = self._disk.files.pop(filename, None)
        if file is not None and not syncdir:
            self._disk.removed[filename] = file

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self._disk.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def excepthook(self, *_: object) -> bool:
        """Keep quiet about errors that SQLite passes over."""
        return True


class _OpenFile:
    """An open file of a disk."""

    def __init__(self, disk: Disk, path: str, *, writable: bool) -> None:
        self._disk = disk
        self._path = path
        self._writable = writable
        self._file = disk.files[path]

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._disk.dark:
            raise apsw.exception_for(apsw.SQLITE_IOERR_READ)
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if not self._writable:
            raise apsw.exception_for(apsw.SQLITE_READONLY)
        self._disk.call("write", self._path)
        self._file.change(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.call("truncate", self._path)
        self._file.change(newsize, None)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.call("sync", self._path)
        self._disk.sync(self._path)

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xLock(self, level: int) -> None:  # noqa: N802
        return

    def xUnlock(self, level: int) -> None:  # noqa: N802
        return

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return CLUSTER

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:  # noqa: N802
        return

    def excepthook(self, *_: object) -> None:
        """Keep quiet about errors that SQLite passes over."""


class _Connection:
    """A connection of apsw dressed as one of `sqlite3`, as far as the store uses it."""

    def __init__(self, connection: apsw.Connection, disk: Disk) -> None:
        self._connection = connection
        self._disk = disk

    def execute(self, statement: str, values: Any = ()) -> "_Cursor":
        if statement == "PRAGMA synchronous = FULL":
            statement = f"PRAGMA synchronous = {self._disk.synchronous}"
        with _translated():
            return _Cursor(self._connection, self._connection.execute(statement, values).fetchall())

    def executemany(self, statement: str, values: Sequence[Any]) -> "_Cursor":
        with _translated():
            return _Cursor(self._connection, self._connection.executemany(statement, values).fetchall())

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes()

    def close(self) -> None:
        with suppress(apsw.Error):
            self._connection.close(force=True)


class _Cursor:
    """What a statement gave."""

    def __init__(self, connection: apsw.Connection, rows: list[Any]) -> None:
        self._rows = rows
        self.rowcount = connection.changes()
        self.lastrowid = connection.last_insert_rowid()

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raised = sqlite3.OperationalError(str(error) or type(error).__name__)
        raised.sqlite_errorcode = getattr(error, "extendedresult", 0)
        raise raised from error
