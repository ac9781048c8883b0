"""Opens SQLite files, and tells the errors of SQLite apart.

The file itself is never opened by anything but SQLite: closing a second descriptor of it would drop the process's
locks. Everything about the file is asked first through a read-only connection, so a file that is refused is not
touched. It does not know what is in the tables.
"""

import enum
import os.path
import sqlite3
from typing import Final
from urllib.parse import quote

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.store.migrations import SCHEMA_VERSION, migrate, version_of

#: How long a statement waits for another connection's lock.
BUSY_MILLISECONDS: Final = 5_000
#: Pages in the write-ahead log before it is written back.
CHECKPOINT_PAGES: Final = 1_000
#: Prepared statements kept by a connection.
STATEMENTS_KEPT: Final = 256


class Fault(enum.Enum):
    """What an error of SQLite means for whoever waits."""

    PASSING = "passing"
    """Nothing happened, and a later try may succeed: the disk is full, a lock was not given."""
    BROKEN = "broken"
    """The file or the disk under it can no longer be trusted; only opening it anew tells what it holds."""
    OURS = "ours"
    """A statement was wrong for its values; the file is well."""


_PASSING: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT}
)
_BROKEN: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def primary_code(error: sqlite3.Error) -> int:
    """Give SQLite's own code of an error without its extension; 0 where the binding raised it."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF if isinstance(code, int) else 0


def fault_of(error: sqlite3.Error) -> Fault:
    """Say what an error means."""
    code = primary_code(error)
    if code in _PASSING:
        return Fault.PASSING
    return Fault.BROKEN if code in _BROKEN else Fault.OURS


def store_error(url: str, error: sqlite3.Error) -> StoreError:
    """Give the store's error for one that came while reading."""
    code = primary_code(error)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreInvalid(url, f"it is no whole SQLite file ({error}); restore it from a copy")
    if code in _PASSING | _BROKEN:
        return StoreUnavailable(url, f"it cannot be read just now ({error})")
    return StoreInvalid(url, f"its tables or values are not ours ({error})")


def connect_reader(path: str, url: str) -> sqlite3.Connection:
    """Open a file that can only be read, and check that it is ours.

    Raises:
        StoreInvalid: there is no such file, or it is no store.
        StoreNewer: a newer version wrote it.
        StoreUnavailable: it cannot be read just now.
    """
    connection, version = _read_only(path, url)
    if version < SCHEMA_VERSION:
        connection.close()
        why = "nothing was stored yet" if version == 0 else f"it is of version {version}; let its owner open it once"
        raise StoreInvalid(url, why)
    return connection


def connect_owner(path: str, url: str) -> sqlite3.Connection:
    """Open a file for its one writer, and create or migrate it; the caller owns the file's lock.

    Raises: as `connect_reader`, but a missing file is made.
    """
    if os.path.exists(path):
        _read_only(path, url)[0].close()
    try:
        connection = _connect(f"file:{quote(os.path.abspath(path))}?mode=rwc")
    except sqlite3.Error as error:
        raise StoreUnavailable(url, f"it cannot be opened for writing ({error})") from error
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailable(url, "its file system has no shared memory; keep it on a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        migrate(connection, url)
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnavailable(url, f"it cannot be opened for writing ({error})") from error
    except StoreError:
        connection.close()
        raise
    return connection


def checkpoint(connection: sqlite3.Connection) -> None:
    """Write the log back into the file and cut it off, unless a reader is in the way."""
    connection.execute("PRAGMA busy_timeout = 200")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _read_only(path: str, url: str) -> tuple[sqlite3.Connection, int]:
    if not os.path.exists(path):
        raise StoreInvalid(url, "there is no such file")
    try:
        connection = _connect(f"file:{quote(os.path.abspath(path))}?mode=ro")
    except sqlite3.Error as error:
        raise StoreUnavailable(url, f"it cannot be opened ({error})") from error
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection, version_of(connection, url)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(url, error) from error
    except StoreError:
        connection.close()
        raise


def _connect(uri: str) -> sqlite3.Connection:
    # Whoever holds the connection sees to it that one thread uses it at a time.
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_KEPT
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
