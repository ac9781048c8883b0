"""Safeguards taken away one by one: the bank's run by seeds finds out about each of them.

A run that never fails proves little; these show that it looks where it hurts. With everything in its place the same
seeds pass.
"""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from casework.actors.gate import Gate
from casework.runtime.flow.casecell import CaseCell
from casework.runtime.simulation import draw_plan, simulate
from casework.runtime.store import rules
from casework.runtime.store.base import CaseStatus, InboxItem
from casework.runtime.store.memory import MemoryStore
from tests.support.simulated_service import bank_run

#: Seeds within which each is found; all were found within ten.
SEEDS_MAX = 40


def nothing_is_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "append_refusal", lambda append, **there: None)


def messages_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(self: Any, item: InboxItem, *, target: str = "") -> bool:
        case = self._cases.get(item.key)
        if case is None or case.row.status is CaseStatus.CLOSED:
            return False
        self._position += 1
        case.unread[f"{item.id}/{self._position}"] = replace(item, position=self._position)
        case.had[item.id] = target
        return True

    monkeypatch.setattr(MemoryStore, "_put", put)


def writes_in_doubt_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def again(self: Gate, request: Any, *, idempotency_key: str, call_before: int) -> Any:
        return await self.perform(request, idempotency_key=idempotency_key, call_before=0)

    monkeypatch.setattr(Gate, "look_up", again)


def another_try_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = Gate.look_up

    async def elsewhere(self: Gate, request: Any, *, idempotency_key: str, call_before: int) -> Any:
        return await look_up(self, request, idempotency_key=f"{idempotency_key}-2", call_before=call_before)

    monkeypatch.setattr(Gate, "look_up", elsewhere)


def writes_begin_before_their_intent_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    services = CaseCell._services

    def hasty(self: CaseCell, *given: Any) -> Any:
        return dataclasses.replace(services(self, *given), when_durable=lambda seq, run: run())

    monkeypatch.setattr(CaseCell, "_services", hasty)


@pytest.mark.parametrize(
    "mutant",
    [
        nothing_is_fenced,
        messages_come_again,
        writes_in_doubt_are_made_again,
        another_try_has_another_key,
        writes_begin_before_their_intent_is_durable,
    ],
)
def test_a_missing_safeguard_is_found_out(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            simulate(bank_run, seed=seed, plan=draw_plan(seed))
        except Exception:  # noqa: BLE001 - it shows as a lost case, as money paid twice, or as a log that broke
            return
    pytest.fail(f"{mutant.__name__}: nobody noticed in {SEEDS_MAX} seeds")
