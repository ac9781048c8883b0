"""Who waits for what all cases share, and goes on when it is there again: money of an account, something paused.

Money is free again when a call cost less than it held, or was not made. Whoever hears that an account has more left
than before looks who waits for it, and wakes those for whom it is enough, longest first, as long as it lasts; each
tries to draw again, and may wait again. What a call needs stands in the log of its case. A wake names the entry of the
ledger at which it was looked, so no case is woken twice for the same money, whichever nodes look. One that is woken may
not want the money any more: who would have been next is looked for again after a while. What was resumed goes on at
once, all of it.

So does what waits for a version of a flow that this node has: it looks when its lease begins, also anew after it was
over for a while, and once more when whoever set a case aside meanwhile has written so.

Nothing else is asked while nothing becomes free; a process that was killed before it looked is made up for by the next
that begins, or by those that hear of its end. It does not know who frees money or resumes anything, nor what a call is.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

import anyio

from casework.protocols.codec import decode_entry, encode, pack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.callhistory import CallHistory
from casework.runtime.flow.carrying import tell_carried
from casework.runtime.flow.reserving import BUDGET, budget_key
from casework.runtime.flow.telling import tell_waiting
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.accounts import Account, Settlement, parts_of
from casework.runtime.store.base import CaseRow, Delivered, Record, Store, Unavailable, Unknown
from casework.runtime.store.ledger_rules import MICROS_MAX
from casework.runtime.store.waiting import paged
from casework.runtime.switches import Switch, read_switches, switch_key
from casework.runtime.timers import Timers

#: Seconds until it is looked again who may have the money that somebody was woken for.
PROMISE_SECONDS: Final = 5.0
#: Seconds until a store that is unavailable is asked again.
RETRY_SECONDS: Final = 0.5
#: Cases of which it is known what they need; beyond that all are read anew.
KNOWN_MAX: Final = 200_000
#: Kinds of records that tell of calls that wait.
_TELLING: Final = frozenset(
    {"call", "intent", "done", "undone", "decision", "arrived", "unparked", "review", "decided"}
)

_LOGGER: Final = logging.getLogger(__name__)


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


@dataclass(slots=True)
class _Purse:
    """What is handed out of an account."""

    account: Account | None
    """As it was when the first who waits was looked at."""
    left: int = 0
    passed: bool = False
    """Whether somebody got nothing only because another one was before."""

    def __post_init__(self) -> None:
        self.left = 0 if self.account is None else self.account.left_micros


@final
class Waiters:
    """Those who wait, as one node sees to them; nobody is woken before `run`."""

    def __init__(
        self, store: Store, world: World, timers: Timers, staff: Staff, *, carries: Sequence[str] = ()
    ) -> None:
        """Prepare; `carries` are the versions of flows that this node has.

        Where no tool of a staff costs anything and nothing was ever switched, nobody is looked for that waits for that.
        """
        self._staff = staff
        self._carries = carries
        self._come = bool(carries)
        self._switched = False
        self._store = store
        self._world = world
        self._timers = timers
        self._accounts: dict[str, None] = {}
        self._resumed: dict[str, Switch] = {}
        self._lifted: dict[str, Switch] = {}
        self._all = staff.spends
        self._looking = False
        self._woken = anyio.Event()
        self._needs = dict[tuple[str, str, int], dict[str, int]]()
        self.rested: Callable[[], None] | None = None  #: to be told when there is nothing to do any more

    @property
    def busy(self) -> bool:
        """Tell whether somebody may be woken still, for money that is free by now."""
        return self._looking or self._all or self._come or bool(self._accounts or self._resumed)

    def settled(self, settlement: Settlement, drawn: tuple[Sequence[str], int] | None) -> None:
        """Hear that a settlement is durable, or may be; `drawn` is from which accounts how much was held, if known."""
        if drawn is None:
            self.look_at_all()
        elif settlement.micros < drawn[1]:
            self._freed(drawn[0])

    def look_at_all(self) -> None:
        """Hear that anything may have become free."""
        self._all = self._staff.spends or self._switched
        self._woken.set()

    def switched(self, lines: str) -> None:
        """Hear what was switched so far; what that resumes, and the staff held for paused, goes on."""
        staff = self._staff
        for switch in {switch.target: switch for switch in read_switches(lines)}.values():
            if not switch.paused:
                self._lifted[switch.target] = switch
            if switch.paused or not staff.lifted(switch.target):
                staff.turn(switch)
                if not switch.paused:
                    self._resumed[switch.target] = switch
        # Whoever was told before, by a process that ended meanwhile, may not have gone on.
        self._all = self._all or (bool(lines) and not self._switched)
        self._switched = self._switched or bool(lines)
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

    def begun(self) -> None:
        """Hear that the lease of this node begins, or does anew: meanwhile others may have parked what only it has."""
        self._come = bool(self._carries)
        self._woken.set()

    def _freed(self, accounts: Sequence[str]) -> None:
        self._accounts.update(dict.fromkeys(accounts))
        self._woken.set()

    async def _look(self) -> None:
        """See to everything that was heard so far; what cannot be read is for `verify`, and nobody waits for it."""
        accounts, resumed, every, come = self._accounts, self._resumed, self._all, self._come
        self._accounts, self._resumed, self._all, self._come, self._looking = {}, {}, False, False, True
        try:
            if come:
                await tell_carried(self._store, self._carries)
            if every:
                await self._find(accounts, resumed)
            for switch in resumed.values():
                await tell_parked(self._store, switch)
            if accounts:
                await self._give(list(accounts))
        except StoreUnavailable:
            self._accounts.update(accounts)
            self._resumed.update(resumed)
            self._all, self._come = self._all or every, self._come or come
            raise
        except StoreInvalid as error:
            _LOGGER.warning("who waits for money, for something paused or for a version is not known: %s", error)
        finally:
            self._looking = False

    async def _find(self, accounts: dict[str, None], resumed: dict[str, Switch]) -> None:
        """Add all that parked cases may wait for and have; a store without limits has no money to wait for.

        Those who wait are then looked for by what they wait for: to read all that are parked takes seconds.
        """
        there = await self._store.accounts()
        if any(each.limit_micros != MICROS_MAX for each in there):
            accounts.update(dict.fromkeys(each.name for each in there if each.left_micros > 0))
        resumed.update({name: switch for name, switch in self._lifted.items() if self._staff.lifted(name)})

    async def _give(self, accounts: Sequence[str]) -> None:
        """Wake those for whom what is left of some accounts is enough, who waits longest first."""
        keys = {budget_key(account): account for account in accounts}
        purses = dict[str, _Purse]()
        async for rows in paged(self._store, keys):
            for row in rows:
                for key in dict.fromkeys(wait.key for wait in row.waits if wait.key in keys):
                    name = keys[key]
                    if row.key.tenant != parts_of(name)[1]:
                        continue
                    if name not in purses:
                        purses[name] = _Purse(await self._store.account(name))
                    if not await self._hand_out(purses[name], row):
                        # Whoever is behind is not looked at: that costs the reading of a log each.
                        del keys[key]
        again = [name for name, purse in purses.items() if purse.passed]
        if again:
            self._timers.after(PROMISE_SECONDS, lambda: self._freed(again))

    async def _hand_out(self, purse: "_Purse", row: CaseRow) -> bool:
        """Wake a case if what is left is enough for it; False if nothing is left for anybody."""
        account = purse.account
        if account is None or purse.left <= 0:
            purse.passed = account is not None and account.left_micros > 0
            return False
        need = (await self._needs_of(row)).get(account.name, MICROS_MAX)
        if need <= purse.left:
            purse.left -= need if await self._tell(row, account) else 0
        else:
            purse.passed = purse.passed or need <= account.left_micros
        return True

    async def _needs_of(self, row: CaseRow) -> dict[str, int]:
        known = row.key.tenant, row.key.case_id, row.next_seq
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


async def tell_parked(store: Store, switch: Switch) -> int:
    """Tell the cases that wait for it that something was resumed, by whom and why, and say how many those are.

    However many tell a case, and however often, it hears it once for each time that it waited.

    Raises:
        StoreUnavailable: some may not have been told; to tell them again does no harm.
    """
    key, why = switch_key(switch.target), pack(switch.reason)

    def arrival(_row: CaseRow, item_id: str) -> Arrived:
        return Arrived(key=key, message_id=item_id, by=switch.by, value=why)

    return await tell_waiting(store, key, arrival)
