"""One call on its way from the event loop to the writer thread of a SQLite file, and back.

It does not know what it does there.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, final

from casework.runtime.errors import StoreError, StoreUnavailable
from casework.runtime.parking import Parked
from casework.runtime.store.base import Append, CaseKey, Opening

T = TypeVar("T")

#: What goes on in the loop from what a call gave, before that is durable.
Early = Callable[[], object]
#: What writes, and adds who got something to a list.
Change = Callable[[sqlite3.Connection, list[CaseKey]], T]


class OutcomeUnknown(StoreUnavailable):
    """The commit failed in a way that leaves open whether it is durable."""


@final
class Call(Generic[T]):
    """An append, a change or a read, and its answer."""

    __slots__ = ("append", "change", "done", "early", "error", "opening", "passing", "read", "value")

    def __init__(
        self,
        done: Parked | None,
        *,
        append: Append | None = None,
        opening: Opening | None = None,
        change: Change[T] | None = None,
        read: Callable[[sqlite3.Connection], T] | None = None,
        passing: bool = False,
        early: Callable[[T], Early | None] | None = None,
    ) -> None:
        self.append = append
        self.opening = opening  #: which case `change` opens, if that is all it does
        self.change = change
        self.read = read
        self.passing = passing  #: its commit need not wait for the disk
        self.early = early  #: its answer does: says what goes on meanwhile, if anything
        self.done = done  #: only who made the call waits for it
        self.value: T | None = None
        self.error: Exception | None = None

    async def result(self) -> T:
        """Wait for the thread; if cancelled, the call is carried out all the same."""
        assert self.done is not None, "somebody waits for it"
        await self.done
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # T may be None itself

    def answer(self) -> None:
        """Wake who waits, in the loop."""
        if self.done is not None and not self.done.done():
            self.done.set_result(b"")

    def going(self) -> Early | None:
        """Give what goes on from its value, if anything; to be asked once, after it was carried out."""
        if self.early is None or self.error is not None:
            return None
        return self.early(self.value)  # type: ignore[arg-type]  # as above


def without(calls: list[Call[object]], culprits: list[Call[object]], error: Exception) -> list[Call[object]]:
    """Give an error to those who caused it, and everybody else back for another try."""
    for call in culprits:
        call.error = error
    return [call for call in calls if call not in culprits]


def refuse(calls: Iterable[Call[object]], error: StoreError) -> None:
    """Give all of them an error, each its own, for each is raised somewhere else."""
    for call in calls:
        call.error = copied(error)


def copied(error: StoreError) -> StoreError:
    """Give an error anew."""
    return type(error)(error.url, error.why)
