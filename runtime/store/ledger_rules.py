"""What every store decides the same way of accounts: which draw stands, and what an entry makes of its account.

Pure functions over facts, as in `rules`: each store fetches the facts, asks here, and writes what it is given. An
entry's hash covers the hash before it and all its fields, each with its length, as the log of a case does.
It does not know where accounts are kept.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from casework.protocols.codec import HASH_BYTES
from casework.runtime.store.accounts import (
    ACCOUNT_CHARS_MAX,
    ACCOUNT_KINDS,
    Account,
    Draw,
    Drawn,
    DrawRefused,
    EntryKind,
    LedgerEntry,
    Overdrawn,
    Settlement,
    account_name,
    parts_of,
)
from casework.runtime.store.rules import INTEGER_MAX, storable

#: What stands before the first entry of every ledger.
GENESIS: Final = bytes(HASH_BYTES)
#: An amount is at most this, a thousand millions of a currency: no sum of calls comes near what stores count to.
MICROS_MAX: Final = 10**15
#: Characters of a name that are repeated to whoever gave a wrong one.
SHOWN_CHARS_MAX: Final = 100
#: Accounts of one draw: tenant, project, user, agent, and room for as many again.
ACCOUNTS_MAX: Final = 8


def account_fault(account: str) -> str:
    """Say why nobody can set a limit under that name, or nothing; calls draw from none but such accounts."""
    kind, tenant, name = parts_of(account)
    named = kind in ACCOUNT_KINDS and bool(tenant) and (kind == "tenant") is not bool(name)
    kept = len(account) <= ACCOUNT_CHARS_MAX and storable(account)
    if named and kept and account == account_name(kind, tenant, name):
        return ""
    short = account if len(account) <= SHOWN_CHARS_MAX else f"{account[:SHOWN_CHARS_MAX]}..."
    return f"{short!r} is no budget: name one like tenant/default or agent/default/clerk"


def limit_fault(name: str, limit_micros: int, by: str, at: int) -> str:
    """Say why something is no limit, or nothing."""
    checks = (
        (bool(name), "an account has a name"),
        (storable(name + by), "a name is a text"),
        (0 <= limit_micros <= MICROS_MAX, "a limit is an amount"),
        (bool(by.strip()), "somebody sets a limit"),
        (0 <= at <= INTEGER_MAX, "the moment of an entry is not before the epoch"),
    )
    return next((why for fine, why in checks if not fine), "")


def assert_limit(name: str, limit_micros: int, by: str, at: int) -> None:
    """Assert that a limit is what its maker promised."""
    fault = limit_fault(name, limit_micros, by, at)
    assert not fault, fault


def assert_draw(draw: Draw) -> None:
    """Assert that a draw is what its maker promised."""
    assert draw.id, "a draw has an id"
    assert storable(draw.id), "an id is a text"
    assert 0 < draw.micros <= MICROS_MAX, "a draw is of more than nothing"
    assert 0 < len(draw.accounts) <= ACCOUNTS_MAX, "a draw is of some accounts"
    assert len(set(draw.accounts)) == len(draw.accounts), "a draw is of different accounts"
    assert 0 <= draw.at <= INTEGER_MAX, "the moment of an entry is not before the epoch"


def assert_settlement(settlement: Settlement) -> None:
    """Assert that a settlement is what its maker promised."""
    assert 0 <= settlement.micros <= MICROS_MAX, "a settlement is an amount"
    assert 0 <= settlement.at <= INTEGER_MAX, "the moment of an entry is not before the epoch"


def verdict(
    draw: Draw, accounts: Mapping[str, Account], before: Mapping[str, int]
) -> Drawn | Overdrawn | DrawRefused | None:
    """Say what becomes of a draw without changing anything, or None where it is to be entered in all its accounts.

    `before` has what was drawn under this id before, by account.
    """
    if before:
        same = before == dict.fromkeys(draw.accounts, draw.micros)
        return Drawn(draw.id) if same else DrawRefused(draw.id)
    for name in draw.accounts:
        left = accounts[name].left_micros if name in accounts else 0
        if draw.micros > left:
            return Overdrawn(name, left)
    return None


def with_limit(account: Account, limit_micros: int, *, by: str, at: int) -> tuple[Account, LedgerEntry]:
    """Enter a limit; gives the account as it stands then, and the entry."""
    entry = _chained(account, LedgerEntry(account.next_seq, EntryKind.LIMIT, limit_micros, at, by=by))
    return _after(account, entry, limit_micros=limit_micros), entry


def with_draw(account: Account, draw: Draw) -> tuple[Account, LedgerEntry]:
    """Enter a draw that stands."""
    entry = _chained(account, LedgerEntry(account.next_seq, EntryKind.DRAW, draw.micros, draw.at, draw.id, draw.epoch))
    return _after(account, entry, reserved_micros=account.reserved_micros + draw.micros), entry


def with_settlement(account: Account, settlement: Settlement, *, drawn: int, epoch: int) -> tuple[Account, LedgerEntry]:
    """Enter what the call of a draw of `drawn` micros did cost, whether that is less or more."""
    micros, at = settlement.micros, settlement.at
    entry = _chained(account, LedgerEntry(account.next_seq, EntryKind.SETTLE, micros, at, settlement.draw_id, epoch))
    spent, reserved = account.spent_micros + micros, account.reserved_micros - drawn
    return _after(account, entry, spent_micros=spent, reserved_micros=reserved), entry


def chained(previous: bytes, name: str, entry: LedgerEntry) -> bytes:
    """Give the hash of an entry (its own `hash` is ignored) of an account after `previous`."""
    parts = (
        previous or GENESIS,
        name.encode(),
        entry.seq.to_bytes(8),
        entry.kind.encode(),
        entry.micros.to_bytes(8),
        entry.at.to_bytes(8),
        entry.draw_id.encode(),
        entry.epoch.to_bytes(8),
        entry.by.encode(),
    )
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(4))
        hasher.update(part)
    return hasher.digest()


def _chained(account: Account, entry: LedgerEntry) -> LedgerEntry:
    return msgspec.structs.replace(entry, hash=chained(account.head, account.name, entry))


def _after(account: Account, entry: LedgerEntry, **changed: int) -> Account:
    return msgspec.structs.replace(account, next_seq=entry.seq + 1, head=entry.hash, **changed)
