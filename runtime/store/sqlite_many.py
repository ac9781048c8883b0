"""A statement about as many rows as there are: one statement for all costs half of one for each.

The event loop runs while a statement is at work, and the thread waits for its turn after each.
It does not know what the rows say.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

#: Rows of one statement: a few sizes, so that each is prepared once.
SIZES: Final = (128, 64, 32, 16, 8, 4, 2, 1)


class Many(NamedTuple):
    """A statement with a list of rows in it."""

    begin: str
    row: str
    end: str = ""

    def execute(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> list[sqlite3.Cursor]:
        """Carry it out, in pieces of a size each; give their cursors."""
        cursors, start = list[sqlite3.Cursor](), 0
        for size in SIZES:
            while len(rows) - start >= size:
                values = list(chain.from_iterable(rows[start : start + size]))
                text = "".join((self.begin, ", ".join([self.row] * size), self.end))
                cursors.append(connection.execute(text, values))
                start += size
        return cursors
