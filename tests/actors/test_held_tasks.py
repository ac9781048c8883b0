"""A task's own time stands still while a switch, a budget or a person holds one of its calls; limits above do not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import pytest
from msgspec.structs import replace

from casework.actors.agent import Work, skill
from casework.actors.policy import Approval, Rate, Rates, Timeouts
from casework.actors.testing import CaseBench, FakeTool, Unsure
from casework.actors.timeline import timeline
from casework.actors.timing import timing
from casework.protocols.codec import unpack
from casework.protocols.wire import Budget, Failed, Mandate, OnStop, RiskTier, Task
from casework.runtime import Case, Result
from casework.runtime.errors import TaskFailed
from casework.runtime.limits import set_limit
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.verify import verify
from casework.runtime.store.waitcheck import odd_wait
from casework.runtime.switchboard import pause, resume
from tests.support.refund_crew import NAMES, Refund, crew

HOUR = 3_600
WORLD = World()


@dataclass(frozen=True)
class Hold:
    """One way to hold a call of `bank.pay`: how it begins, how it ends, and what the log calls it."""

    name: str
    begins: Callable[[CaseBench], Awaitable[object]]
    ends: Callable[[CaseBench], Awaitable[object]]
    told: str
    rules: tuple[Approval, ...] = ()


async def _pause(bench: CaseBench) -> None:
    await pause(bench.runtime, "tool:bank.pay", by="ann", reason="it pays twice", world=WORLD)


async def _resume(bench: CaseBench) -> None:
    await resume(bench.runtime, "tool:bank.pay", by="ann", reason="mended", world=WORLD)
    await bench.settle()


async def _empty(bench: CaseBench) -> None:
    await set_limit(bench.store, "tenant/default", 0, by="ann", world=WORLD)


async def _fill(bench: CaseBench) -> None:
    await set_limit(bench.store, "tenant/default", 10_000, by="ann", world=WORLD)
    await bench.settle()


async def _nothing(bench: CaseBench) -> None:
    return


async def _approve(bench: CaseBench) -> None:
    await bench.decide("approve")


HOLDS = [
    Hold("a pause", _pause, _resume, "switch:tool:bank.pay"),
    Hold("a budget", _empty, _fill, "budget:tenant/default"),
    Hold(
        "a person",
        _nothing,
        _approve,
        "review big",
        (Approval(rule="big", title="Pay it?", tool="bank.pay", tier=RiskTier.IRREVERSIBLE),),
    ),
]
each_hold = pytest.mark.parametrize("hold", HOLDS, ids=lambda hold: hold.name)


async def _paid(case: Case, inputs: Refund, skill: str, seconds: float, deadline: int = 0) -> str:
    try:
        paid = await case.delegate(
            skill,
            inputs,
            returns=str,
            goal="Pay it",
            tools=NAMES,
            tier=RiskTier.IRREVERSIBLE,
            micros=1000,
            calls=9,
            deadline_seconds=seconds,
            deadline=deadline,
            on_stop=OnStop.FAIL,
        )
    except TaskFailed as failed:
        return f"failed: {failed.kind}"
    return paid.value


async def pays(case: Case, inputs: Refund) -> str:
    return await _paid(case, inputs, "settle", 60.0)


async def looks_and_pays(case: Case, inputs: Refund) -> str:
    return await _paid(case, inputs, "look_and_settle", 50.0)


async def pays_below(case: Case, inputs: Refund) -> str:
    ends = await case.now() + 2 * HOUR * MICROS
    budget = Budget(calls=99, micros=5000)
    within = Mandate(tools_allowed=NAMES, risk_tier=RiskTier.IRREVERSIBLE, deadline=ends, budget=budget)
    await case.open("pays", f"{case.id}/below", inputs, within=within)
    report = await case.next_report()
    while report.status != "closed":
        report = await case.next_report()
    return unpack(report.value, str)


async def judges(case: Case, inputs: Refund) -> bool:
    return (await case.delegate("judge", inputs, returns=bool, goal="Is it fine?", tools=["limit"])).value


async def judges_beside(case: Case, inputs: Refund) -> bool:
    watching = case.delegate("watch", inputs, returns=bool, goal="Look on", deadline_seconds=9 * HOUR)
    judged, _ = await case.gather(_judged_in_a_minute(case, inputs), watching)
    return bool(judged.value)


async def _judged_in_a_minute(case: Case, inputs: Refund) -> Result[bool]:
    return await case.delegate("judge", inputs, returns=bool, goal="Fine?", tools=["limit"], deadline_seconds=60.0)


async def cashes(case: Case, inputs: Refund) -> str:
    return await _paid(case, inputs, "cash", 60.0)


@skill
async def cash(inputs: Refund, work: Work) -> str:
    """Pay by a bank that cannot be asked."""
    await work.call("bank.cash", inputs, returns=object)
    return "cash"


async def pays_by_noon(case: Case, inputs: Refund) -> str:
    return await _paid(case, inputs, "settle", 60.0, await case.now() + 2 * HOUR * MICROS)


@skill
async def look_and_settle(inputs: Refund, work: Work) -> str:
    """Look before the payment and after it."""
    await work.call("limit", {"customer": inputs.customer}, returns=int)
    paid = await work.call("bank.pay", inputs, returns=str)
    await work.call("limit", {"customer": f"{inputs.customer} again"}, returns=int)
    return paid


def bench_of(hold: Hold, look_seconds: float = 0.0) -> CaseBench:
    """Make a bench; a look takes so many seconds of its time."""

    async def look(arguments: object) -> int:
        await bench.clock.sleep(look_seconds)
        return 50

    tools = {"limit": FakeTool(does=look), "bank.pay": FakeTool("receipt"), "bank.cash": FakeTool(plan=[Unsure()])}
    flows = (pays, looks_and_pays, pays_by_noon, pays_below, cashes)
    skills = {"look_and_settle": look_and_settle, "cash": cash}
    made = crew(*flows, skills=skills, approvals=hold.rules, timeouts=Timeouts(default_seconds=HOUR))
    bench = CaseBench(made, tools=tools)
    return bench


@pytest.mark.promise("FLOW-36")
@each_hold
@pytest.mark.parametrize("crashes", [False, True], ids=["lives on", "is killed"])
async def test_a_task_that_was_held_for_longer_than_it_has_goes_on_when_it_is_let(hold: Hold, crashes: bool) -> None:
    with anyio.fail_after(20):
        async with bench_of(hold) as bench:
            await hold.begins(bench)
            await bench.open("pays", "c1", Refund("c", 40))
            await bench.forward(hours=3)
            if crashes:
                await bench.crash()
            await bench.forward(hours=2)
            assert bench.calls("bank.pay") == []
            await hold.ends(bench)
            assert bench.value("c1", str) == "receipt"
            assert len(bench.calls("bank.pay")) == 1


@each_hold
async def test_what_a_task_worked_before_and_after_it_was_held_counts_together(hold: Hold) -> None:
    ends = []
    for look_seconds in (24.0, 26.0):
        with anyio.fail_after(20):
            async with bench_of(hold, look_seconds) as bench:
                await hold.begins(bench)
                await bench.open("looks_and_pays", "c1", Refund("c", 40))
                await bench.forward(hours=5)
                await hold.ends(bench)
                await bench.forward(hours=1)
                ends.append(bench.value("c1", str))
    assert ends == ["receipt", "failed: timeout"]


@each_hold
async def test_the_log_gives_a_held_task_anew_with_a_deadline_that_is_later_by_just_the_time_held(hold: Hold) -> None:
    with anyio.fail_after(20):
        async with bench_of(hold) as bench:
            await hold.begins(bench)
            await bench.open("pays", "c1", Refund("c", 40))
            await bench.forward(hours=5)
            await hold.ends(bench)
            log = bench.log("c1")
            first, again = [each for each in log.entries if isinstance(each, Task)]
            assert again.deadline - first.deadline == 5 * HOUR * MICROS
            assert (again.id, again.attempts, again.budget) == (first.id, first.attempts, first.budget)
            told = [line.text for line in timeline(log.records) if line.step.endswith(":(held)#1")]
            assert told == ["task settle goes on: its own time stood still while it was held"]
            (step,) = [each for each in timing(log.records).steps if each.step == "settle"]
            assert step.held == 5 * HOUR * MICROS


@pytest.mark.promise("FLOW-36")
@each_hold
@pytest.mark.parametrize("crashes", [False, True], ids=["lives on", "is killed"])
@pytest.mark.parametrize(("flow", "case_id"), [("pays_by_noon", "c1"), ("pays_below", "c1/below")])
async def test_a_limit_above_a_task_runs_on_while_it_is_held_and_the_reason_says_who_held_it(
    hold: Hold, crashes: bool, flow: str, case_id: str
) -> None:
    with anyio.fail_after(20):
        async with bench_of(hold) as bench:
            await hold.begins(bench)
            await bench.open(flow, "c1", Refund("c", 40))
            began = bench.row("c1").opened_at
            await bench.forward(hours=1)
            assert bench.row(case_id).status is CaseStatus.PARKED
            ends = [wait.due for wait in bench.waits(case_id) if wait.kind is WaitKind.TIMER]
            assert ends == [began + 2 * HOUR * MICROS]
            if crashes:
                await bench.crash()
            await bench.forward(hours=1)
            assert bench.value("c1", str) == "failed: timeout"
            assert (bench.reviews(), bench.calls("bank.pay")) == ([], [])
            (failed,) = [each for each in bench.log(case_id).entries if isinstance(each, Failed)]
            assert failed.message.startswith(f"its deadline has passed; it was held by {hold.told}")
            assert failed.message.endswith(" since 2026-01-01 00:00:00 UTC")


@each_hold
async def test_a_call_that_is_let_go_on_when_nobody_ran_in_time_fails_by_its_limit_and_says_until_when_it_was_held(
    hold: Hold,
) -> None:
    with anyio.fail_after(20):
        async with bench_of(hold) as bench:
            await hold.begins(bench)
            await bench.open("pays_by_noon", "c1", Refund("c", 40))
            await bench.end()
            await bench.forward(hours=3)
            await bench.crash()
            assert bench.value("c1", str) == "failed: timeout"
            assert bench.calls("bank.pay") == []


async def test_calls_that_a_person_approves_after_their_tasks_first_deadline_wait_their_turn_as_others_do() -> None:
    rule = Approval(rule="look", title="May it look?", tool="limit", tier=RiskTier.READ_ONLY)
    rates = Rates(limits={"tool:limit": Rate(per_second=0.1)})
    with anyio.fail_after(20):
        async with CaseBench(crew(judges, approvals=(rule,), rates=rates), tools={"limit": FakeTool(50)}) as bench:
            for case_id in ("c1", "c2"):
                await bench.open("judges", case_id, Refund("c", 40))
            await bench.forward(hours=5)
            for _ in range(2):
                await bench.decide("approve")
            await bench.forward(seconds=30)
            assert [bench.value(case_id, bool) for case_id in ("c1", "c2")] == [True, True]


async def test_a_call_approved_while_its_case_is_at_work_beside_it_has_the_time_of_the_task_that_goes_on() -> None:
    @skill
    async def watch(inputs: Refund, work: Work) -> bool:
        await bench.clock.sleep(6.0 * HOUR)
        return True

    rule = Approval(rule="look", title="May it look?", tool="limit", tier=RiskTier.READ_ONLY)
    rates, hours = Rates(limits={"tool:limit": Rate(per_second=0.1)}), Timeouts(default_seconds=9.0 * HOUR)
    made = crew(judges_beside, skills={"watch": watch}, approvals=(rule,), rates=rates, timeouts=hours)
    with anyio.fail_after(20):
        async with CaseBench(made, tools={"limit": FakeTool(50)}) as bench:
            for case_id in ("c1", "c2"):
                await bench.open("judges_beside", case_id, Refund("c", 40))
            await bench.forward(hours=5)
            for _ in range(2):
                await bench.decide("approve")
            await bench.forward(hours=2)
            assert [bench.value(case_id, bool) for case_id in ("c1", "c2")] == [True, True]


async def test_a_task_stands_still_as_well_while_a_person_is_asked_whether_its_write_happened() -> None:
    with anyio.fail_after(20):
        async with bench_of(HOLDS[0]) as bench:
            await bench.open("cashes", "c1", Refund("c", 40))
            await bench.forward(hours=5)
            assert bench.row("c1").status is CaseStatus.PARKED
            await bench.decide("approve", rule="effect.unknown")
            assert bench.value("c1", str) == "cash"
            assert len(bench.calls("bank.cash")) == 1


@each_hold
@pytest.mark.parametrize("flow", ["pays", "pays_by_noon", "pays_below"])
async def test_a_case_that_is_held_is_as_written_and_one_whose_moment_is_changed_is_not(hold: Hold, flow: str) -> None:
    with anyio.fail_after(20):
        async with bench_of(hold) as bench:
            await hold.begins(bench)
            await bench.open(flow, "c1", Refund("c", 40))
            assert await verify(bench.store) == []
            await bench.crash()
            assert await verify(bench.store) == []
            if flow == "pays_by_noon":
                row, records = bench.row("c1"), await bench.store.records(bench.row("c1").key)
                early = [replace(each, due=1) if each.kind is WaitKind.TIMER else each for each in row.waits]
                assert "its log does not" in odd_wait(replace(row, waits=tuple(early)), records)
