"""What carries the statements of a SQLite store out: on a thread of its own over a file, or where a simulation runs.

A change is one transaction, durable when it is answered; whatever is refused changed nothing.
It does not know what the statements are for.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from casework.runtime.store.base import Append, Appended, CaseKey, Conflict, Fenced, Opening
from casework.runtime.store.sqlite_call import Change, Early
from casework.runtime.store.sqlite_upkeep import SqliteStatistics

T = TypeVar("T")

#: Hears of those whose inbox grew, or who were opened.
Heard: TypeAlias = Callable[[Sequence[CaseKey]], None]


class Hand(Protocol):
    """The hand that writes and reads; its errors are those of `SqliteWriter`."""

    async def start(self) -> None:
        """Open what is written to."""
        ...

    def statistics(self) -> SqliteStatistics:
        """Count what was done."""
        ...

    async def append(self, append: Append) -> Appended | Fenced | Conflict:
        """Append to one case."""
        ...

    async def change(self, change: Change[T], opening: Opening | None = None) -> T:
        """Write; durable when it returns. One that opens a case, and does nothing else, says so."""
        ...

    async def change_early(self, change: Change[T], early: Callable[[T], Early | None]) -> T:
        """Write as `change` does, and go on from what it gives, perhaps before that is durable."""
        ...

    async def hold(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Write who holds what."""
        ...

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read what is durable."""
        ...

    async def aclose(self) -> None:
        """Let go."""
        ...
