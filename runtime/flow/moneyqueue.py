"""Who waits for money, and goes on when some of it is free again: a call cost less than it held, or was not made.

Whoever hears that an account has more left than before looks who waits for it, and wakes those for whom it is enough,
longest first, as long as it lasts; each tries to draw again, and may wait again. What a call needs stands in the log of
its case. A wake names the entry of the ledger at which it was looked, so no case is woken twice for the same money,
whichever nodes look. One that is woken may not want the money any more: who would have been next is looked for again
after a while. Nothing is asked while nothing becomes free; a process that was killed before it looked is made up for
by the next that begins, or by those that hear of its end.
It does not know who frees money, nor what a call is.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

import anyio

from casework.protocols.codec import decode_entry, encode
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.callhistory import CallHistory
from casework.runtime.flow.reserving import BUDGET, budget_key
from casework.runtime.seams import World
from casework.runtime.store.accounts import Account, Settlement, parts_of
from casework.runtime.store.base import CaseRow, CaseStatus, Delivered, Record, Store, Unavailable, Unknown
from casework.runtime.store.ledger_rules import MICROS_MAX
from casework.runtime.timers import Timers

#: Seconds until it is looked again who may have the money that somebody was woken for.
PROMISE_SECONDS: Final = 5.0
#: Seconds until a store that is unavailable is asked again.
RETRY_SECONDS: Final = 0.5
#: Cases of which it is known what they need; beyond that all are read anew.
KNOWN_MAX: Final = 10_000
#: Kinds of records that tell of calls that wait.
_TELLING: Final = frozenset(
    {"call", "intent", "done", "undone", "decision", "arrived", "unparked", "review", "decided"}
)


def needs_of(records: Iterable[Record]) -> dict[str, int]:
    """Say what a case waits for, in micros by account: the least that one of its calls needs, if several wait."""
    history, needs = CallHistory(), dict[str, int]()
    for record in records:
        if record.kind in _TELLING and record.frame:
            history.remember(record.step_id, decode_entry(record.frame))
    for step_id, decision in history.short.items():
        kind, _, account = decision.subject.partition(":")
        if kind == BUDGET:
            needs[account] = min(needs.get(account, MICROS_MAX), history.micros(step_id))
    return needs


@final
class MoneyQueue:
    """Those who wait for money, as one node sees to them; nothing is heard before `run`."""

    def __init__(self, store: Store, world: World, timers: Timers, *, spends: bool) -> None:
        """Prepare; where nothing `spends`, nobody is looked for."""
        self._spends = spends
        self._store = store
        self._world = world
        self._timers = timers
        self._accounts: dict[str, None] = {}
        self._all = spends
        self._looking = False
        self._woken = anyio.Event()
        self._needs = dict[tuple[str, str, int], dict[str, int]]()
        self.rested: Callable[[], None] | None = None  #: to be told when there is nothing to do any more

    @property
    def busy(self) -> bool:
        """Tell whether somebody may be woken still, for money that is free by now."""
        return self._looking or self._all or bool(self._accounts)

    def settled(self, settlement: Settlement, drawn: tuple[Sequence[str], int] | None) -> None:
        """Hear that a settlement is durable, or may be; `drawn` is from which accounts how much was held, if known."""
        if drawn is None:
            self.look_at_all()
        elif settlement.micros < drawn[1]:
            self._freed(drawn[0])

    def look_at_all(self) -> None:
        """Hear that anything may have become free."""
        self._all = self._spends
        self._woken.set()

    async def run(self) -> None:
        """Wake whoever is to be woken, until cancelled; then some may not have been, and the next one sees to it."""
        while True:
            try:
                while self.busy:
                    await self._look()
                if self.rested is not None:
                    self.rested()
                await self._woken.wait()
                self._woken = anyio.Event()
            except StoreUnavailable:
                await self._world.clock.sleep(RETRY_SECONDS)

    def _freed(self, accounts: Sequence[str]) -> None:
        self._accounts.update(dict.fromkeys(accounts))
        self._woken.set()

    async def _look(self) -> None:
        """See to everything that was heard so far; what cannot be read is for `verify`, and nobody waits for it."""
        accounts, every = self._accounts, self._all
        self._accounts, self._all, self._looking = {}, False, True
        try:
            try:
                if every:
                    accounts = dict.fromkeys(await self._awaited())
                if accounts:
                    await self._give(list(accounts))
            except StoreInvalid:
                pass
        except BaseException:
            self._accounts.update(accounts)
            self._all = self._all or every
            raise
        finally:
            self._looking = False

    async def _awaited(self) -> Iterable[str]:
        """Give the accounts that parked cases wait for; a store without limits has none."""
        limited = any(account.limit_micros < MICROS_MAX for account in await self._store.accounts())
        rows = await self._store.cases(status=CaseStatus.PARKED) if limited else ()
        return (key.partition(":")[2] for row in rows for key in _keys(row))

    async def _give(self, accounts: Sequence[str]) -> None:
        """Wake those for whom what is left of some accounts is enough."""
        rows = await self._store.awaiting([budget_key(account) for account in accounts])
        for name in accounts if rows else ():
            waiting = [row for row in rows if budget_key(name) in _keys(row) and row.key.tenant == parts_of(name)[1]]
            account = await self._store.account(name) if waiting else None
            if account is not None:
                await self._hand_out(account, sorted(waiting, key=lambda row: (row.changed_at, row.key)))

    async def _hand_out(self, account: Account, rows: Iterable[CaseRow]) -> None:
        left, passed = account.left_micros, False
        for row in rows:
            need = (await self._needs_of(row)).get(account.name, MICROS_MAX)
            if need <= left:
                left -= need if await self._tell(row, account) else 0
            else:
                passed = passed or need <= account.left_micros
        if passed:
            self._timers.after(PROMISE_SECONDS, lambda: self._freed((account.name,)))

    async def _needs_of(self, row: CaseRow) -> dict[str, int]:
        known = (*row.key, row.next_seq)
        if known not in self._needs:
            if len(self._needs) >= KNOWN_MAX:
                self._needs.clear()
            try:
                self._needs[known] = needs_of(await self._store.records(row.key, row.chapter))
            except (ProtocolError, StoreInvalid):
                self._needs[known] = {}
        return self._needs[known]

    async def _tell(self, row: CaseRow, account: Account) -> bool:
        """Wake a case; False if it was for the same money before."""
        item_id = f"freed:{account.name}:{account.next_seq}"
        frame = encode(Arrived(key=budget_key(account.name), message_id=item_id, by=f"ledger:{account.next_seq}"))
        told = await self._store.deliver(*row.key, item_id, frame)
        if isinstance(told, Unavailable | Unknown):
            raise StoreUnavailable(self._store.url, told.why)
        return isinstance(told, Delivered)


def _keys(row: CaseRow) -> set[str]:
    return {wait.key for wait in row.waits if wait.key.startswith(f"{BUDGET}:")}
