"""What must hold of the budgets of a run: nothing beyond a limit; ledgers, logs and the world say the same."""

from casework.actors.costs import By, attributed, costs_of
from casework.runtime.ledger import broken_at
from casework.runtime.store.base import CaseStatus, Store


async def check_money(store: Store, outside: int) -> None:
    """Hold the ledgers of a store against its logs and against what was paid for outside; raises AssertionError."""
    rows, accounts = await store.cases(), await store.accounts()
    calls = [call for row in rows for call in costs_of(row.key, await store.records(row.key)).spent()]
    said = {by: attributed(calls, by) for by in By}
    closed = all(row.status is CaseStatus.CLOSED for row in rows)
    for account in accounts:
        broken = broken_at(account, await store.ledger(account.name))
        assert broken is None, f"the ledger of {account.name} is not one: {broken}"
        assert account.left_micros >= 0, f"overspent: {account}"
        by = By(account.name.partition("/")[0])
        spent = said[by][account.name].spent if account.name in said[by] else 0
        assert account.spent_micros == spent, f"{account.name} spent {account.spent_micros}, and its logs say {spent}"
        assert not (closed and account.reserved_micros), f"closed, and something is still reserved: {account}"
    names = {account.name for account in accounts}
    for by in By:
        drawn = {name for name, spent in said[by].items() if name and spent.spent and by is not By.TOOL}
        assert drawn <= names, f"spent, and never drawn from: {sorted(drawn - names)}"
    paid = sum(spent.spent for _, spent in calls)
    assert outside <= paid, f"{outside} was spent outside, and the logs say {paid}"
