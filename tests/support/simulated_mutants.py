"""Safeguards of the runtime, each with a way to take it away: what a simulation must notice.

Only tests reach these: each patches the code while a test lasts. Beside it stands the scenario that notices soonest.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from casework.actors.calling import Calling
from casework.actors.desk import Desk
from casework.actors.gate import Gate
from casework.protocols.effects import Standing, Write
from casework.protocols.records import Decided, Fired, ReviewAction
from casework.protocols.wire import FailureKind
from casework.runtime.flow import reading, replay, saga, taskcalls, tasks
from casework.runtime.flow.alarms import Alarms
from casework.runtime.flow.callhistory import CallHistory, Told
from casework.runtime.flow.calls import Calls
from casework.runtime.flow.callwork import CallWork
from casework.runtime.flow.casecell import CaseCell
from casework.runtime.flow.casestore import CaseStore
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.incarnation import Incarnation
from casework.runtime.flow.tasks import Tasks
from casework.runtime.flow.taskwork import TaskWork
from casework.runtime.poison import Poison
from casework.runtime.simulation import FaultPlan, Simulation, draw_plan
from casework.runtime.staff import CallResult
from casework.runtime.store.base import Append, Appended, AppendResult, Unavailable
from tests.support.simulated_mutants_of_budgets import (
    a_budget_is_not_reserved,
    what_is_drawn_is_never_settled,
    who_draws_does_not_look_what_is_left,
)
from tests.support.simulated_mutants_of_stores import (
    a_claim_raises_no_epoch,
    a_sender_is_told_before_it_is_stored,
    leases_of_others_count_for_nothing,
    messages_come_again,
    nothing_is_fenced,
    two_decisions_both_count,
    what_goes_out_is_a_second_transaction,
    what_is_read_is_taken_out_at_once,
)
from tests.support.simulated_office_run import bombs_run, crowd_run, desk_run, trips_run
from tests.support.simulated_service import bank_run

Patch = pytest.MonkeyPatch


def zombies(seed: object) -> FaultPlan:
    """Draw a plan whose processes stand still for so long that others have done their work and forgotten it."""
    plan = replace(draw_plan(seed), pause_every_seconds=15.0, pause_seconds=200.0, latency_seconds=2.0)
    return replace(plan, heal_seconds=300.0, jump_every_seconds=0.0)


def calm(seed: object) -> FaultPlan:
    """Give a plan in which everything takes its time and nothing goes wrong."""
    return FaultPlan(latency_seconds=0.1, tool_seconds=6.0, heal_seconds=120.0)


class Mutant(NamedTuple):
    """A safeguard that is taken away, the scenario that is to notice, by which words, and how its faults are drawn."""

    take_away: Callable[[Patch], None]
    scenario: Callable[[Simulation], Awaitable[dict[str, str]]]
    because: str = ""
    """What it says then, as a pattern; anything if it is left empty."""
    plan: Callable[[object], FaultPlan] = draw_plan

    @property
    def name(self) -> str:
        return self.take_away.__name__


# The log and its replay.


def recorded_results_are_not_used_again(patch: Patch) -> None:
    told = CallHistory.told

    def forgotten(self: CallHistory, step_id: str) -> Told:
        found = told(self, step_id)
        return found if found.intent is not None and found.ended is None else found._replace(ended=None, intent=None)

    patch.setattr(CallHistory, "told", forgotten)


def replay_compares_nothing(patch: Patch) -> None:
    def lenient(engine: Engine, output: Any, logged: Any) -> None:
        pending = engine.pending.get(logged.record.step_id)
        if pending is not None:
            pending.entry, pending.frame = logged.entry, logged.record.frame

    patch.setattr(replay, "_match", lenient)


def appends_that_were_refused_count_as_durable(patch: Patch) -> None:
    async def once(self: Any, append: Append) -> AppendResult:
        given = await self._house.store.append(append)
        return Appended() if isinstance(given, Unavailable) else given

    patch.setattr(CaseStore, "append", once)


def writes_begin_before_their_intent_is_durable(patch: Patch) -> None:
    patch.setattr(CaseCell, "when_durable", lambda self, seq, run: run())


def a_case_that_kills_is_tried_for_ever(patch: Patch) -> None:
    patch.setattr(Poison, "verdict", lambda self, row: "")
    patch.setattr(reading, "spare", lambda row, read, *_: read)


# Writes.


def writes_in_doubt_are_made_again(patch: Patch) -> None:
    async def again(self: Calling, request: Any, *, idempotency_key: str, **_: int) -> Any:
        return await self.perform(request, idempotency_key=idempotency_key, call_before=0)

    patch.setattr(Calling, "look_up", again)


def another_try_has_another_key(patch: Patch) -> None:
    look_up = Calling.look_up

    async def elsewhere(self: Calling, request: Any, *, idempotency_key: str, **given: int) -> Any:
        return await look_up(self, request, idempotency_key=f"{idempotency_key}-2", **given)

    patch.setattr(Calling, "look_up", elsewhere)


def a_lookups_no_is_believed_at_once(patch: Patch) -> None:
    async def at_once(self: Calling, tool: Any, *_: object) -> CallResult:
        return CallResult(failure=FailureKind.UNAVAILABLE, message=f"{tool.name} did not happen")

    patch.setattr(Calling, "_settled", at_once)


def writes_begin_however_late(patch: Patch) -> None:
    perform = Calling.perform

    async def entitled(self: Any) -> bool:
        return True

    async def late(self: Calling, request: Any, *, call_before: int, **given: Any) -> CallResult:
        return await perform(self, request, call_before=0, **given)

    patch.setattr(CaseStore, "entitled", entitled)
    patch.setattr(Calling, "perform", late)


def a_case_closes_while_a_write_is_unknown(patch: Patch) -> None:
    patch.setattr(Calls, "writing", property(lambda self: False))


def an_error_counts_as_nothing_happened(patch: Patch) -> None:
    bounded = Calling._bounded

    async def sure(self: Calling, tool: Any, call: Any) -> Any:
        return replace(await bounded(self, tool, call), known=True)

    patch.setattr(Calling, "_bounded", sure)


# Sagas, timers, cancels.


def nothing_is_undone_nor_told(patch: Patch) -> None:
    async def unwind(*_: object, **__: object) -> None:
        """Leave everything as it is."""

    patch.setattr(saga, "_unwind", unwind)


def what_was_written_first_is_undone_first(patch: Patch) -> None:
    def oldest(writes: Sequence[Write]) -> list[Write]:
        return [write for write in writes if write.standing is Standing.DONE and write.undo]

    patch.setattr(saga, "order", oldest)


def a_cancel_takes_nothing_back(patch: Patch) -> None:
    patch.setattr(Engine, "_abandon", lambda self, pending: None)


def a_late_completion_overrides_a_cancel(patch: Patch) -> None:
    cancel = Engine.cancel

    def unheard(self: Engine, by: str, reason: str) -> None:
        if not self.pending:
            cancel(self, by, reason)

    patch.setattr(Engine, "cancel", unheard)


def a_timer_fires_twice(patch: Patch) -> None:
    once = Alarms.set

    def twice(self: Alarms, step_id: str, due: int, ring: Callable[[str, int], None]) -> None:
        def ring_twice(step: str, moment: int) -> None:
            ring(step, moment)
            ring(step, moment)

        once(self, step_id, due, ring_twice)

    def fire(self: Incarnation, step_id: str, due: int) -> None:
        self._services.logbook.write(step_id, Fired(due=due))
        if self._engine is not None and step_id in self._engine.pending:
            self._engine.feed(step_id, Fired(due=due))

    patch.setattr(Alarms, "set", twice)
    patch.setattr(Incarnation, "_fire", fire)


# Tasks, budgets, policy, people.


def calls_are_counted_when_they_end(patch: Patch) -> None:
    request = taskcalls.request_of

    def counted(services: Any, work: TaskWork, *asked: Any) -> Any:
        work.spent = {step: micros for step, micros in work.spent.items() if micros}
        return request(services, work, *asked)

    patch.setattr(tasks, "request_of", counted)


def money_is_counted_when_it_is_spent(patch: Patch) -> None:
    patch.setattr(taskcalls, "_bound", lambda work, step_id, held: sum(work.spent.values()))


def what_the_policy_denies_is_allowed(patch: Patch) -> None:
    patch.setattr(Gate, "_read", lambda self, request, tool: None)


def a_persons_no_counts_as_a_yes(patch: Patch) -> None:
    approved = Calls._approved

    def anyway(self: Calls, work: CallWork, decided: Decided) -> None:
        approved(self, work, replace(decided, action=ReviewAction.APPROVE))

    patch.setattr(Calls, "_approved", anyway)


def nobody_is_asked_to_approve(patch: Patch) -> None:
    patch.setattr(Calls, "_ask_approval", lambda self, work, ruling: self._intend(work, ruling))


def an_attempt_that_was_given_up_counts(patch: Patch) -> None:
    outcome = Tasks.outcome

    def late(self: Tasks, given: Any, frame: bytes, attempt: int) -> None:
        work = self._works.get(self._steps.get(given.task_id, ""))
        outcome(self, given, frame, attempt if work is None else work.attempt)

    patch.setattr(Tasks, "outcome", late)
    patch.setattr(Desk, "recall", lambda self, task_id, cell: None)


def a_task_that_wrote_is_tried_again(patch: Patch) -> None:
    patch.setattr(CallHistory, "wrote", lambda self, step_id: False)


def what_a_stopped_task_wrote_is_written_again(patch: Patch) -> None:
    patch.setattr(CallHistory, "made", lambda self, steps, arguments: "")


MUTANTS = (
    Mutant(nothing_is_fenced, crowd_run, "its log is not what was written"),
    Mutant(a_claim_raises_no_epoch, crowd_run, "it was owned 1 times by now", zombies),
    Mutant(leases_of_others_count_for_nothing, bank_run, "no time passed|nothing went wrong", calm),
    Mutant(messages_come_again, bank_run, "coins-0 counted"),
    Mutant(what_is_read_is_taken_out_at_once, crowd_run, "not ended"),
    Mutant(a_sender_is_told_before_it_is_stored, bank_run, "not ended"),
    Mutant(what_goes_out_is_a_second_transaction, trips_run, "not ended"),
    Mutant(two_decisions_both_count, desk_run, "people were told"),
    Mutant(recorded_results_are_not_used_again, crowd_run, "done more than once"),
    Mutant(replay_compares_nothing, trips_run, "whim"),
    Mutant(appends_that_were_refused_count_as_durable, crowd_run, "done more than once"),
    Mutant(writes_begin_before_their_intent_is_durable, crowd_run, "done more than once"),
    Mutant(a_case_that_kills_is_tried_for_ever, bombs_run, "not ended.*bomb-0", calm),
    Mutant(writes_in_doubt_are_made_again, bank_run, "claim-. paid"),
    Mutant(another_try_has_another_key, bank_run, "claim-. paid"),
    Mutant(a_lookups_no_is_believed_at_once, crowd_run, "'card.pay', 'card.pay'"),
    Mutant(writes_begin_however_late, crowd_run, "'card.pay', 'card.pay'", zombies),
    Mutant(a_case_closes_while_a_write_is_unknown, trips_run, "nobody knows what became of"),
    Mutant(an_error_counts_as_nothing_happened, bank_run, "claim-. paid"),
    Mutant(nothing_is_undone_nor_told, trips_run, "stands"),
    Mutant(what_was_written_first_is_undone_first, trips_run, "not undone newest first"),
    Mutant(a_cancel_takes_nothing_back, trips_run, "already awaited coroutine"),
    Mutant(a_late_completion_overrides_a_cancel, trips_run, "cancelled: True"),
    Mutant(a_timer_fires_twice, trips_run, "a timer fired twice"),
    Mutant(calls_are_counted_when_they_end, desk_run, "stamps were made"),
    Mutant(money_is_counted_when_it_is_spent, desk_run, "stamps were made"),
    Mutant(a_budget_is_not_reserved, desk_run, "spent, and never drawn from"),
    Mutant(what_is_drawn_is_never_settled, desk_run, "spent 0, and its logs say"),
    Mutant(who_draws_does_not_look_what_is_left, desk_run, "it draws 10 micros where 0 were left"),
    Mutant(what_the_policy_denies_is_allowed, trips_run, "what the policy denies was done"),
    Mutant(a_persons_no_counts_as_a_yes, desk_run, "wanted was"),
    Mutant(nobody_is_asked_to_approve, desk_run, "wanted was"),
    Mutant(an_attempt_that_was_given_up_counts, desk_run, "counted, and . were given up"),
    Mutant(a_task_that_wrote_is_tried_again, desk_run, "it wrote, and was tried again"),
    Mutant(what_a_stopped_task_wrote_is_written_again, desk_run, "an operator had it tried again"),
)
