"""Accounts: budgets that many cases share, each with a ledger that says who took what of it.

A limit is set by a person, a case draws the most that a call can cost before it makes the call, and what the call did
cost is settled by the append that records its end. Until then the whole draw counts as spent, so cases that work at
the same time can never take more than the limit together. All of it stands in the account's own chained ledger.
All amounts are micros (millionths) of the account's currency, all times microseconds since the epoch.
It does not know what a call is, nor who may set a limit.
"""

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, unquote

from msgspec import Struct

if TYPE_CHECKING:
    from casework.runtime.store.base import CaseKey, Unavailable, Unknown

#: What there are budgets of, in the order in which a call draws from them.
ACCOUNT_KINDS: Final = ("case", "agent", "project", "user", "tenant")
#: Characters of an account's name at most; those of a tenant and of a user, each sign of them escaped, are fewer.
ACCOUNT_CHARS_MAX: Final = 8_000


class EntryKind(enum.StrEnum):
    """What an entry of a ledger says."""

    LIMIT = "limit"
    """A person set the limit to `micros`."""
    DRAW = "draw"
    """A case reserved `micros` for a call."""
    SETTLE = "settle"
    """The call of a draw cost `micros`, and the rest of what was reserved is free again."""


class Account(Struct, frozen=True):
    """A budget as it stands."""

    name: str
    """Like `tenant/acme` or `agent/acme/clerk`."""
    limit_micros: int = 0
    spent_micros: int = 0
    """What settled calls cost; a call that cost more than was drawn for it may take this beyond the limit."""
    reserved_micros: int = 0
    """What draws that are not settled hold."""
    next_seq: int = 0
    """Number of entries in its ledger."""
    head: bytes = b""
    """Hash of its last entry, empty while there is none."""
    broken: str = ""
    """Why it cannot be read, where it is listed among others that can; its amounts say nothing then."""

    @property
    def left_micros(self) -> int:
        """What can still be drawn; below 0 where more was spent, or the limit was lowered."""
        return self.limit_micros - self.spent_micros - self.reserved_micros


class LedgerEntry(Struct, frozen=True):
    """One entry of an account's ledger."""

    seq: int
    kind: EntryKind
    micros: int
    at: int
    draw_id: str = ""
    """The draw that it is or settles; empty for a limit."""
    epoch: int = 0
    """The epoch of the case that drew or settled."""
    by: str = ""
    """Who set a limit; empty for everything else."""
    hash: bytes = b""
    """Its place in the chain."""


class Draw(Struct, frozen=True):
    """What a case reserves before a call, of each of these accounts the same."""

    id: str
    """Made by `draw_id`: the same call has the same id in every incarnation of its case."""
    accounts: tuple[str, ...]
    micros: int
    """The most that the call can cost; above 0, for a call that costs nothing reserves nothing."""
    epoch: int
    at: int


class Settlement(Struct, frozen=True):
    """What the call of a draw did cost, in each account that it drew from."""

    draw_id: str
    micros: int
    at: int


class Drawn(Struct, frozen=True):
    """It is reserved and durable; the same draw again gives this again, after it was settled too."""

    id: str


class Overdrawn(Struct, frozen=True):
    """Nothing was reserved: this account, the first such of the draw, has less left (an absent one has nothing)."""

    account: str
    left_micros: int


class DrawRefused(Struct, frozen=True):
    """Nothing was reserved: another amount, or of other accounts, was drawn under this id."""

    id: str


class AccountReader(Protocol):
    """What anybody may read of accounts; raises as the store's other reads."""

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        ...

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name; one that cannot be read says so in `broken`, and hides no other."""
        ...

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        ...


class LimitSetter(Protocol):
    """What a person may do with accounts."""

    async def set_limit(
        self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False
    ) -> "Account | Unavailable | Unknown":
        """Set an account's limit, which makes an account that is not there; gives the account as it stands then.

        With `only_new` an account that is there keeps the limit that it has. If cancelled, it may or may not have been
        set; to set it again is one more entry and does no harm.
        """
        ...


class AccountKeeper(LimitSetter, Protocol):
    """What the owner of the store may do with accounts; settlements come with appends."""

    async def draw(self, draw: Draw) -> "Drawn | Overdrawn | DrawRefused | Unavailable | Unknown":
        """Reserve an amount of several accounts at once, all or none; durable when it returns `Drawn`.

        If cancelled, it may or may not have been drawn; the same draw again does no harm.
        """
        ...


def draw_id(key: "CaseKey", step_id: str, chapter: int = 0) -> str:
    """Name the draw of a case's step; no two steps of whatever tenants and chapters share one."""
    parts = (quote(key.tenant, safe=""), quote(key.case_id, safe=""), step_id)
    return "/".join(parts) if not chapter else "/".join((*parts, f";{chapter}"))


def account_name(kind: str, tenant: str, name: str = "") -> str:
    """Name an account: `tenant/acme`, or `agent/acme/clerk` for what a tenant has several of."""
    parts = [kind, quote(tenant, safe="")]
    return "/".join([*parts, quote(name, safe="/")] if name else parts)


def parts_of(account: str) -> tuple[str, str, str]:
    """Give kind, tenant and name of an account, as `account_name` was given them; what is missing is empty."""
    kind, tenant, name = (*account.split("/", 2), "", "")[:3]
    return kind, unquote(tenant), unquote(name)
