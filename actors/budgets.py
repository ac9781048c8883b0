"""Budgets: which accounts a call draws from, what each may spend that nobody has set a limit for, and what then.

A call that costs something draws from its case, its agent and its tenant, and from the project and the user that the
case names. Amounts are of the account's currency, to the millionth. Who sets a limit for an account overrules the
policy's from then on. It does not know what is left of anything.
"""

from decimal import Decimal

from msgspec import Struct, field

from casework.protocols.wire import OnStop
from casework.runtime.seams import MICROS
from casework.runtime.staff import CallRequest, Overdraft
from casework.runtime.store.accounts import ACCOUNT_KINDS, account_name, parts_of
from casework.runtime.store.ledger_rules import MICROS_MAX


class Budgets(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a policy that is about money; an account for which it names no amount has no limit."""

    case: Decimal | None = None
    """What each case may spend; the same for the others."""
    agent: Decimal | None = None
    project: Decimal | None = None
    user: Decimal | None = None
    tenant: Decimal | None = None
    agents: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    """What those named here may spend instead; the same for the others."""
    projects: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    users: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    tenants: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    on_overdrawn: OnStop = OnStop.PARK
    """A call for which too little is left waits for a higher limit, asks a person, or is refused."""
    cheaper: dict[str, str] = field(default_factory=dict[str, str])
    """Tools that are called instead, where that is allowed, by the tool for which too little is left."""

    def limit(self, account: str) -> int:
        """Give the limit, in millionths, of an account that nobody has set one for."""
        kind, tenant, name = parts_of(account)
        each: dict[str, tuple[Decimal | None, dict[str, Decimal]]] = {
            "case": (self.case, {}),
            "agent": (self.agent, self.agents),
            "project": (self.project, self.projects),
            "user": (self.user, self.users),
            "tenant": (self.tenant, self.tenants),
        }
        amount, named = each.get(kind, (None, {}))
        amount = named.get(name or tenant, amount)
        return MICROS_MAX if amount is None else micros_of(amount)

    def overdrawn(self, tool: str) -> Overdraft:
        """Say what becomes of a call of a tool for which too little is left."""
        return Overdraft(self.on_overdrawn, self.cheaper.get(tool, ""))

    def faults(self) -> list[tuple[str, str]]:
        """Name what is wrong, as (place, why)."""
        places = {kind: amount for kind in ACCOUNT_KINDS if (amount := getattr(self, kind)) is not None}
        for kind in ("agents", "projects", "users", "tenants"):
            places.update({f"{kind}.{name}": amount for name, amount in getattr(self, kind).items()})
        return [(place, why) for place, amount in places.items() if (why := amount_fault(amount))]


def accounts_of(request: CallRequest, agent: str) -> tuple[str, ...]:
    """Name the accounts that a call draws from; `agent` is empty for a call of the flow itself."""
    tenant = request.key.tenant
    names = (request.key.case_id, agent, request.project, request.user)
    several = [account_name(kind, tenant, name) for kind, name in zip(ACCOUNT_KINDS, names, strict=False) if name]
    return (*several, account_name("tenant", tenant))


def micros_of(amount: Decimal) -> int:
    """Give an amount in millionths; `amount_fault` has nothing against it."""
    return int(amount * MICROS)


def amount_fault(amount: Decimal) -> str:
    """Say why something is no amount that can be a limit, or nothing."""
    if not amount.is_finite() or not 0 <= amount * MICROS <= MICROS_MAX:
        return f"must be an amount from 0 to {MICROS_MAX // MICROS}"
    return "" if amount * MICROS == int(amount * MICROS) else "has more than six digits after the point"
