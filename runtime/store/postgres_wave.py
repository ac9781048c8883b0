"""What a batch writes to the logs of cases: gathered first, then written by a few statements over arrays.

A wave holds at most one append of each case. Its statements are as many for five hundred cases as for one.
It does not know which append stands; that was decided before.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

from casework.runtime.store import rules
from casework.runtime.store.base import Append, CaseKey, CaseStatus, InboxItem, Opening, Record, ReviewRow, Wait
from casework.runtime.store.chain import GENESIS, chained
from casework.runtime.store.postgres_columns import columns, numbers, written
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_standing import Standing, begun, lock_keys

#: Whatever changes of cases that are there, each held to what it was, and the records of all. Numbers and texts come
#: as text, see `written`.
CHANGES: Final = """
    moved AS (
        UPDATE "case" c SET next_seq = g.next_seq, node = g.node, status = g.status, result = g.result, head = g.head,
                            changed_at = g.changed_at, seen = coalesce(g.seen, c.seen),
                            claims = CASE WHEN g.counts THEN c.claims ELSE 0 END, suspect = g.counts AND c.suspect,
                            chapter = coalesce(g.chapter, c.chapter), version = coalesce(g.version, c.version),
                            source_hash = coalesce(g.source_hash, c.source_hash)
        FROM unnest($1::text::bigint[], $2::text::bigint[], $3::text::bigint[], $4::text::text[], $5::bytea[],
                    $6::text::bigint[], $7::text::text[], $8::text::text[], $9::text::text[], $10::bytea[],
                    $11::text::bigint[], $12::text::bigint[], $13::text::boolean[], $14::text::bigint[],
                    $15::text::text[], $16::text::text[])
            AS g (no, epoch, old_seq, old_node, old_head, next_seq, node, status, result, head, changed_at, seen,
                  counts, chapter, version, source_hash)
        WHERE c.no = g.no AND c.epoch = g.epoch AND c.next_seq = g.old_seq AND c.node = g.old_node
          AND c.head = g.old_head
        RETURNING c.no
    ), consumed AS (
        UPDATE inbox i SET consumed = true, frame = ''
        FROM unnest($17::text::bigint[], $18::text::text[]) AS g (case_no, id)
        WHERE i.case_no = g.case_no AND i.id = g.id
    ), forgotten AS (
        DELETE FROM wait WHERE case_no = ANY($19::text::bigint[])
    ), awaited AS (
        INSERT INTO wait SELECT * FROM unnest($20::text::bigint[], $21::text::bigint[], $22::text::text[],
                                              $23::text::text[], $24::text::text[], $25::text::bigint[])
    ), logged AS (
        INSERT INTO record (case_no, seq, epoch, kind, step_id, at, frame, hash)
        SELECT * FROM unnest($26::text::bigint[], $27::text::bigint[], $28::text::bigint[], $29::text::text[],
                             $30::text::text[], $31::text::bigint[], $32::bytea[], $33::bytea[])
    )
"""
_WRITE: Final = " ".join(("WITH", CHANGES, "SELECT count(*) FROM moved"))
_OPEN: Final = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, status, result, flow, version, source_hash, crew,
                        parent, head, opened_at, changed_at, node, claims)
    SELECT g.tenant, g.case_id, (g.node <> '')::integer, 1, 'open', '', g.flow, g.version, g.source_hash, g.crew,
           g.parent, g.head, g.at, g.at, g.node, (g.node <> '')::integer
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
                $9::bigint[], $10::text[])
        AS g (tenant, case_id, flow, version, source_hash, crew, parent, head, at, node)
    ON CONFLICT (tenant, case_id) DO NOTHING RETURNING no, tenant, case_id
"""
_PARENTS: Final = """
    SELECT c.tenant, c.case_id, c.parent FROM unnest($1::text[], $2::text[]) AS g (tenant, case_id)
    JOIN "case" c ON c.tenant = g.tenant AND c.case_id = g.case_id
"""
_ASK: Final = """
    INSERT INTO review SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                                            $7::bigint[], $8::text[], $9::bytea[], $10::bytea[])
    ON CONFLICT (id) DO NOTHING
"""
#: A decision that the case has not consumed comes too late.
_WITHDRAW: Final = """
    UPDATE review r SET state = 'withdrawn' FROM unnest($1::text[], $2::bigint[], $3::text[]) AS g (id, case_no, item)
    WHERE r.id = g.id AND r.case_no = g.case_no AND (r.state = 'open' OR EXISTS
        (SELECT 1 FROM inbox i WHERE i.case_no = g.case_no AND i.id = g.item AND NOT i.consumed))
"""
_PUT: Final = """
    INSERT INTO inbox (case_no, id, target, kind, frame)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    ON CONFLICT (case_no, id) DO NOTHING RETURNING case_no, id
"""

#: case number, id, target, kind, frame
Item = tuple[int, str, str, str, bytes]


@final
class Wave:
    """Appends and openings that are written together."""

    def __init__(self, known: dict[CaseKey, Standing]) -> None:
        """Begin over the locked cases; those that are opened are added to them."""
        self._known = known
        self._cases: dict[int, tuple[object, ...]] = {}
        self._consumed: list[tuple[object, ...]] = []
        self._waits: list[tuple[object, ...]] = []
        self._waiters: list[int] = []
        self._records: list[tuple[object, ...]] = []
        self._openings: dict[CaseKey, Opening] = {}
        self._late: list[Opening] = []
        self._sends: list[InboxItem] = []
        self._asked: list[tuple[object, ...]] = []
        self._withdrawn: list[tuple[object, ...]] = []

    def append(self, append: Append, before: Standing) -> Standing:
        """Add an append that stands, and give how its case stands afterwards."""
        number, ended = before.number, append.status is CaseStatus.CLOSED
        after = self._known[append.key] = Standing(
            number,
            append.key,
            before.epoch,
            before.next_seq + len(append.records),
            "" if append.release or ended else before.node,
            append.status,
            self._log(number, append.key, append.records, before.head),
            append.records[-1].at if append.records else before.changed_at,
        )
        self._cases[number] = (
            number,
            before.epoch,
            before.next_seq,
            before.node,
            before.head,
            after.next_seq,
            after.node,
            after.status,
            append.result,
            after.head,
            after.changed_at,
            append.inbox_seen if append.release else None,
            not (append.records or append.release),
            append.chapter,
            *(append.pinned or (None, None)),
        )
        self._await(number, () if ended else append.waits)
        self._consumed += [(number, item_id) for item_id in append.consumed]
        self._sends += append.sends
        for opening in append.opens:
            self.open(opening)
        self._asked += [_review_values(number, review) for review in append.reviews_opened]
        self._withdrawn += [(each, number, rules.decision_item_id(each)) for each in append.reviews_withdrawn]
        return after

    def open(self, opening: Opening) -> None:
        """Add a case to be opened, unless one of its key is."""
        if self._openings.setdefault(opening.key, opening) is not opening:
            self._late.append(opening)

    async def write(self, link: Link) -> tuple[dict[CaseKey, Opening], list[CaseKey]]:
        """Write all of it; give the cases that are new, and those that got an item."""
        opened = await self._open(link) if self._openings else {}
        if self._asked:
            await link.execute(_ASK, *columns(sorted(self._asked, key=lambda values: str(values[0])), 10))
        if self._withdrawn:
            await link.execute(_WITHDRAW, *columns(sorted(self._withdrawn, key=lambda values: str(values[0])), 3))
        if self._cases or self._records:
            await link.execute(_WRITE, *self.changes())
        return opened, await self._send(link) if self._sends else []

    def changes(self) -> list[object]:
        """Give the arguments of `CHANGES`."""
        return [
            *written([self._cases[number] for number in sorted(self._cases)], "nnntdntttdnnnntt"),
            *written(self._consumed, "nt"),
            numbers(self._waiters),
            *written(self._waits, "nntttn"),
            *written(self._records, "nnnttndd"),
        ]

    async def _open(self, link: Link) -> dict[CaseKey, Opening]:
        openings = [self._openings[key] for key in sorted(self._openings)]
        heads = [chained(GENESIS, opening.key, opening.record) for opening in openings]
        rows = [
            (*o.key, o.flow, o.version, o.source_hash, o.crew, o.parent, head, o.record.at, o.node)
            for o, head in zip(openings, heads, strict=True)
        ]
        opened: dict[CaseKey, Opening] = {}
        for number, tenant, case_id in await link.fetch(_OPEN, *columns(rows, 10)):
            key = CaseKey(tenant, case_id)
            opening = opened[key] = self._openings[key]
            head = self._log(number, key, (opening.record,), GENESIS)
            self._known[key] = begun(number, opening, head)
        await self._refuse(link, [*(each for each in openings if each.key not in opened), *self._late])
        receivers = {item.key: None for item in self._sends}
        # Another process opened them since the locks were taken: what is sent to them must not be lost.
        missed = [key for key in self._openings if key in receivers and key not in self._known]
        self._known.update(await lock_keys(link, missed))
        return opened

    async def _refuse(self, link: Link, dropped: Sequence[Opening]) -> None:
        """Tell those whose openings were dropped, for the case is somebody else's."""
        telling = [opening for opening in dropped if opening.otherwise is not None]
        if not telling:
            return
        rows = await link.fetch(_PARENTS, *columns([opening.key for opening in telling], 2))
        parents = {CaseKey(tenant, case_id): parent for tenant, case_id, parent in rows}
        told = (rules.refused(opening, parents[opening.key]) for opening in telling)
        self._sends += [item for item in told if item is not None]

    async def _send(self, link: Link) -> list[CaseKey]:
        items: list[Item] = []
        keys: dict[int, CaseKey] = {}
        for sent in self._sends:
            item, receiver = sent, self._open_case(sent.key)
            if receiver is None and sent.otherwise is not None:
                item, receiver = sent.otherwise, self._open_case(sent.otherwise.key)
            if receiver is not None:
                items.append((receiver.number, item.id, "", item.kind, item.frame))
                keys[receiver.number] = item.key
        return [keys[number] for number, _ in await put(link, items)]

    def _open_case(self, key: CaseKey) -> Standing | None:
        receiver = self._known.get(key)
        return None if receiver is None or receiver.status is CaseStatus.CLOSED else receiver

    def _log(self, number: int, key: CaseKey, records: Iterable[Record], head: bytes) -> bytes:
        for record in records:
            head = chained(head, key, record)
            self._records.append(
                (number, record.seq, record.epoch, record.kind, record.step_id, record.at, record.frame, head)
            )
        return head

    def _await(self, number: int, waits: Sequence[Wait] | None) -> None:
        if waits is None:
            return
        self._waiters.append(number)
        self._waits += [(number, place, wait.key, wait.kind, wait.reason, wait.due) for place, wait in enumerate(waits)]


async def put(link: Link, items: Sequence[Item]) -> list[tuple[int, str]]:
    """Put items into inboxes of locked cases; give case number and id of those that are new."""
    if not items:
        return []
    return [(number, item_id) for number, item_id in await link.fetch(_PUT, *columns(items, 5))]


def _review_values(number: int, review: ReviewRow) -> tuple[object, ...]:
    return (
        review.id,
        number,
        review.step_id,
        review.title,
        review.state,
        review.opened_at,
        review.expires,
        review.proposal_hash,
        review.frame,
        review.decision,
    )
