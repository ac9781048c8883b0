"""The sub-commands about money: what was spent and by whom, the budgets as they stand, and their limits.

Amounts are of the accounts' currency, to the millionth. What was spent is read from the logs of the cases, the budgets
from their ledgers. It does not know what a call is.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import anyio
from cyclopts import Parameter

from casework.actors.budgets import amount_fault, micros_of
from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, ByOption, JsonOption, StoreOption, person
from casework.actors.cli.output import say_columns, say_json, tell
from casework.actors.cli.reading import read_store
from casework.actors.cli.switching import warn_of_stranger
from casework.actors.cli.working import write
from casework.actors.cli.writing import tell_aftermath
from casework.actors.costs import By, Payer, Spent, attributed, costs_of
from casework.protocols.errors import ProtocolError
from casework.runtime.errors import StoreUnavailable
from casework.runtime.limits import set_limit
from casework.runtime.seams import MICROS, World
from casework.runtime.store.accounts import Account, parts_of
from casework.runtime.store.base import LimitResult, StoreDoor, StoreReader
from casework.runtime.store.ledger_rules import MICROS_MAX, account_fault

Of = Annotated[By, Parameter(name="--by", help="Whom or what it is counted for.")]
CaseOption = Annotated[str | None, Parameter(name="--case", help="Only this case.")]
Since = Annotated[str, Parameter(name="--since", help="Only calls that ended from this day on (UTC), 2026-07-01.")]

#: How what is of nobody is shown.
NOBODY: Final = "-"


def cost(
    *,
    by: Of = By.AGENT,
    store: StoreOption = STORE,
    case: CaseOption = None,
    since: Since = "",
    json_: JsonOption = False,
) -> int:
    """Say what calls cost and who caused it, retries and lost votes included, from the logs of the cases alone.

    Open is what calls hold that have not ended; unknown, what those hold of which a person is asked whether they
    happened. Both count as spent in their budgets. A case whose log cannot be read is left out: then the code is 1.
    """
    moment, left = _day(since), list[str]()

    async def read(reader: StoreReader) -> tuple[list[tuple[Payer, Spent]], int]:
        calls, dropped = list[tuple[Payer, Spent]](), 0
        rows = [row for row in await reader.cases() if case in (None, row.key.case_id)]
        if case is not None and not rows:
            raise Quit(Exit.NOT_FOUND, f"there is no case {case!r}; `casework cases` lists them")
        for row in rows:
            try:
                costs = costs_of(row.key, await reader.records(row.key))
            except ProtocolError as error:
                left.append(f"{row.key.case_id}: left out, for its log cannot be read: {error}")
                continue
            calls += costs.spent(moment)
            dropped += costs.dropped
        return calls, dropped

    calls, dropped = read_store(store, read)
    for line in left:
        tell("warning", line)
    total = Spent()
    for _, spent in calls:
        total = total.plus(spent)
    table = attributed(calls, by)
    if dropped:
        tell("note", f"{dropped} records were dropped by retention; what they cost stands in the ledgers only")
    if json_:
        rows = [{by.value: name, **spent._asdict()} for name, spent in table.items()]
        say_json({"by": by, "rows": rows, "total": total._asdict()})
        return Exit.WRONG if left else Exit.OK
    named = [*((name or NOBODY, spent) for name, spent in table.items()), ("total", total)]
    lines = [(name, str(each.calls), *map(shown, (each.spent, each.open, each.unknown))) for name, each in named]
    say_columns([(by.value, "calls", "spent", "open", "unknown"), *lines])
    return Exit.WRONG if left else Exit.OK


def list_budgets(*, store: StoreOption = STORE, json_: JsonOption = False) -> int:
    """List the budgets, from the first draw or limit on: what each may spend, has spent and holds.

    Of one that cannot be read it is said why, after the others: then the code is 1.
    """
    accounts: Sequence[Account] = read_store(store, lambda reader: reader.accounts())
    broken = [account for account in accounts if account.broken]
    if json_:
        say_json([_account_json(account) for account in accounts])
    elif accounts:
        rows = [(each.name, *map(shown, _amounts(each))) for each in accounts if not each.broken]
        say_columns([("budget", "limit", "spent", "reserved", "left"), *rows])
    else:
        tell("note", f"{store} has no budget yet; one begins with the first call that costs something")
    for each in broken:
        tell("warning", f"{each.name}: cannot be read: {each.broken}; `casework verify` says more")
    return Exit.WRONG if broken else Exit.OK


def set_budget(
    account: Annotated[str, Parameter(name="ACCOUNT")],
    amount: Annotated[str, Parameter(name="AMOUNT")],
    /,
    *,
    store: StoreOption = STORE,
    by: ByOption = "",
    json_: JsonOption = False,
) -> int:
    """Set what a budget may spend in all; the cases that wait for that go on.

    Parameters
    ----------
    account
        As `casework budget list` names it, such as agent/default/clerk.
    amount
        In the account's currency, such as 12.50; what was spent before counts.
    """
    kind, _, name = parts_of(account)
    if fault := account_fault(account):
        raise Quit(Exit.USAGE, fault)
    micros = _micros(amount)

    async def act(reader: StoreReader, door: StoreDoor) -> LimitResult:
        if kind == "agent":
            await warn_of_stranger(reader, f"agent:{name}", "so nothing draws from its budget")
        return await set_limit(door, account, micros, by=person(by), world=World())

    result, after = anyio.run(write, store, act)
    if not isinstance(result, Account):
        raise StoreUnavailable(store, f"{result.why}; run it again, which does no harm")
    said = f"{account}: may spend {shown(result.limit_micros)}, and {shown(result.left_micros)} is left"
    tell_aftermath(said, after, json_=json_)
    return Exit.OK


def shown(micros: int) -> str:
    """Show an amount in the account's currency, with two digits after the point or as many as it has."""
    if micros == MICROS_MAX:
        return "no limit"
    text = f"{Decimal(micros) / MICROS:.6f}"
    return text[:-4] + text[-4:].rstrip("0")


def _micros(amount: str) -> int:
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise Quit(Exit.USAGE, f"{amount!r} is no amount; write it like 12.50") from None
    fault = amount_fault(value)
    if fault:
        raise Quit(Exit.USAGE, f"{amount}: {fault}")
    return micros_of(value)


def _day(since: str) -> int:
    if not since:
        return 0
    try:
        return int(dt.datetime.fromisoformat(f"{since}T00:00:00+00:00").timestamp()) * MICROS
    except ValueError:
        raise Quit(Exit.USAGE, f"{since!r} is no day; write it like 2026-07-01") from None


def _amounts(account: Account) -> tuple[int, int, int, int]:
    left = MICROS_MAX if account.limit_micros == MICROS_MAX else account.left_micros
    return account.limit_micros, account.spent_micros, account.reserved_micros, left


def _account_json(account: Account) -> dict[str, object]:
    if account.broken:
        return {"account": account.name, "broken": account.broken}
    limit, spent, reserved, left = _amounts(account)
    free = account.limit_micros == MICROS_MAX
    amounts = {"spent_micros": spent, "reserved_micros": reserved, "left_micros": None if free else left}
    return {"account": account.name, "limit_micros": None if free else limit, **amounts}
