"""Safeguards of the budgets that cases share, each with a way to take it away: what a simulation must notice.

They are told of, beside the others, in the table of `simulated_mutants`.
"""

from typing import Any

import pytest

from casework.runtime.flow.logbook import Logbook
from casework.runtime.flow.reserving import Reserving
from casework.runtime.store import ledger_rules
from casework.runtime.store.accounts import Overdrawn

Patch = pytest.MonkeyPatch


def a_budget_is_not_reserved(patch: Patch) -> None:
    async def anyway(self: Any, work: Any, intent: Any) -> bool:
        work.short = None
        return True

    patch.setattr(Reserving, "reserve", anyway)


def what_is_drawn_is_never_settled(patch: Patch) -> None:
    patch.setattr(Logbook, "settle", lambda self, settlement: None)


def who_draws_does_not_look_what_is_left(patch: Patch) -> None:
    verdict = ledger_rules.verdict

    def blind(draw: Any, accounts: Any, before: Any) -> Any:
        told = verdict(draw, accounts, before)
        return None if isinstance(told, Overdrawn) and draw.accounts[0] in accounts else told

    patch.setattr(ledger_rules, "verdict", blind)
