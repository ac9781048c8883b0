"""Carries out a batch of calls within one transaction: lock, decide, write, a few statements for all of them.

    lock the cases   ->   appends and openings, in waves   ->   deliveries, decisions   ->   archive, leases, accounts

Calls of one batch were made at the same time, so any order among them is right; only appends of one case keep theirs.
A refusal is decided from the locked rows before anything is written, so it never fails the others.
It does not know when the transaction begins or ends; what it answers counts once it has been committed.
"""

from collections.abc import Collection, Sequence
from typing import Final, final

import msgspec

from casework.protocols.errors import ProtocolError
from casework.runtime.store import postgres_accounts as accounts
from casework.runtime.store import postgres_archive as archive
from casework.runtime.store import postgres_queries as queries
from casework.runtime.store import rules
from casework.runtime.store.base import (
    Append,
    CaseExists,
    CaseKey,
    CaseOpened,
    CaseStatus,
    DecisionTaken,
    Delivered,
    Duplicate,
    Fenced,
    Nobody,
    Opening,
)
from casework.runtime.store.batch import Group, coalesce
from casework.runtime.store.postgres_calls import Asked, Decision, Delivery
from casework.runtime.store.postgres_columns import columns
from casework.runtime.store.postgres_leases import Leases
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_standing import Standing, lock
from casework.runtime.store.postgres_wave import Item, Wave, put

_WAITING: Final = """
    SELECT DISTINCT case_no, key FROM wait WHERE key = ANY($1::text[]) AND case_no = ANY($2::bigint[]) ORDER BY case_no
"""
_HAD: Final = """
    SELECT g.place, c.tenant, c.case_id
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS g (place, tenant, target, id)
    JOIN inbox i ON i.id = g.id AND i.target = g.target JOIN "case" c ON c.no = i.case_no AND c.tenant = g.tenant
    ORDER BY c.no
"""
_REVIEWS: Final = f"{queries.REVIEW} WHERE r.id = ANY($1::text[])"
_DECIDE: Final = """
    UPDATE review r SET state = 'decided', decision = g.decision
    FROM unnest($1::text[], $2::bytea[]) AS g (id, decision) WHERE r.id = g.id
"""


@final
class Batch:
    """Calls that share one transaction, with their answers by place."""

    def __init__(self, link: Link, asked: Sequence[Asked], own: Collection[str], mark: int, *, apart: bool) -> None:
        """Prepare; `own` are the names of our nodes, `mark` is below which a store gives no case.

        With `apart` cases are claimed one by one, and each thing of them is read by itself.
        """
        self._link = link
        self._asked = asked
        self._own = own
        self.leases = Leases(link, own, mark, apart=apart)  #: what claims have found
        self._known: dict[CaseKey, Standing] = {}
        self.values: dict[int, object] = {}  #: what each call is answered
        self.errors: dict[int, Exception] = {}  #: what each other call raised
        self.arrived: list[CaseKey] = []  #: who got an item or was opened

    @property
    def foreign(self) -> bool:
        """Whether a node of another process holds a case that got something."""
        holders = [self._known[key].node for key in self.arrived if key in self._known]
        return any(node and node not in self._own for node in holders)

    def standings(self) -> list[Standing]:
        """Give how the cases stand that were appended to, and those that were claimed."""
        touched = {call.key for call in self._asked if isinstance(call, Append)}
        return [*(self._known[key] for key in touched if key in self._known), *self.leases.standings]

    async def carry_out(self, skew: int) -> None:
        """Do everything; raises what the driver raises, and then nothing counts.

        `skew` is what the database's clock is ahead of ours, in microseconds.
        """
        self._known = await lock(self._link, self._asked)
        steps = coalesce([call if isinstance(call, Append) else None for call in self._asked])
        groups = [step for step in steps if isinstance(step, Group)]
        openings = {place: call for place, call in enumerate(self._asked) if isinstance(call, Opening)}
        while groups or openings:
            groups = await self._write(groups, openings)
            openings = {}
        await self._deliver([(p, call) for p, call in enumerate(self._asked) if isinstance(call, Delivery)])
        await self._decide([(p, call) for p, call in enumerate(self._asked) if isinstance(call, Decision)])
        archived, brought = await archive.carry_out(self._link, self._asked, self._known)
        self.values.update(archived)
        self.arrived += brought
        self.values.update(await self.leases.carry_out(self._asked, skew))
        self.values.update(await accounts.carry_out(self._link, self._asked, self.values))

    async def _write(self, groups: Sequence[Group], openings: dict[int, Opening]) -> list[Group]:
        """Write one wave, and give the appends that must come after it."""
        wave = Wave(self._known)
        begun: set[CaseKey] = set()
        later: list[Group] = []
        for group in groups:
            if group.append.key in begun:
                later.append(group)
                continue
            begun.add(group.append.key)
            answer = self._append(wave, group.append)
            self.values.update((place, answer) for place in group.places)
        for opening in openings.values():
            wave.open(opening)
        opened, arrived = await wave.write(self._link)
        self.arrived += [*(key for key, opening in opened.items() if not opening.node), *arrived]
        there = {place: call.key for place, call in openings.items() if opened.get(call.key) is not call}
        rows = await queries.cases_by_key(self._link, dict.fromkeys(there.values())) if there else {}
        for place, call in openings.items():
            self.values[place] = CaseExists(rows[call.key]) if place in there else CaseOpened(call.key)
        return later

    def _append(self, wave: Wave, append: Append) -> object:
        standing = self._known.get(append.key)
        if standing is None:
            return Fenced(0)
        refusal = rules.append_refusal(append, epoch=standing.epoch, next_seq=standing.next_seq, node=standing.node)
        if refusal is not None:
            return refusal
        return rules.appended(append, wave.append(append, standing).head)

    async def _deliver(self, deliveries: Sequence[tuple[int, Delivery]]) -> None:
        receivers = await self._receivers(deliveries)
        items: list[Item] = []
        for place, call in deliveries:
            items += [(s.number, call.item_id, call.target, call.kind, call.frame) for s in receivers[place]]
        fresh = dict.fromkeys(await put(self._link, items))
        nowhere: list[tuple[int, Delivery]] = []
        for place, call in deliveries:
            # Of two calls with one id the first has put it there.
            news = [s.key for s in receivers[place] if fresh.pop((s.number, call.item_id), 0) is None]
            self.arrived += news
            if news:
                self.values[place] = Delivered(tuple(news))
            elif receivers[place]:
                self.values[place] = Duplicate(tuple(s.key for s in receivers[place]))
            else:
                nowhere.append((place, call))
        if nowhere:
            await self._find_earlier(nowhere)

    async def _receivers(self, deliveries: Sequence[tuple[int, Delivery]]) -> dict[int, list[Standing]]:
        found: dict[int, list[Standing]] = {}
        by_key: list[tuple[int, Delivery]] = []
        for place, call in deliveries:
            named = self._known.get(CaseKey(call.tenant, call.target))
            found[place] = []
            if not queries.storable(call.tenant, call.target):
                continue
            if named is not None and named.status is not CaseStatus.CLOSED:
                found[place].append(named)
            else:
                by_key.append((place, call))
        if by_key:
            numbers = {standing.number: standing for standing in self._known.values()}
            targets = list(dict.fromkeys(call.target for _, call in by_key))
            waiting: dict[tuple[str, str], list[Standing]] = {}
            for number, key in await self._link.fetch(_WAITING, targets, list(numbers)):
                standing = numbers[number]
                waiting.setdefault((standing.key.tenant, key), []).append(standing)
            for place, call in by_key:
                found[place] = waiting.get((call.tenant, call.target), [])
        return found

    async def _find_earlier(self, nowhere: Sequence[tuple[int, Delivery]]) -> None:
        """Answer deliveries that nobody waits for: somebody may have had them before."""
        asked = [
            (place, call.tenant, call.target, call.item_id)
            for place, call in nowhere
            if queries.storable(call.tenant, call.target)
        ]
        had: dict[int, list[CaseKey]] = {}
        for place, tenant, case_id in await self._link.fetch(_HAD, *columns(asked, 4)) if asked else ():
            had.setdefault(place, []).append(CaseKey(tenant, case_id))
        for place, call in nowhere:
            self.values[place] = Duplicate(tuple(had[place])) if place in had else Nobody(call.target)

    async def _decide(self, decisions: Sequence[tuple[int, Decision]]) -> None:
        if not decisions:
            return
        ids = [call.review_id for _, call in decisions if queries.storable(call.review_id)]
        numbers = {standing.number: standing for standing in self._known.values()}
        rows = [row for row in await self._link.fetch(_REVIEWS, ids) if row["case_no"] in numbers]
        reviews = {row["id"]: queries.review_row(row) for row in rows}
        taken: list[tuple[str, bytes]] = []
        items: list[Item] = []
        for place, call in decisions:
            review = reviews.get(call.review_id)
            standing = self._known[review.key] if review is not None else None
            closed = standing is not None and standing.status is CaseStatus.CLOSED
            try:
                decision = rules.decision_of(call.review_id, call.frame)
                settled = rules.settled_decision(
                    review, decision, proposal_hash=call.proposal_hash, now=call.now, closed=closed
                )
            except ProtocolError as error:
                self.errors[place] = error
                continue
            if settled is not None:
                self.values[place] = settled
                continue
            assert review is not None, "an absent review is settled"
            assert standing is not None, "a review has a case"
            decided = msgspec.structs.replace(review, state=rules.DECIDED, decision=call.frame)
            reviews[review.id] = decided
            taken.append((review.id, call.frame))
            items.append((standing.number, rules.decision_item_id(review.id), "", rules.DECIDED, call.frame))
            self.arrived.append(review.key)
            self.values[place] = DecisionTaken(decided)
        if taken:
            await self._link.execute(_DECIDE, *columns(taken, 2))
            await put(self._link, items)
