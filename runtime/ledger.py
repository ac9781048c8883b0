"""Reads an account's ledger: what its entries come to, which draws are open, and whether it is as it was written.

A pure fold that needs no store, so what a store says of the account can be held against it.
It does not know who drew, nor what for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from casework.runtime.store.accounts import Account, EntryKind, LedgerEntry
from casework.runtime.store.ledger_rules import GENESIS, chained

#: What hashing raises for a value of another type or range: what is kept in a file can be anything.
_NEVER_WRITTEN: Final = (AttributeError, OverflowError, TypeError, UnicodeEncodeError)


@dataclass(slots=True)
class Tally:
    """What the entries of a ledger come to, in micros."""

    limit: int = 0
    spent: int = 0  #: by calls that are settled
    open: dict[str, int] = field(default_factory=dict[str, int])  #: what each draw holds that is not settled, by its id
    settled: dict[str, int] = field(default_factory=dict[str, int])  #: what each other call did cost, by its draw

    @property
    def reserved(self) -> int:
        """What open draws hold."""
        return sum(self.open.values())

    @property
    def left(self) -> int:
        """What can still be drawn; below 0 where more was spent, or the limit was lowered."""
        return self.limit - self.spent - self.reserved

    def enter(self, entry: LedgerEntry) -> str:
        """Add an entry; gives why no store can have written it here, or nothing."""
        drawn = entry.draw_id in self.open or entry.draw_id in self.settled
        match entry.kind:
            case EntryKind.LIMIT:
                self.limit = entry.micros
            case EntryKind.DRAW if drawn:
                return "it draws under an id that was drawn before"
            case EntryKind.DRAW if entry.micros > self.left:
                return f"it draws {entry.micros} micros where {self.left} were left"
            case EntryKind.DRAW:
                self.open[entry.draw_id] = entry.micros
            case EntryKind.SETTLE if entry.draw_id not in self.open:
                return "it settles a draw that is not open"
            case EntryKind.SETTLE:
                del self.open[entry.draw_id]
                self.settled[entry.draw_id] = entry.micros
                self.spent += entry.micros
        return ""


def tally(entries: Iterable[LedgerEntry]) -> Tally:
    """Add up the entries of a ledger."""
    total = Tally()
    for entry in entries:
        total.enter(entry)
    return total


def broken_at(account: Account, entries: Sequence[LedgerEntry]) -> tuple[int, str] | None:
    """Find the first place where a ledger is not what was written, as (seq, why); None if it verifies."""
    head, total = GENESIS, Tally()
    for expected, entry in enumerate(entries):
        if entry.seq != expected:
            return expected, f"entry {expected} is missing"
        try:
            head = chained(head, account.name, entry)
        except _NEVER_WRITTEN:
            return expected, "the entry holds values that were never written"
        if head != entry.hash:
            return expected, "the entry or one before it was changed"
        why = total.enter(entry)
        if why:
            return expected, why
    last = len(entries) - 1
    if len(entries) != account.next_seq:
        return last + 1, f"the ledger ends here, but the account says it has {account.next_seq} entries"
    if head != (account.head or GENESIS):
        return last, "the account's head is not the hash of its last entry"
    said = (account.limit_micros, account.spent_micros, account.reserved_micros)
    if said != (total.limit, total.spent, total.reserved):
        return last, f"the account says {said} of limit, spent and reserved, and its entries come to something else"
    return None
