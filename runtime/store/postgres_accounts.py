"""Accounts and their ledgers in a PostgreSQL store: a batch's settlements, limits and draws at once.

All accounts that a batch is about are locked by one statement in one order, after the cases and for as short as can
be: whoever draws from an account waits for the others that do. What is decided is decided here, from the locked rows,
and written by two statements. A settlement knows no accounts; they are found by the entries of its draw.
It does not know when the transaction begins or ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, final

from casework.runtime.store import ledger_rules
from casework.runtime.store.accounts import Account, Draw, Drawn, EntryKind, LedgerEntry, Settlement
from casework.runtime.store.base import Append, Appended
from casework.runtime.store.postgres_calls import Asked, Limit
from casework.runtime.store.postgres_columns import columns
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_queries import storable

if TYPE_CHECKING:
    from casework.runtime.store.postgres_queries import Row

_COLUMNS: Final = "a.no, a.name, a.limit_micros, a.spent_micros, a.reserved_micros, a.next_seq, a.head"
_ALL: Final = " ".join(("SELECT", _COLUMNS, "FROM account a"))
_ACCOUNT: Final = f"{_ALL} WHERE a.name = $1"
_ACCOUNTS: Final = f"{_ALL} ORDER BY a.name"
_LEDGER: Final = """
    SELECT l.seq, l.kind, l.micros, l.at, l.draw_id, l.epoch, l."by", l.hash
    FROM ledger l JOIN account a ON a.no = l.account_no WHERE a.name = $1 ORDER BY l.seq
"""
_MAKE: Final = """
    INSERT INTO account (name, limit_micros, spent_micros, reserved_micros, next_seq, head)
    SELECT name, 0, 0, 0, 0, '' FROM unnest($1::text[]) AS g (name) ON CONFLICT (name) DO NOTHING
"""
_WANTED: Final = """
    SELECT n.no FROM account n WHERE n.name = ANY($1::text[])
    UNION
    SELECT l.account_no FROM ledger l WHERE l.draw_id = ANY($2::text[]) AND l.draw_id <> ''
"""
_LOCK: Final = f"{_ALL} WHERE a.no IN ({_WANTED}) ORDER BY a.no FOR NO KEY UPDATE OF a"
_UNDER: Final = """
    SELECT l.draw_id, l.kind, a.name, l.micros FROM ledger l JOIN account a ON a.no = l.account_no
    WHERE l.draw_id = ANY($1::text[]) AND l.draw_id <> ''
"""
_KEEP: Final = """
    UPDATE account a SET limit_micros = g.limit_micros, spent_micros = g.spent, reserved_micros = g.reserved,
                         next_seq = g.next_seq, head = g.head
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
        AS g (no, limit_micros, spent, reserved, next_seq, head)
    WHERE a.no = g.no
"""
_ENTER: Final = """
    INSERT INTO ledger (account_no, seq, kind, micros, at, draw_id, epoch, "by", hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
                         $7::bigint[], $8::text[], $9::bytea[])
"""


async def account(link: Link, name: str) -> Account | None:
    """Give one account."""
    found = await link.fetchrow(_ACCOUNT, name) if storable(name) else None
    return None if found is None else _account(found)


async def accounts(link: Link) -> Sequence[Account]:
    """Give all accounts, ordered by name."""
    return [_account(row) for row in await link.fetch(_ACCOUNTS)]


async def ledger(link: Link, name: str) -> Sequence[LedgerEntry]:
    """Give an account's entries, in order."""
    rows = await link.fetch(_LEDGER, name) if storable(name) else []
    return [LedgerEntry(seq, EntryKind(kind), *rest) for seq, kind, *rest in rows]


async def carry_out(link: Link, asked: Sequence[Asked], answers: Mapping[int, object]) -> dict[int, object]:
    """Enter the settlements of appends that stand, then limits, then draws; give the answers of these two by place."""
    settlements = [
        (settlement, call.epoch)
        for place, call in enumerate(asked)
        if isinstance(call, Append) and isinstance(answers.get(place), Appended)
        for settlement in call.settles
    ]
    limits = {place: call for place, call in enumerate(asked) if isinstance(call, Limit)}
    draws = {place: call for place, call in enumerate(asked) if isinstance(call, Draw)}
    if not (settlements or limits or draws):
        return {}
    books = await Books.opened(link, settlements, limits.values(), draws.values())
    for settlement, epoch in settlements:
        books.settle(settlement, epoch)
    values: dict[int, object] = {place: books.set_limit(limit) for place, limit in limits.items()}
    values.update((place, books.draw(draw)) for place, draw in draws.items())
    await books.write(link)
    return values


@final
class Books:
    """Locked accounts, as they come to stand while a batch is carried out."""

    def __init__(self, rows: Iterable["Row"], under: Iterable["Row"]) -> None:
        """Begin with locked rows, and with what was entered under the ids that a batch names."""
        self._numbers: dict[str, int] = {}
        self._accounts: dict[str, Account] = {}
        for row in rows:
            self._numbers[row["name"]] = row["no"]
            self._accounts[row["name"]] = _account(row)
        self._drawn: dict[str, dict[str, int]] = {}
        self._settled: set[str] = set()
        for draw_id, kind, name, micros in under:
            if kind == EntryKind.DRAW:
                self._drawn.setdefault(draw_id, {})[name] = micros
            else:
                self._settled.add(draw_id)
        self._changed: dict[str, None] = {}
        self._entries: list[tuple[object, ...]] = []

    @classmethod
    async def opened(
        cls,
        link: Link,
        settlements: Iterable[tuple[Settlement, int]],
        limits: Iterable[Limit],
        draws: Iterable[Draw],
    ) -> "Books":
        """Make the accounts that are to have a limit, and lock all that these are about."""
        limited = sorted({limit.name for limit in limits})
        names, ids = dict.fromkeys(limited), {settlement.draw_id: None for settlement, _ in settlements}
        for draw in draws:
            names.update(dict.fromkeys(draw.accounts))
            ids[draw.id] = None
        if limited:
            await link.execute(_MAKE, limited)
        rows = await link.fetch(_LOCK, [name for name in names if storable(name)], list(ids))
        # Asked once they are locked: whoever had them before may have entered more.
        return cls(rows, await link.fetch(_UNDER, list(ids)) if ids else ())

    def set_limit(self, limit: Limit) -> Account:
        """Enter a limit."""
        account = self._accounts[limit.name]
        if limit.only_new and account.next_seq:
            return account
        return self._enter(*ledger_rules.with_limit(account, limit.micros, by=limit.by, at=limit.at))

    def draw(self, draw: Draw) -> object:
        """Enter a draw in all its accounts, or say why not."""
        settled = ledger_rules.verdict(draw, self._accounts, self._drawn.get(draw.id, {}))
        if settled is not None:
            return settled
        self._drawn[draw.id] = dict.fromkeys(draw.accounts, draw.micros)
        for name in draw.accounts:
            self._enter(*ledger_rules.with_draw(self._accounts[name], draw))
        return Drawn(draw.id)

    def settle(self, settlement: Settlement, epoch: int) -> None:
        """Enter what a call did cost; one whose draw is not here, or is settled, changes nothing."""
        if settlement.draw_id in self._settled:
            return
        self._settled.add(settlement.draw_id)
        for name, drawn in self._drawn.get(settlement.draw_id, {}).items():
            account = self._accounts[name]
            self._enter(*ledger_rules.with_settlement(account, settlement, drawn=drawn, epoch=epoch))

    async def write(self, link: Link) -> None:
        """Write what has changed."""
        if not self._entries:
            return
        rows = [(self._numbers[name], self._accounts[name]) for name in self._changed]
        kept = [(no, a.limit_micros, a.spent_micros, a.reserved_micros, a.next_seq, a.head) for no, a in rows]
        await link.execute(_KEEP, *columns(kept, 6))
        await link.execute(_ENTER, *columns(self._entries, 9))

    def _enter(self, after: Account, entry: LedgerEntry) -> Account:
        self._accounts[after.name] = after
        self._changed[after.name] = None
        values = (entry.seq, entry.kind, entry.micros, entry.at, entry.draw_id, entry.epoch, entry.by, entry.hash)
        self._entries.append((self._numbers[after.name], *values))
        return after


def _account(row: "Row") -> Account:
    _, *values = row
    return Account(*values)
