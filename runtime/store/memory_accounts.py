"""Accounts and their ledgers in the store in memory.

Each call is a synchronous core behind one checkpoint, so a draw is of all its accounts or of none.
It does not know what a case is.
"""

from collections.abc import Iterable, Sequence

import anyio.lowlevel

from casework.runtime.store import ledger_rules
from casework.runtime.store.accounts import Account, Draw, Drawn, DrawRefused, LedgerEntry, Overdrawn, Settlement


class MemoryAccounts:
    """The part of the store in memory that deals with accounts."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._ledgers: dict[str, list[LedgerEntry]] = {}
        # What each draw took of each account, and which of them are settled.
        self._draws: dict[str, dict[str, int]] = {}
        self._settled: set[str] = set()

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        await anyio.lowlevel.checkpoint()
        return self._accounts.get(name)

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name."""
        await anyio.lowlevel.checkpoint()
        return [self._accounts[name] for name in sorted(self._accounts)]

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        await anyio.lowlevel.checkpoint()
        return list(self._ledgers.get(name, ()))

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> Account:
        """Set an account's limit, which makes an account that is not there."""
        ledger_rules.assert_limit(name, limit_micros, by, at)
        await anyio.lowlevel.checkpoint()
        account = self._accounts.get(name, Account(name))
        if only_new and account.next_seq:
            return account
        return self._enter(*ledger_rules.with_limit(account, limit_micros, by=by, at=at))

    async def draw(self, draw: Draw) -> Drawn | Overdrawn | DrawRefused:
        """Reserve an amount of several accounts at once, all or none; if cancelled, nothing happened."""
        ledger_rules.assert_draw(draw)
        await anyio.lowlevel.checkpoint()
        settled = ledger_rules.verdict(draw, self._accounts, self._draws.get(draw.id, {}))
        if settled is not None:
            return settled
        self._draws[draw.id] = dict.fromkeys(draw.accounts, draw.micros)
        for name in draw.accounts:
            self._enter(*ledger_rules.with_draw(self._accounts[name], draw))
        return Drawn(draw.id)

    def _settle(self, settlements: Iterable[Settlement], epoch: int) -> None:
        for settlement in settlements:
            if settlement.draw_id in self._settled or settlement.draw_id not in self._draws:
                continue
            self._settled.add(settlement.draw_id)
            for name, drawn in self._draws[settlement.draw_id].items():
                account = self._accounts[name]
                self._enter(*ledger_rules.with_settlement(account, settlement, drawn=drawn, epoch=epoch))

    def _enter(self, account: Account, entry: LedgerEntry) -> Account:
        self._accounts[account.name] = account
        self._ledgers.setdefault(account.name, []).append(entry)
        return account
