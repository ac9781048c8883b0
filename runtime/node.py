"""The node: claims cases that have something to do, keeps them in memory while they do, and lets them go.

It sleeps until there is something: a new case or message (the store says so), the next timer (the store knows when),
a case that ended. A parked case is kept for a moment, since its next message is often near, and is then released;
an idle case costs no job and no memory. Everything that a case does is the case's own business.
It does not know what a flow is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import anyio
from msgspec.structs import replace

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.alarm import RETRY_SECONDS, Alarm
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.casecell import CaseCell
from casework.runtime.flow.cellref import cell_address
from casework.runtime.flow.household import Host, Household
from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.poison import Poison
from casework.runtime.renewal import Renewal
from casework.runtime.seams import MICROS
from casework.runtime.setaside import set_aside
from casework.runtime.store.base import CaseExists, CaseKey, CaseOpened, DeliverResult, Opening, OpenResult, Unknown
from casework.runtime.store.claims import NOBODY, Claimed, opened_by
from casework.runtime.store.damage import damage
from casework.runtime.store.generation import HALTED
from casework.runtime.store.rules import ALONE_MICROS, SUSPECT_CLAIMS, SUSPECT_MICROS
from casework.runtime.store.taking import Delivery
from casework.runtime.supervision import Restart
from casework.runtime.watchers import Watchers

#: Cases that work at the same time; more wait in the store.
ACTIVE_MAX: Final = 256
#: Beyond them, cases of tenants of which nothing works here while others fill all places: one of each.
SPARE_MAX: Final = 64
#: Parked cases that are kept in memory for their next message.
LINGER_MAX: Final = 512
#: Seconds that a parked case is kept.
LINGER_SECONDS: Final = 1.0
#: Messages that may wait for one case.
CASE_MAILBOX_MAX: Final = 20_000


class NodeStatistics(NamedTuple):
    """What a node holds and has seen."""

    active: int  #: cases that work now
    parked: int  #: parked cases still in memory
    claimed: int  #: claims since the node began
    ended: int  #: cells that ended since then, for whatever reason


class Node:
    """One incarnation of a process that works on cases."""

    def __init__(self, household: Callable[[Host], Household], system: ActorSystem) -> None:
        self._house = household(self)
        self.waiters = self._house.waiters  #: cases that wait for what all share
        self._lease, store, world = self._house.lease, self._house.store, self._house.world
        self._system = system
        self.name = world.ids.new()
        self._renewal = Renewal(self.name, self._lease, store, world, self._house.carries, self.waiters.begun)
        self._cells: dict[CaseKey, CaseCell] = {}
        self._resting: dict[CaseKey, CaseCell] = {}  # those that rest and stand in nobody's way, longest first
        self._starting: set[CaseKey] = set()
        self._wake = anyio.Event()
        self.watchers = Watchers(system.new_event)  #: who waits for cases to rest
        self._looking = True
        self._backlog = False  # cases that nobody has wait for room, so none that came later is taken before them
        self._claiming = 0  # claims under way, and deliveries that may bring their case along
        self._doubts = 0  # of these, those that were not answered: they may hold cases that it does not know of
        # What it holds, as the store said when it was in doubt, and has cells of: those may be from before.
        self._stale: set[CaseKey] = set()
        self._early: set[CaseKey] = set()  # cases that are being taken, or may be, and got something meanwhile
        self._alarm = Alarm(self._house.timers, self._look)
        self._claimed = self._ended = 0
        self._looked = self._draining = self._watching = False  # the last: a suspect is alone here, others must wait
        self._poison = Poison()
        self._lost: list[CaseKey] = []
        # Why nothing may run on this store before a person accepts it; None until it was asked, and asked while it is.
        self._halted: str | None = None
        self._expected: set[CaseKey] = set()  # got something no cell heard, until the next claim looks for them
        self._sought: set[CaseKey] = set()  # those that it is looking for

    async def run(self) -> None:
        """Work until cancelled; what was claimed stays claimed, `drain` gives it back."""
        house = self._house
        house.store.on_arrival(self._arrivals)
        self.waiters.rested = self.watchers.notify
        await self._renewal.once()
        # What a node held that was killed is free when its lease is over, and nobody says so.
        house.timers.after(LEASE_SECONDS, self._look)
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(house.timers.run)
            jobs.start_soon(self._renewal.run, house.timers)
            jobs.start_soon(self.waiters.run)
            while True:
                try:
                    await self._claim()
                    self._looking = False
                except StoreUnavailable:
                    house.timers.after(RETRY_SECONDS, self._look)
                self.watchers.notify()
                await self._wake.wait()
                self._wake = anyio.Event()
                self._looking = True

    @property
    def idle(self) -> bool:
        """Tell whether no case can go on without something from outside."""
        coming = self._starting or self._claiming or self._doubts or self._working() or self.waiters.busy
        return not (self._looking or self._watching or self._wake.is_set() or coming)

    async def open(self, opening: Opening) -> OpenResult:
        """Open a case, and take it at once if there is room: then nobody needs to look for it.

        If cancelled, it may have been opened; if it was taken as well, it is worked on all the same.
        """
        key, term = opening.key, self._lease.term
        if self.knows(key) or not self._has_room(key.tenant):
            return await self._house.store.open_case(opening)
        taking = replace(opening, node=self.name)
        self._starting.add(key)
        result: OpenResult = Unknown("it was interrupted")
        try:
            result = await self._house.store.open_case(taking)
        finally:
            ours = isinstance(result, Unknown) or (isinstance(result, CaseExists) and result.row.node == self.name)
            if isinstance(result, CaseOpened):
                self._claimed += 1
                self._activate(opened_by(taking), term)
            elif ours:
                # If it is there, and has no cell by then, nobody else would look for it.
                self._lost.append(key)
                self._wake.set()
            else:
                self._give_up(key)
        return result

    async def deliver(self, delivery: Delivery) -> DeliverResult:
        """Deliver, and take the case that it wakes at once if there is room: then nobody needs to look for it.

        If cancelled, it may have been delivered; if the case was taken as well, it is worked on all the same.
        """
        house, target, term = self._house, CaseKey(delivery.tenant, delivery.target), self._lease.term
        if self.knows(target) or not self._has_room(target.tenant):
            return await house.store.deliver(*target, delivery.item_id, delivery.frame)
        self._claiming += 1
        result: DeliverResult = Unknown("it was interrupted")
        try:
            now, taken = house.world.clock.wall_micros(), partial(self._taken, term)
            result = await house.store.deliver_and_claim(self.name, delivery, now=now, taken=taken)
        finally:
            self._claiming -= 1
            if isinstance(result, Unknown):
                self._doubts += 1
                self._wake.set()
            self._early &= self._early if self._claiming else self._starting
            self.watchers.notify(*[key for key in self.watchers.keys if self.resting(key)])
        return result

    def _taken(self, term: int, claimed: Claimed) -> None:
        """Begin the case that came with a delivery, unless it was missed and is being taken again."""
        if self.knows(claimed.row.key):
            # The store has let it go before, which its cell has not heard yet.
            self._stale.add(claimed.row.key)
        elif not self._renewal.over:
            self._claimed += 1
            self._activate(claimed, term, damage(claimed))
            self._expected.discard(claimed.row.key)

    def knows(self, key: CaseKey) -> bool:
        """Tell whether a case is at work here, or about to be."""
        return key in self._cells or key in self._starting

    def resting(self, key: CaseKey) -> bool:
        """Tell whether a case that the store calls parked has nothing under way here either."""
        cell = self._cells.get(key)
        coming = any(key in keys for keys in (self._starting, self._expected, self._sought, self._early, self._stale))
        # While a suspect is alone here, others that could go on were not looked for.
        return self._looked and not (coming or self._watching) and (cell is None or cell.parked)

    async def wait_idle(self) -> None:
        """Wait until `idle`."""
        while not self.idle:
            await self.watchers.changed().wait()

    def statistics(self) -> NodeStatistics:
        """Count what the node holds and has seen."""
        return NodeStatistics(self._working(), len(self._cells) - self._working(), self._claimed, self._ended)

    async def drain(self, timeout_seconds: float) -> None:
        """Take nothing new, let parked cases go, and give working ones up to `timeout_seconds` to park or close.

        What still works then is dropped: its log is whole, and whoever claims it replays it.
        """
        self._draining = True
        with anyio.move_on_after(timeout_seconds):
            while self._cells:
                changed = self.watchers.changed()
                for cell in list(self._cells.values()):
                    cell.release()
                await changed.wait()
        await self._renewal.give_back(timeout_seconds)

    def parked(self, cell: CaseCell) -> None:
        """Hear that a case is parked and durable."""
        self.watchers.notify(cell.key)
        # One that is doubted stands in the way of others until it is released.
        if not cell.doubted and self._cells.get(cell.key) is cell:
            self._resting[cell.key] = cell
        if self._draining or cell.doubted or cell.strange:
            cell.release()
            return
        self._house.timers.after(LINGER_SECONDS, cell.release)
        for oldest in list(self._resting.values())[: max(0, len(self._resting) - LINGER_MAX)]:
            oldest.release()
        if self._backlog:
            self._wake.set()

    def busy(self, cell: CaseCell) -> None:
        """Hear that a parked case has something to do again."""
        self._rests_no_more(cell)
        self.watchers.notify()

    def cleared(self) -> None:
        """Hear that a suspect has a new record, or was alone for long enough: others may come."""
        self._watching = False
        self._wake.set()

    def ended(self, cell: CaseCell) -> None:
        """Hear that a cell has ended; if the node has its case again, what is known of that is about another cell."""
        self._ended += 1
        self._watching = self._watching and not cell.suspect
        if self._cells.get(cell.key, cell) is not cell:
            self.watchers.notify()
            return
        self._cells.pop(cell.key, None)
        self._rests_no_more(cell)
        rests = cell.at_rest and not (cell.doubted or cell.key in self._stale)
        if cell.closed:
            self._poison.forget(cell.key)
        elif cell.released:
            self._poison.forget(cell.key)
            if not rests:
                # Something may have come while the store took it back.
                self._expected.add(cell.key)
            if cell.key in self._stale and not self.knows(cell.key):
                self._lose([cell.key])
        elif not self._draining:
            if not cell.anew:
                self._poison.failed(cell.key, cell.durable, cell.failure)
            self._lose([cell.key])
        self._stale.discard(cell.key)
        self.watchers.ended(cell.key, cell.last_row)
        if self._backlog or not (cell.closed or rests):
            self._wake.set()

    def _rests_no_more(self, cell: CaseCell) -> None:
        if self._resting.get(cell.key) is cell:
            del self._resting[cell.key]

    def _working(self) -> int:
        return len(self._cells) - len(self._resting)

    def _has_room(self, tenant: str) -> bool:
        """Tell whether a new case may be taken as it is opened; one of a tenant that has none here goes first."""
        coming = self._working() + len(self._starting) + self._claiming
        ready = self._looked and not (self._watching or self._draining or self._halted) and self._lease.fresh
        if not ready or not (self._backlog or coming >= ACTIVE_MAX):
            return ready
        busy = (*self._starting, *(key for key, cell in self._cells.items() if not cell.parked))
        return coming < ACTIVE_MAX + SPARE_MAX and all(key.tenant != tenant for key in busy)

    def _arrivals(self, keys: Sequence[CaseKey]) -> None:
        if NOBODY in keys:
            self.waiters.look_at_all()
        for key in keys:
            if (cell := self._cells.get(key)) is not None:
                cell.nudge()
                continue
            if self._claiming or key in self._starting:
                self._early.add(key)
            if key not in self._starting:
                self._expected.add(key)
                self._wake.set()

    async def _claim(self) -> None:
        """Claim as long as there is room and anything to claim, then set the alarm for the next timer."""
        house = self._house
        self._sought, self._expected = self._sought | self._expected, set()
        if self._halted != "":
            self._halted = await house.store.setting(HALTED) or ""
        await self._reclaim()
        while not self._draining:
            room = ACTIVE_MAX - self._working()
            self._backlog = room <= 0
            if self._backlog:
                return
            # Under a lease that may be over, what it claims would be free again at once.
            term = await self._lease.wait_fresh()
            self._claiming += 1
            self._doubts += 1
            try:
                asked = house.world.clock.wall_micros()
                house.world.point("claim.before")
                claims = await house.store.claim(self.name, limit=room, now=asked)
                house.world.point("claim.after")
            finally:
                self._claiming -= 1
            self._doubts -= 1
            self._halted = self._halted if claims.halted is None else claims.halted
            rows = [claimed.row for claimed in claims.cases]
            self._claimed += len(rows)
            if any(row.claims > SUSPECT_CLAIMS for row in rows):
                self._watching = True
                house.timers.after(ALONE_MICROS / MICROS, self.cleared)
            if any(row.claims > 1 for row in rows):
                house.timers.after(SUSPECT_MICROS / MICROS, self._look)
            for claimed in claims.cases:
                self._activate(claimed, term, damage(claimed))
            self._early &= self._early if self._claiming else self._starting
            self._expected -= {row.key for row in rows}
            if not claims.more:
                self._alarm.set(claims.next_due, asked)
                break
        self._sought = set()
        self._looked = True
        self.watchers.notify(*[key for key in self.watchers.keys if self.resting(key)])

    async def _reclaim(self) -> None:
        """Take again what this node holds and lost track of; what the store refuses now stands in nobody's way."""
        for step in (self._find_held, self._take_lost):
            try:
                await step()
            except StoreUnavailable:
                self._house.timers.after(RETRY_SECONDS, self._look)

    async def _find_held(self) -> None:
        if doubts := self._doubts:
            held = await self._house.store.held(self.name)
            self._doubts -= doubts
            self._stale.update(key for key in held if key in self._cells)
            self._lose([key for key in held if not self.knows(key)])

    async def _take_lost(self) -> None:
        while self._lost and not self._draining:
            key, term = self._lost[-1], self._lease.term
            # Where it is refused, those that were lost before it come first the next time.
            self._lost.insert(0, self._lost.pop())
            self._starting.add(key)  # No delivery takes it from now on: whether this did may be unknown.
            if why := self._poison.hopeless(key):
                # Not even that it parks could be written: nothing that is tried again here would change that.
                await set_aside(self._house.store, self.name, key, why)
            elif key not in self._cells and (claimed := await self._house.store.reclaim(self.name, key)) is not None:
                self._activate(claimed, term, damage(claimed))
            self._lost.remove(key)
            self._give_up(key)

    def _lose(self, keys: Sequence[CaseKey]) -> None:
        self._starting.update(keys)
        self._lost += keys

    def _give_up(self, key: CaseKey) -> None:
        """Begin no cell of a case after all, unless a delivery took it; what came for it is for whoever claims it."""
        self._starting.discard(key)
        if key in self._stale and key not in self._cells:
            self._stale.discard(key)
            self._lose([key])
            self._wake.set()
        elif key in self._early and key not in self._cells:
            self._early.discard(key)
            self._expected.add(key)
            self._wake.set()
        self.watchers.notify(key)

    def _look(self) -> None:
        self._wake.set()

    def _activate(self, claimed: Claimed, term: int, damaged: str = "") -> None:
        row = claimed.row
        poison = self._halted or self._poison.verdict(row) or damaged
        cell = CaseCell(claimed, self._house, term=term, poison=poison)
        again = row.key in self._cells
        self._cells[row.key] = cell
        self._resting.pop(row.key, None)
        self._starting.discard(row.key)
        address = cell_address(row.key, row.epoch)
        self._system.spawn(address, lambda: cell, restart=Restart.TEMPORARY, mailbox_depth_max=CASE_MAILBOX_MAX)
        if again or row.key in self._early:
            # What it was given may not hold what came since; of that an earlier cell was told.
            self._early.discard(row.key)
            cell.nudge()
