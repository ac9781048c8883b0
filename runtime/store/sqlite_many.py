"""A statement about as many rows as there are: one statement for all costs half of one for each.

The event loop runs while a statement is at work, and the thread waits for its turn after each. A statement that is kept
keeps the values of its last rows as well, so rows that are long go one by one.
It does not know what the rows say.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

#: Rows of one statement: a few sizes, so that each is prepared once; with twelve values each they are fewer than the
#: 999 that an older SQLite takes.
SIZES: Final = (64, 32, 16, 8, 4, 2, 1)
#: Bytes in the long column of the rows of one statement, unless it has one row.
LONG_BYTES_MAX: Final = 64 << 10


class Many(NamedTuple):
    """A statement with a list of rows in it."""

    begin: str
    row: str
    end: str = ""
    long: int | None = None  #: which column may have long values, as bytes

    def execute(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> list[sqlite3.Cursor]:
        """Carry it out, in pieces of a size each; give their cursors."""
        cursors, start = list[sqlite3.Cursor](), 0
        for size in SIZES:
            while len(rows) - start >= size:
                some = rows[start : start + size]
                if size > 1 and self._bytes(some) > LONG_BYTES_MAX:
                    break
                text = "".join((self.begin, ", ".join([self.row] * size), self.end))
                cursors.append(connection.execute(text, list(chain.from_iterable(some))))
                start += size
        return cursors

    def _bytes(self, rows: Sequence[tuple[Any, ...]]) -> int:
        return 0 if self.long is None else sum([len(row[self.long]) for row in rows])
