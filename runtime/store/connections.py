"""Opens SQLite files, and tells the errors of SQLite apart.

The file itself is never opened by anything but SQLite: closing a second descriptor of it would drop the process's
locks. Everything about the file is asked first through a read-only connection, so a file that is refused is not
touched. It does not know what is in the tables.
"""

import enum
import os
import os.path
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.store.migrations import SCHEMA_VERSION, migrate, version_of
from casework.runtime.store.sqlite_shape import refuse_triggers

#: How long a statement waits for another connection's lock.
BUSY_MILLISECONDS: Final = 5_000
#: How long cutting off the log waits for readers while others wait for the writer.
TRUNCATE_MILLISECONDS: Final = 50
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
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: What is to be done about a file of which nothing can be read. A log that is left there would be read into the backup.
RESTORE: Final = (
    "move it away with its `-wal` and `-shm`, restore the last backup in its place and accept that"
    " (`casework store accept`)"
)
#: What is to be done about a damaged file.
REPAIR: Final = f"{RESTORE}; `casework verify` says of a file that can still be read what is wrong with it"
#: What is to be done about a file of which a part stands in its log yet, where nobody can write.
SEALED: Final = (
    "nobody closed it well, and it is where one can only read; copy it and its `-wal` to where one can write"
)


def _connected(uri: str) -> sqlite3.Connection:
    # Whoever holds the connection sees to it that one thread uses it at a time.
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_KEPT
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _sealed(path: str) -> bool:
    try:
        return bool(os.statvfs(os.path.dirname(os.path.abspath(path))).f_flag & os.ST_RDONLY)
    except OSError:
        return False


@dataclass(slots=True, frozen=True, eq=False)
class Binding:
    """How a store reaches SQLite and asks about its files; a test may put another file system underneath."""

    connect: Callable[[str], sqlite3.Connection] = _connected
    """Open the file that a URI names, without a transaction of its own making."""
    exists: Callable[[str], bool] = os.path.exists
    size: Callable[[str], int] = _size
    """Give the bytes of a file, 0 for one that is not there; never opens it."""
    sealed: Callable[[str], bool] = _sealed
    """Say whether a file is on a file system that is mounted to be read only, so that nobody can write there."""
    version: tuple[int, ...] = sqlite3.sqlite_version_info
    """The version of SQLite itself."""


#: SQLite as this Python has it, on the machine's files.
MACHINE: Final = Binding()


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


def store_error(url: str, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """Give the store's error for one that came while reading."""
    # SQLite names what it found in a damaged file, and the binding cannot read that.
    code = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else primary_code(error)
    if code in _DAMAGED:
        if code == sqlite3.SQLITE_NOTADB:
            return StoreInvalid(url, f"the file is damaged, or it never was a store ({error}); {RESTORE}")
        return StoreInvalid(url, f"the file is damaged ({error}); {REPAIR}")
    if code in _PASSING | _BROKEN:
        return StoreUnavailable(url, f"it cannot be read just now ({error})")
    return StoreInvalid(url, f"its tables or values are not ours ({error})")


def broken_error(url: str, error: Exception) -> StoreError:
    """Give the error with which everything is refused from now on, for what showed that a file is not to be trusted."""
    if isinstance(error, sqlite3.Error) and primary_code(error) in _DAMAGED:
        return store_error(url, error)
    return StoreUnavailable(url, f"its disk failed ({error}); stop, look at the disk, and start again")


def connect_reader(path: str, url: str) -> sqlite3.Connection:
    """Open a file that can only be read, and check that it is ours.

    Raises:
        StoreInvalid: there is no such file, or it is no store.
        StoreNewer: a newer version wrote it.
        StoreUnavailable: it cannot be read just now.
    """
    connection, version = _read_only(path, url, MACHINE)
    if version < SCHEMA_VERSION:
        connection.close()
        old = f"it is of version {version}; a Runtime or `casework run` brings it to {SCHEMA_VERSION}"
        why = old if version else "nothing was stored yet; `casework run` begins it"
        raise StoreInvalid(url, why)
    show_damage(connection)
    return connection


def show_damage(connection: sqlite3.Connection) -> None:
    """Have a text that is none be read as far as it goes, a little slower: what was damaged must not hide the rest."""
    connection.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def connect_owner(path: str, url: str, binding: Binding = MACHINE) -> sqlite3.Connection:
    """Open a file for its one writer, and create or migrate it; the caller owns the file's lock.

    Raises: as `connect_reader`, but a missing file is made.
    """
    if binding.exists(path):
        _look(path, url, binding)
    try:
        connection = _connect(path, "rwc", binding)
    except sqlite3.Error as error:
        raise opening_error(url, error) from error
    try:
        version_of(connection, url)
        refuse_triggers(connection, url)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailable(url, "its file system has no shared memory; keep it on a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")
        # The writer does it between commits, where nobody waits for it and its errors are heard.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # After a failed sync the system may show us a log that never reached the disk, and will not write it again.
        # Written back into the file, what we see is what is there, before anything new rests on it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        migrate(connection, url)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        close(connection)
        raise opening_error(url, error) from error
    except StoreError:
        close(connection)
        raise
    return connection


def truncate(connection: sqlite3.Connection) -> bool:
    """Write the log back into the file and cut it off; False where a reader is in the way."""
    connection.execute(f"PRAGMA busy_timeout = {TRUNCATE_MILLISECONDS}")
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    return not busy


def write_back(connection: sqlite3.Connection) -> None:
    """Write as much of the log back into the file as readers allow, without waiting for them."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _look(path: str, url: str, binding: Binding) -> None:
    """Refuse a file that is not ours, without touching it; raises as `connect_reader`."""
    try:
        close(_read_only(path, url, binding)[0])
    except StoreUnavailable as error:
        cause = error.__cause__
        # Whoever made the file was stopped halfway, and only a connection that writes may take that back: the next
        # one does, and then looks again.
        if not isinstance(cause, sqlite3.Error) or primary_code(cause) != sqlite3.SQLITE_READONLY:
            raise


def _read_only(path: str, url: str, binding: Binding) -> tuple[sqlite3.Connection, int]:
    if not binding.exists(path):
        raise StoreInvalid(url, "there is no such file; name another store, or have `casework run` make this one")
    sealed = binding.sealed(path)
    # Readers share memory in a file beside it, which cannot be made there, nor is it needed where nobody writes.
    mode = "ro&immutable=1" if sealed and not binding.size(f"{path}-wal") else "ro"
    try:
        connection = _connect(path, mode, binding)
    except sqlite3.Error as error:
        raise StoreUnavailable(url, f"it cannot be opened ({error})") from error
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection, version_of(connection, url)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        close(connection)
        if sealed and isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_CANTOPEN:
            raise StoreUnavailable(url, SEALED) from error
        raise store_error(url, error) from error
    except StoreError:
        close(connection)
        raise


def _connect(path: str, mode: str, binding: Binding) -> sqlite3.Connection:
    connection = binding.connect(f"file:{quote(os.path.abspath(path))}?mode={mode}")
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.Error:
        close(connection)
        raise
    return connection


def close(connection: sqlite3.Connection) -> None:
    """Close a connection, whatever its disk says to that."""
    # A disk that failed may fail again; the first error is the one to tell.
    with suppress(sqlite3.Error):
        connection.close()


def opening_error(url: str, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """Give the store's error for one that came while it was opened for writing."""
    if isinstance(error, UnicodeDecodeError) or primary_code(error) in _DAMAGED:
        return store_error(url, error)
    return StoreUnavailable(url, f"it cannot be opened for writing ({error})")
