"""What a SQLite file needs between commits: its write-ahead log written back and kept short, its head remembered.

SQLite would write the log back inside a commit, where somebody waits for it, and would swallow the disk's errors.
Here it happens after the waiters were answered. Writing back lets the next commit begin the log anew, unless a reader
still looks at it; then the log grows, and the file keeps its size until it is cut off. That is done in an idle
moment, or at last in a busy one.
It does not know what is written.
"""

import sqlite3
from contextlib import suppress
from typing import Final, NamedTuple, final

from casework.runtime.store.connections import Binding, Fault, fault_of, truncate, write_back
from casework.runtime.store.sqlite_generation import Keeper

#: Rows changed, or bytes by which the log grew, before it is written back: about a thousand pages.
WRITE_BACK_ROWS: Final = 1_000
WRITE_BACK_BYTES: Final = 4 << 20
#: Bytes beyond which the log's file is cut off in the next idle moment.
LOG_BYTES_MAX: Final = 64 << 20
#: Times that size beyond which no idle moment is waited for.
IMPATIENCE: Final = 4
#: Seconds until a log that a reader kept is looked at again, though nothing was written.
AGAIN_SECONDS: Final = 1.0
#: Commits after which the head is written down again: a sync of its own, so not often.
REMEMBER_COMMITS: Final = 512


class SqliteStatistics(NamedTuple):
    """What the writer of a SQLite file has done since it was opened."""

    commits: int  #: transactions
    log_bytes: int  #: size of the write-ahead log's file after the last commit
    log_bytes_max: int  #: size beyond which it is cut off when nobody is in the way
    written_back: int  #: times that the log was written back
    cut_off: int  #: times that its file was cut off
    waited: int  #: transactions that waited for the disk


@final
class Upkeep:
    """The upkeep of one open file, on the writer's thread."""

    def __init__(self, path: str, binding: Binding) -> None:
        """Prepare; `begin` gives it the connection."""
        self._log = f"{path}-wal"
        self._size_of = binding.size
        self._connection: sqlite3.Connection
        self._keeper: Keeper
        self._commits = 0
        self._waited = 0
        self._remembered = 0
        self._log_bytes = 0
        self._written_back = 0
        self._cut_off = 0
        self._hindered = self._measured = False
        # Where rows and the log's size stood when the log was last written back.
        self._rows_then = 0
        self._bytes_then = 0

    def statistics(self) -> SqliteStatistics:
        """Count what was done; may be called from any thread."""
        log = self._log_bytes, LOG_BYTES_MAX
        return SqliteStatistics(self._commits, *log, self._written_back, self._cut_off, self._waited)

    @property
    def again_seconds(self) -> float | None:
        """Say how long the writer may sleep without looking at the log again; None for ever."""
        return AGAIN_SECONDS if self._log_bytes > LOG_BYTES_MAX else None

    def begin(self, connection: sqlite3.Connection, keeper: Keeper) -> None:
        """Take over a connection that was just opened; raises sqlite3.Error."""
        self._connection = connection
        self._keeper = keeper
        keeper.remember()
        self._rows_then = connection.total_changes

    def committed(self, *, waited: bool) -> None:
        """Count a commit, and whether it waited for the disk; those who wait for it are woken after this.

        The size is asked for here: once they are awake, whatever gives the interpreter away has the thread wait for the
        loop, and the loop for the thread again.
        """
        self._commits += 1
        self._waited += waited
        self._measure()

    def look(self, *, idle: bool, rested: bool = False) -> None:
        """Do what is due now; `idle` tells that nobody waits for the writer, `rested` that nobody did for a while.

        Raises:
            sqlite3.Error: the file can no longer be trusted.
        """
        # A reader in the way costs a moment of waiting: not again after every commit.
        self._hindered = self._hindered and not rested
        try:
            self._look(idle=idle)
        except sqlite3.Error as error:
            # A full disk or a lock only leaves the log longer than it should be.
            if fault_of(error) is not Fault.PASSING:
                raise

    def end(self) -> None:
        """Write the log back and cut it off, and remember the head; raises sqlite3.Error."""
        self._keeper.remember()
        truncate(self._connection)

    def _look(self, *, idle: bool) -> None:
        if not self._measured:
            # What is no commit of a call grows the log as well, as giving free pages back does.
            self._measure()
        size, self._measured = self._log_bytes, False
        due = self._connection.total_changes - self._rows_then >= WRITE_BACK_ROWS or (
            size - self._bytes_then >= WRITE_BACK_BYTES
        )
        calm = idle and (due or not self._hindered)
        if size > LOG_BYTES_MAX and (calm or (due and size > IMPATIENCE * LOG_BYTES_MAX)):
            self._hindered = not truncate(self._connection)
            self._cut_off += not self._hindered
            self._reckon()
        elif due:
            write_back(self._connection)
            self._reckon()
        if self._commits - self._remembered >= REMEMBER_COMMITS:
            self._remembered = self._commits
            self._keeper.remember()

    def _reckon(self) -> None:
        self._written_back += 1
        self._measure()
        self._rows_then, self._bytes_then = self._connection.total_changes, self._log_bytes

    def _measure(self) -> None:
        """Ask for the size of the log; while the disk does not tell, it counts as it was."""
        self._measured = True
        with suppress(OSError):
            self._log_bytes = self._size_of(self._log)
