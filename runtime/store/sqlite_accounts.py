"""Accounts and their ledgers in a SQLite store, as plain functions over a connection inside a transaction.

Whoever writes is the only one who does, so a draw is decided from what it reads and then entered. What was drawn under
an id is found by its entries. Raises ValueError for values that are not of their type.
It does not know when a transaction begins or ends.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from casework.runtime.store import ledger_rules, queries
from casework.runtime.store.accounts import (
    Account,
    Draw,
    Drawn,
    DrawRefused,
    EntryKind,
    LedgerEntry,
    Overdrawn,
    Settlement,
)
from casework.runtime.store.rules import storable

_ACCOUNT: Final = "SELECT name, limit_micros, spent_micros, reserved_micros, next_seq, head FROM account"
_LEDGER: Final = """
    SELECT l.seq, l.kind, l.micros, l.at, l.draw_id, l.epoch, l."by", l.hash
    FROM ledger l JOIN account a ON a.no = l.account_no WHERE a.name = ? ORDER BY l.seq
"""
_UNDER: Final = """
    SELECT l.kind, a.name, l.micros FROM ledger l JOIN account a ON a.no = l.account_no
    WHERE l.draw_id = ? AND l.draw_id <> '' ORDER BY l.kind, a.name
"""
_KEEP: Final = """
    INSERT INTO account (name, limit_micros, spent_micros, reserved_micros, next_seq, head) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET limit_micros = excluded.limit_micros, spent_micros = excluded.spent_micros,
        reserved_micros = excluded.reserved_micros, next_seq = excluded.next_seq, head = excluded.head
"""
_ENTER: Final = "INSERT INTO ledger SELECT no, ?, ?, ?, ?, ?, ?, ?, ? FROM account WHERE name = ?"


def account(connection: sqlite3.Connection, name: str) -> Account | None:
    """Give one account."""
    if not storable(name):
        return None
    found = connection.execute(f"{_ACCOUNT} WHERE name = ?", (name,)).fetchone()
    return None if found is None else _account(found)


def accounts(connection: sqlite3.Connection) -> Sequence[Account]:
    """Give all accounts, ordered by name."""
    return [_listed(row) for row in connection.execute(f"{_ACCOUNT} ORDER BY name").fetchall()]


def ledger(connection: sqlite3.Connection, name: str) -> Sequence[LedgerEntry]:
    """Give an account's entries, in order."""
    if not storable(name):
        return []
    rows = connection.execute(_LEDGER, (name,)).fetchall()
    return [LedgerEntry(seq, EntryKind(str(kind)), *rest) for seq, kind, *rest in rows]


def set_limit(
    connection: sqlite3.Connection, name: str, limit_micros: int, *, by: str, at: int, only_new: bool
) -> Account:
    """Set an account's limit, which makes an account that is not there."""
    there = account(connection, name) or Account(name)
    if only_new and there.next_seq:
        return there
    return _enter(connection, *ledger_rules.with_limit(there, limit_micros, by=by, at=at))


def draw(connection: sqlite3.Connection, draw: Draw) -> Drawn | Overdrawn | DrawRefused:
    """Reserve an amount of several accounts at once, all or none."""
    there = {name: found for name in draw.accounts if (found := account(connection, name)) is not None}
    drawn, _ = _under(connection, draw.id)
    settled = ledger_rules.verdict(draw, there, drawn)
    if settled is not None:
        return settled
    for name in draw.accounts:
        _enter(connection, *ledger_rules.with_draw(there[name], draw))
    return Drawn(draw.id)


def settle(connection: sqlite3.Connection, settlements: Iterable[Settlement], epoch: int) -> None:
    """Enter what calls did cost; one whose draw is not here, or is settled, changes nothing."""
    for settlement in settlements:
        drawn, settled = _under(connection, settlement.draw_id)
        if settled:
            continue
        for name, micros in drawn.items():
            there = account(connection, name)
            assert there is not None, "who has entries has an account"
            _enter(connection, *ledger_rules.with_settlement(there, settlement, drawn=micros, epoch=epoch))


def _under(connection: sqlite3.Connection, draw_id: str) -> tuple[dict[str, int], bool]:
    """Give what was drawn under an id, by account, and whether it is settled."""
    drawn: dict[str, int] = {}
    settled = False
    for kind, name, micros in connection.execute(_UNDER, (draw_id,)).fetchall():
        if kind == EntryKind.DRAW:
            drawn[name] = micros
        else:
            settled = True
    return drawn, settled


def _enter(connection: sqlite3.Connection, after: Account, entry: LedgerEntry) -> Account:
    spent, reserved = after.spent_micros, after.reserved_micros
    connection.execute(_KEEP, (after.name, after.limit_micros, spent, reserved, after.next_seq, after.head))
    values = (entry.seq, entry.kind, entry.micros, entry.at, entry.draw_id, entry.epoch, entry.by, entry.hash)
    connection.execute(_ENTER, (*values, after.name))
    return after


def _listed(row: tuple[object, ...]) -> Account:
    """Give an account, as far as it can be read: one that is damaged must not hide the others."""
    try:
        return _account(row)
    except ValueError as error:
        return Account(str(row[0]), broken=str(error))


def _account(row: tuple[object, ...]) -> Account:
    name, limit_micros, spent, reserved, next_seq, head = row
    try:
        return Account(
            name=str(name),
            limit_micros=queries.integer(limit_micros),
            spent_micros=queries.integer(spent),
            reserved_micros=queries.integer(reserved),
            next_seq=queries.integer(next_seq),
            head=queries.octets(head),
        )
    except ValueError as error:
        raise ValueError(f"account {name}: {error}") from error
