"""Every built-in invariant can fail: a crew, a scenario or a part of the machine is broken, and the right one says so.

With everything in its place the same seeds and the same faults break nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count, product
from typing import Any

import pytest

from casework.actors import Work
from casework.actors.calling import Calling
from casework.actors.desk import Desk, InHand
from casework.actors.gate import Gate
from casework.actors.simulation import SeedReport, run_seed
from casework.actors.simulation.builtin import BUILT_IN
from casework.actors.simulation.effects import Effects
from casework.actors.supervisor import SupervisorBehavior
from casework.protocols.records import ReviewAction
from casework.runtime import Case
from casework.runtime.behavior import Context
from casework.runtime.flow.calls import Calls
from casework.runtime.flow.reserving import Reserving
from casework.runtime.kernel import Kernel
from casework.runtime.simulation import FaultPlan
from casework.runtime.store import chain, memory
from casework.runtime.store.base import CaseOpened, Opening
from casework.runtime.store.memory import MemoryStore
from tests.support.shop_crew import Refund, make_crew, refund, settle

#: Faults that make the gate look up, cases begin again, and messages wait.
FAULTY = FaultPlan(tool_unheard=0.4, crash_steps=400.0, tool_seconds=4.0, heal_seconds=40.0)
CALM = FaultPlan(heal_seconds=1.0)
#: Seeds within which each is found; even ones run over the store in memory.
SEEDS = range(0, 16, 2)

Break = Callable[[pytest.MonkeyPatch], Any]


def another_try_has_another_key(monkeypatch: pytest.MonkeyPatch) -> Any:
    look_up = Calling.look_up

    async def elsewhere(self: Calling, request: Any, *, idempotency_key: str, **given: int) -> Any:
        return await look_up(self, request, idempotency_key=f"{idempotency_key}-2", **given)

    monkeypatch.setattr(Calling, "look_up", elsewhere)
    return make_crew()


def keys_are_not_honoured(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Effects, "honoured", lambda self, tool, key, at: None)
    return make_crew()


def a_persons_no_is_a_yes(monkeypatch: pytest.MonkeyPatch) -> Any:
    approved = Calls._approved

    def deaf(self: Calls, work: Any, decided: Any) -> None:
        if decided.action is ReviewAction.REJECT:
            self._rule(work, approved=True)
        else:
            approved(self, work, decided)

    monkeypatch.setattr(Calls, "_approved", deaf)
    return make_crew()


def the_gate_knows_no_budget(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def greedy(inputs: Refund, work: Work) -> str:
        for number in range(3):
            await work.call("tier_of", {"customer": f"{inputs.customer}{number}"}, returns=str)
        return ""

    monkeypatch.setattr(Gate, "_read", lambda self, request, tool: None)
    return make_crew(settling=replace(settle, function=greedy))


def the_first_answer_of_an_agent_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    finished = Desk.finished

    def unheard(self: Desk, in_hand: InHand, *, fault: bool | None, now: float) -> None:
        finished(self, in_hand, fault=fault, now=now)
        in_hand.recalled = in_hand.attempt == 1

    monkeypatch.setattr(Desk, "finished", unheard)
    return make_crew()


def nothing_is_drawn_from_budgets(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def anyway(self: Reserving, work: Any, intent: Any) -> bool:
        return True

    monkeypatch.setattr(Reserving, "reserve", anyway)
    return make_crew(price=100)


def a_store_forgets(monkeypatch: pytest.MonkeyPatch) -> Any:
    open_case = MemoryStore.open_case

    async def forgetful(self: MemoryStore, opening: Opening) -> Any:
        if opening.key.case_id.endswith("3"):
            return CaseOpened(opening.key)
        return await open_case(self, opening)

    monkeypatch.setattr(MemoryStore, "open_case", forgetful)
    return make_crew()


def a_flow_goes_another_way_each_time(monkeypatch: pytest.MonkeyPatch) -> Any:
    runs = count()

    async def moody(case: Case, inputs: Refund) -> str:
        if next(runs) % 2:
            await case.note("today is different")
        return await refund(case, inputs)

    moody.__name__ = "refund"
    return make_crew(flow=moody)


def a_chain_is_not_carried_on(monkeypatch: pytest.MonkeyPatch) -> Any:
    chained = chain.chained
    monkeypatch.setattr(
        memory,
        "chained",
        lambda head, key, record: bytes(32) if record.kind == "closed" else chained(head, key, record),
    )
    return make_crew()


def the_supervisor_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> Any:
    started, receive, ended = SupervisorBehavior.started, SupervisorBehavior.receive, list[object]()

    async def start(self: SupervisorBehavior, context: Context) -> None:
        await started(self, context)
        self.desk.route_now = lambda in_hand: False

    async def end(self: SupervisorBehavior, context: Context, envelope: Any) -> None:
        if any(each is self.desk for each in ended):
            await receive(self, context, envelope)
        else:
            ended.append(self.desk)
            await context.clock.sleep(2.0)
            context.self_ref.stop()

    monkeypatch.setattr(SupervisorBehavior, "started", start)
    monkeypatch.setattr(SupervisorBehavior, "receive", end)
    return make_crew()


def the_supervisor_ends_and_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Kernel, "dead_letter", lambda self, envelope, why: None)
    return the_supervisor_ends_and_says_so(monkeypatch)


def a_stand_in_breaks(monkeypatch: pytest.MonkeyPatch) -> Any:
    return make_crew(scenario="ClumsyShop")


def a_stand_in_waits(monkeypatch: pytest.MonkeyPatch) -> Any:
    return make_crew(scenario="WaitingShop")


def a_stand_in_pays_too_much(monkeypatch: pytest.MonkeyPatch) -> Any:
    return make_crew(scenario="GenerousShop")


BROKEN: dict[Break, str] = {
    another_try_has_another_key: "effect_twice",
    keys_are_not_honoured: "effect_twice",
    a_persons_no_is_a_yes: "effect_denied",
    the_first_answer_of_an_agent_goes_nowhere: "attempt_lost",
    the_gate_knows_no_budget: "budget_exceeded",
    nothing_is_drawn_from_budgets: "budget_overspent",
    a_store_forgets: "case_lost",
    a_flow_goes_another_way_each_time: "unended",
    a_chain_is_not_carried_on: "log_broken",
    the_supervisor_ends_and_says_so: "dead_letter",
    the_supervisor_ends_and_nobody_counts: "message_lost",
    a_stand_in_breaks: "run_broken",
    a_stand_in_waits: "run_broken",
    a_stand_in_pays_too_much: "fair",
}


def broken(report: SeedReport) -> set[str]:
    return {each.invariant for each in report.violations}


@pytest.mark.parametrize(("breaks", "name"), BROKEN.items())
def test_what_is_broken_is_named(breaks: Break, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = breaks(monkeypatch)
    found: set[str] = set()
    for seed, plan in product(SEEDS, (CALM, FAULTY)):
        found |= broken(run_seed(crew, seed, plan))
        if name in found:
            return
    pytest.fail(f"nobody noticed but {found or 'nobody'} in {len(SEEDS)} seeds")


def test_with_everything_in_its_place_nothing_is_broken() -> None:
    crew = make_crew()
    assert [broken(run_seed(crew, seed, FAULTY)) for seed in SEEDS[:4]] == [set()] * 4


def test_payments_at_a_price_break_nothing_either() -> None:
    crew = make_crew(price=100)
    assert [broken(run_seed(crew, seed, FAULTY)) for seed in SEEDS[:4]] == [set()] * 4


def test_every_invariant_is_seen_to_fail() -> None:
    assert {each.name for each in BUILT_IN} <= set(BROKEN.values())
