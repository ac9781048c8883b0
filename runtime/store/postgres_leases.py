"""Leases and claims, and the small things that are written beside cases: settings and artefacts.

A lease is kept in the database's own time: what a caller says by its clock is moved by how far that clock was off
when it was last compared. A claim passes over rows that another transaction holds, and takes only a case that still
stands as it stood when it was found free, so no case is given twice. What is left to others, since they alone carry the
version of its flow, is found out by the same statement, so nobody who has just come is passed over.
It does not know who decides what a node is.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, final

import msgspec

from casework.runtime.store import postgres_queries as queries
from casework.runtime.store import rules
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.generation import HALTED, MARK
from casework.runtime.store.postgres_apart import claimed_apart
from casework.runtime.store.postgres_calls import Artifact, Asked, Claim, Reclaim, Renewal, Setting
from casework.runtime.store.postgres_carrying import FOREIGN, OURS
from casework.runtime.store.postgres_columns import columns
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_queries import BEGINNING, RETURNING_CASE, RETURNING_ROW, case_row, inbox_of, log_of
from casework.runtime.store.postgres_seals import sealed
from casework.runtime.store.postgres_standing import Standing, standing_of

if TYPE_CHECKING:
    from casework.runtime.store.postgres_queries import Row

#: Open cases that are looked at beyond what a claim asks for, since others may just be taking the first of them.
_SPARE: Final = 1_000

#: Forgets the dead, and says whether there are suspects, when the node was last given one, how many of those that
#: are nearly suspected it holds, and whether nodes of other processes live.
_BURY: Final = """
    WITH buried AS (
        DELETE FROM node WHERE name IN (SELECT name FROM node WHERE until <= $1 ORDER BY name FOR UPDATE SKIP LOCKED)
    )
    SELECT EXISTS (SELECT 1 FROM "case" WHERE suspect) AS suspects,
           (SELECT max(changed_at) FROM "case" WHERE suspect AND node = $2 AND claims > $3) AS watched,
           (SELECT count(*) FROM "case" WHERE suspect AND node = $2 AND claims = $3 AND changed_at > $5) AS doubted,
           EXISTS (SELECT 1 FROM node WHERE until > $1 AND name <> ALL($4::text[])) AS others,
           (SELECT value FROM setting WHERE name = $6) AS halted,
           (SELECT value FROM setting WHERE name = $7)::bigint AS mark
"""
#: Three ways to be wanted, each found by its own index, so that parked cases cost nothing. Whether suspects are asked
#: for stands in the statement, for a plan that is kept must use their index for them alone.
_CHOOSE: Final = """
    WITH {foreign}, free AS MATERIALIZED (
        (SELECT c.no, c.epoch, c.next_seq, c.node, c.status, c.opened_at, c.claims FROM "case" c
         WHERE c.status = 'open' AND {suspect} AND c.node <> $1 AND {ours}
           AND NOT EXISTS (SELECT 1 FROM node n WHERE n.name = c.node AND n.until > $3)
         ORDER BY c.opened_at, c.no LIMIT $2::bigint + $6::bigint)
        UNION ALL
        SELECT c.no, c.epoch, c.next_seq, c.node, c.status, c.opened_at, c.claims FROM "case" c
        WHERE c.status = 'parked' AND {suspect} AND c.node <> $1 AND {ours}
          AND NOT EXISTS (SELECT 1 FROM node n WHERE n.name = c.node AND n.until > $3)
          AND c.no IN (
              SELECT i.case_no FROM inbox i JOIN "case" p ON p.no = i.case_no
              WHERE NOT i.consumed AND p.status = 'parked' AND i.position > p.seen
              UNION
              SELECT w.case_no FROM wait w WHERE w.kind = 'timer' AND w.due <= $4
          )
    ), placed AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY claims ORDER BY opened_at, no) AS place FROM free
    ), taken AS MATERIALIZED (
        SELECT c.no, c.opened_at, c.chapter
        FROM placed f JOIN "case" c ON c.no = f.no AND c.epoch = f.epoch AND c.next_seq = f.next_seq
            AND c.node = f.node AND c.status = f.status
        WHERE f.claims = 0 OR f.claims >= $7 OR f.place <= $8
        ORDER BY f.opened_at, f.no LIMIT $2::bigint FOR NO KEY UPDATE OF c SKIP LOCKED
    ), sized AS MATERIALIZED (
        SELECT t.no, s.bytes, count(*) OVER () AS found,
               sum(s.bytes) OVER (ORDER BY t.opened_at, t.no) - s.bytes AS before
        FROM taken t CROSS JOIN LATERAL (
            {size}
        ) s
    ), fitting AS MATERIALIZED (
        SELECT no, bytes, found FROM sized WHERE before <= $5
    ), claimed AS (
        UPDATE "case" c SET epoch = c.epoch + 1, node = $1, changed_at = $4,
                            claims = c.claims + 1, suspect = c.claims + 1 >= $7
        FROM fitting f WHERE c.no = f.no
""".replace("{foreign}", FOREIGN.format("$9", "$3", "ARRAY[$1]")).replace("{ours}", OURS.format("c"))
_SIZE: Final = """
            SELECT coalesce(sum(octet_length(r.frame)), 0)::bigint AS bytes
            FROM record r WHERE r.case_no = t.no AND r.seq >= t.chapter
"""
#: All that the cases need to begin comes with the same statement, and the moment when the next timer is due: so nothing
#: can fail in between. The timers are looked at one by one until the first that counts; each OFFSET keeps the planner
#: to that.
_GIVE: Final = """
        , f.bytes, f.found
    )
    SELECT c.*, log.*, unread.*, (
        SELECT w.due FROM (SELECT case_no, due FROM wait WHERE kind = 'timer' ORDER BY due OFFSET 0) w
        CROSS JOIN LATERAL (
            SELECT FROM "case" p WHERE p.no = w.case_no AND p.status = 'parked' AND {ours}
                AND p.node <> $1 AND NOT EXISTS (SELECT 1 FROM node n WHERE n.name = p.node)
                AND NOT EXISTS (SELECT 1 FROM fitting f WHERE f.no = p.no) OFFSET 0
        ) p ORDER BY w.due LIMIT 1
    ) AS next_due
    FROM (SELECT 1) AS always LEFT JOIN claimed c ON true
""".replace("{ours}", OURS.format("p"))
_IN_ORDER: Final = "ORDER BY c.opened_at, c.no"
_CLAIM: Final = " ".join(
    (_CHOOSE.replace("{size}", _SIZE), RETURNING_CASE, _GIVE, BEGINNING.format(bytes_max="$5"), _IN_ORDER)
)
#: Gives a case without anything that stands outside of its row.
_GIVE_ROW: Final = (
    ", f.bytes, f.found ) SELECT c.*, NULL::bigint AS next_due FROM (SELECT 1) AS always LEFT JOIN claimed c ON true"
)
_CLAIM_ROW: Final = " ".join((_CHOOSE.replace("{size}", "SELECT 0::bigint AS bytes"), RETURNING_ROW, _GIVE_ROW))
_CLAIM_SUSPECTS: Final = _CLAIM.replace("{suspect}", "c.suspect")
_CLAIM_OTHERS: Final = _CLAIM.replace("{suspect}", "NOT c.suspect")
_CLAIM_SUSPECT_ROW: Final = _CLAIM_ROW.replace("{suspect}", "c.suspect")
_CLAIM_OTHER_ROW: Final = _CLAIM_ROW.replace("{suspect}", "NOT c.suspect")
_TAKE_AGAIN: Final = """
    WITH claimed AS (
        UPDATE "case" c SET epoch = c.epoch + 1 WHERE c.tenant = $2 AND c.case_id = $3 AND c.node = $1
"""
_GIVE_AGAIN: Final = """
        , (
            SELECT coalesce(sum(octet_length(r.frame)), 0)::bigint FROM record r
            WHERE r.case_no = c.no AND r.seq >= c.chapter
        ) AS bytes
    )
    SELECT c.*, log.*, unread.* FROM claimed c
"""
_RECLAIM_ROW: Final = " ".join((_TAKE_AGAIN, RETURNING_ROW, ", 0::bigint AS bytes ) SELECT * FROM claimed"))
_RECLAIM: Final = " ".join((_TAKE_AGAIN, RETURNING_CASE, _GIVE_AGAIN, BEGINNING.format(bytes_max="$4")))
#: Also says whether nodes of other processes live.
_RENEW: Final = """
    WITH renewed AS (
        INSERT INTO node SELECT g.name, g.until, ARRAY(SELECT json_array_elements_text(g.carries::json))
        FROM unnest($1::text[], $2::bigint[], $4::text[]) AS g (name, until, carries)
        ON CONFLICT (name) DO UPDATE SET until = excluded.until, carries = excluded.carries
    )
    SELECT EXISTS (
        SELECT FROM node WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            AND name <> ALL($3::text[])
    )
"""
#: The clean end of nodes: what they claimed was not in vain.
_CLEAR: Final = """
    UPDATE "case" SET claims = 0, suspect = false WHERE no IN (
        SELECT no FROM "case" WHERE node = ANY($1::text[]) AND claims > 0 ORDER BY no FOR NO KEY UPDATE
    )
"""
_SET: Final = sealed("""
    INSERT INTO setting SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
""")
_ADD: Final = sealed("""
    INSERT INTO setting SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (name) DO UPDATE SET value = setting.value || excluded.value
""")
_KEEP: Final = "INSERT INTO artifact SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT (sha256) DO NOTHING"


@final
class Leases:
    """The part of a batch that is about nodes, settings and artefacts."""

    def __init__(self, link: Link, own: Collection[str], mark: int, *, apart: bool) -> None:
        """Prepare; `own` are the names of our nodes, and a store whose mark is below `mark` gives no case.

        With `apart` cases are given one by one, and one of which something cannot be read says so.
        """
        self._apart = apart
        self._link = link
        self._skew = 0
        self._own = own
        self._mark = mark
        self.older = False  #: whether it is below
        self.standings: list[Standing] = []  #: how the cases stand that were claimed
        self.others: bool | None = None  #: whether nodes of other processes live, if a claim or a renewal has found out

    async def carry_out(self, asked: Sequence[Asked], skew: int) -> dict[int, object]:
        """Do what is asked, and give each call's answer by its place.

        `skew` is what the database's clock is ahead of ours, in microseconds.
        """
        self._skew = skew
        values: dict[int, object] = {}
        await self._upsert(asked)
        for place, call in enumerate(asked):
            match call:
                case Claim():
                    values[place] = await self._claim(call)
                case Reclaim():
                    values[place] = await self._take_again(call)
                case Renewal() | Setting() | Artifact():
                    values[place] = None
                case _:
                    pass
        return values

    async def _upsert(self, asked: Sequence[Asked]) -> None:
        # Of two values for one name the later holds; sorted, so that two processes never wait for each other.
        artifacts = {call.sha256: call.data for call in asked if isinstance(call, Artifact)}
        settings = {call.name: call.value for call in asked if isinstance(call, Setting) and not call.added}
        added = dict[str, str]()
        for call in asked:
            if isinstance(call, Setting) and call.added:
                added[call.name] = added.get(call.name, "") + call.value
        renewals = {call.node: call for call in asked if isinstance(call, Renewal)}
        nodes = [(name, call.until + self._skew, _json(call.carries)) for name, call in sorted(renewals.items())]
        for statement, kept in ((_KEEP, artifacts), (_SET, settings), (_ADD, added)):
            if kept:
                await self._link.execute(statement, *columns(sorted(kept.items()), 2))
        if nodes:
            names, untils, carries = columns(nodes, 3)
            self.others = await self._link.fetchval(_RENEW, names, untils, list(self._own), carries)
        ended = [call.node for call in asked if isinstance(call, Renewal) and not call.until]
        if ended:
            await self._link.execute(_CLEAR, ended)

    async def _claim(self, call: Claim) -> Claims:
        since = call.now - rules.SUSPECT_MICROS
        asking = (call.now + self._skew, call.node, rules.SUSPECT_CLAIMS, list(self._own), since, HALTED, MARK)
        found = await self._link.fetchrow(_BURY, *asking)
        assert found is not None, "a query without a table has a row"
        self.others = bool(found["others"])
        self.older = (found["mark"] or 0) < self._mark
        if self.older:
            return Claims()
        return msgspec.structs.replace(await self._choose(call, found), halted=found["halted"] or "")

    async def _choose(self, call: Claim, found: "Row") -> Claims:
        since = call.now - rules.SUSPECT_MICROS
        watched: int | None = found["watched"]
        if watched is not None and watched > call.now - rules.ALONE_MICROS:
            return Claims(next_due=await queries.next_due(self._link))
        if found["suspects"] and (watched is None or watched <= since):
            given = await self._take(call, min(call.limit, 1), suspects=True)
            if given.cases:
                return given
        doubts = max(rules.DOUBTED_MAX - int(found["doubted"]), 0)
        return await self._take(call, call.limit, suspects=False, doubts=doubts)

    async def _take_again(self, call: Reclaim) -> Claimed | None:
        if self._apart:
            row = await self._link.fetchrow(_RECLAIM_ROW, call.node, *call.key)
        else:
            row = await self._link.fetchrow(_RECLAIM, call.node, *call.key, rules.CLAIM_BYTES_MAX)
        return None if row is None else await self._claimed(row)

    async def _take(self, call: Claim, limit: int, *, suspects: bool, doubts: int = 0) -> Claims:
        statements = (_CLAIM_OTHERS, _CLAIM_SUSPECTS)
        if self._apart:
            limit, statements = 1, (_CLAIM_OTHER_ROW, _CLAIM_SUSPECT_ROW)
        moments = (call.now + self._skew, call.now)
        taking = (call.node, limit, *moments, rules.CLAIM_BYTES_MAX, _SPARE, rules.SUSPECT_CLAIMS, doubts)
        rows = await self._link.fetch(statements[suspects], *taking, call.carries)
        due: int | None = rows[0]["next_due"]
        cases = [await self._claimed(row) for row in rows if row["no"] is not None]
        found = rows[0]["found"] or 0
        more = bool(cases) and not suspects and (found == limit or len(cases) < found)
        if self._apart and not cases:
            due = await queries.next_due(self._link)
        return Claims(cases, more, None if more else due)

    async def _claimed(self, row: "Row") -> Claimed:
        case = case_row(row)
        self.standings.append(standing_of(row["no"], case))
        if self._apart or row["bytes"] > rules.CLAIM_BYTES_MAX:
            # A log of that length is not put together as one value. Nobody else can have changed it meanwhile.
            return await claimed_apart(self._link, row["no"], case)
        return Claimed(case, log_of(row), inbox_of(case.key, row))


def _json(texts: Sequence[str]) -> str:
    return msgspec.json.encode(texts).decode()
