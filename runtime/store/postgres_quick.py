"""The short way through PostgreSQL: what mostly happens is one statement, which is a transaction by itself.

A batch in general locks its cases, decides, writes and commits: four or five waits for the server. But whoever claimed
a case knows how it stands until somebody takes it away, so the appends of cases that our nodes hold, and the openings
of new ones, are decided here beforehand. The statement holds each case to what was known of it (epoch, next sequence
number, node and head) and fails as a whole if any of them stands otherwise; then nothing happened, and the long way
finds out why. What touches other cases than its own, reviews among them, goes the long way at once.
It does not know what becomes of a statement that failed.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

from casework.runtime.store import rules
from casework.runtime.store.base import Append, CaseKey, CaseOpened, Opening
from casework.runtime.store.batch import Group, coalesce
from casework.runtime.store.chain import GENESIS, chained
from casework.runtime.store.postgres_calls import Asked
from casework.runtime.store.postgres_columns import written
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_queries import storable
from casework.runtime.store.postgres_standing import Standing, begun
from casework.runtime.store.postgres_wave import CHANGES, Wave

#: Cases remembered at most, some hundred bytes each; the oldest is forgotten first and costs one long way.
KNOWN_MAX: Final = 10_000

#: An opened case finds its record by its head, which is like no other's. The last column fails if a case did not stand
#: as it was known.
_OPEN: Final = """
    , opened AS (
        INSERT INTO "case" (tenant, case_id, epoch, next_seq, status, result, flow, version, source_hash, crew,
                            parent, head, opened_at, changed_at, node, claims)
        SELECT g.tenant, g.case_id, (g.node <> '')::integer, 1, 'open', '', g.flow, g.version, g.source_hash, g.crew,
               g.parent, g.head, g.at, g.at, g.node, (g.node <> '')::integer
        FROM unnest($35::text::text[], $36::text::text[], $37::text::text[], $38::text::text[], $39::text::text[],
                    $40::text::text[], $41::text::text[], $42::bytea[], $43::text::bigint[], $47::text::text[])
            AS g (tenant, case_id, flow, version, source_hash, crew, parent, head, at, node)
        ON CONFLICT (tenant, case_id) DO NOTHING RETURNING no, head, opened_at
    ), begun AS (
        INSERT INTO record (case_no, seq, epoch, kind, step_id, at, frame, hash)
        SELECT o.no, 0, 0, ($44::text[])[o.place], ($45::text[])[o.place], o.opened_at, ($46::bytea[])[o.place], o.head
        FROM (SELECT *, array_position($42::bytea[], head) AS place FROM opened OFFSET 0) o
    )
    SELECT (SELECT array_agg(head ORDER BY no) FROM opened) AS opened,
           (SELECT array_agg(no ORDER BY no) FROM opened) AS numbers,
           1 / ((SELECT count(*) FROM moved) = $34)::integer AS held
"""
_WRITE: Final = " ".join(("WITH", CHANGES, _OPEN))


@final
class Quick:
    """The short way, and what it knows of the cases that our nodes hold."""

    def __init__(self) -> None:
        """Begin without knowing any case."""
        self._known: dict[CaseKey, Standing] = {}

    def learn(self, standings: Iterable[Standing]) -> None:
        """Take over how cases stand after a commit; one that nobody holds is forgotten."""
        for standing in standings:
            self._known.pop(standing.key, None)
            if standing.node:
                self._known[standing.key] = standing
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def forget(self, asked: Iterable[Asked]) -> None:
        """Forget how the cases stand that calls are about."""
        for call in asked:
            if isinstance(call, Append):
                self._known.pop(call.key, None)

    def fitting(self, asked: Sequence[Asked]) -> list[int]:
        """Give the places of those calls that may go the short way, in order."""
        steps = coalesce([call if isinstance(call, Append) else None for call in asked])
        groups: dict[CaseKey, list[Group]] = {}
        for step in steps:
            if isinstance(step, Group):
                groups.setdefault(step.append.key, []).append(step)
        places = [place for several in groups.values() if self._fits(several) for place in several[0].places]
        openings = {call.key: place for place, call in enumerate(asked) if isinstance(call, Opening)}
        places += [place for key, place in openings.items() if key not in groups and storable(*key)]
        return sorted(places)

    async def carry_out(
        self, link: Link, asked: Sequence[Asked]
    ) -> tuple[dict[int, object], list[CaseKey], list[Standing]]:
        """Write calls that fit; give their answers by place, the cases that are new, and how the others stand now.

        An opening whose case is there gets no answer. Raises what the driver raises: unless the connection was lost,
        nothing happened then.
        """
        wave = Wave({})
        groups = coalesce([call if isinstance(call, Append) else None for call in asked])
        appends = [group.append for group in groups if isinstance(group, Group)]
        after = [wave.append(append, self._known[append.key]) for append in appends]
        answers = {append.key: rules.appended(append, now.head) for append, now in zip(appends, after, strict=True)}
        openings = sorted((call for call in asked if isinstance(call, Opening)), key=lambda opening: opening.key)
        heads = [chained(GENESIS, opening.key, opening.record) for opening in openings]
        rows = [
            (*o.key, o.flow, o.version, o.source_hash, o.crew, o.parent, head, o.record.at, o.record.kind,
             o.record.step_id, o.record.frame, o.node)
            for o, head in zip(openings, heads, strict=True)
        ]  # fmt: skip
        found = await link.fetchrow(_WRITE, *wave.changes(), len(after), *written(rows, "tttttttdndddt"))
        assert found is not None, "a query without a table has a row"
        fresh: dict[bytes, int] = dict(zip(found["opened"] or (), found["numbers"] or (), strict=True))
        opened = [(opening, head) for opening, head in zip(openings, heads, strict=True) if head in fresh]
        new = {opening.key for opening, _ in opened}
        after += [begun(fresh[head], opening, head) for opening, head in opened]
        values: dict[int, object] = {}
        for place, call in enumerate(asked):
            if isinstance(call, Append):
                values[place] = answers[call.key]
            elif isinstance(call, Opening) and call.key in new:
                values[place] = CaseOpened(call.key)
        return values, [opening.key for opening, _ in opened if not opening.node], after

    def _fits(self, groups: Sequence[Group]) -> bool:
        append = groups[0].append
        known = self._known.get(append.key)
        if known is None or len(groups) > 1:
            return False
        if append.sends or append.opens or append.reviews_opened or append.reviews_withdrawn or append.settles:
            return False
        refusal = rules.append_refusal(append, epoch=known.epoch, next_seq=known.next_seq, node=known.node)
        return refusal is None
