"""A bench keeps time still while anybody works, lets a month pass at once, and shows what stands in the store."""

from typing import cast

import anyio
import pytest

from casework.actors import Crew, Skill, Work, skill
from casework.actors.testing import CaseBench, FakeTool
from casework.actors.testing.clock import START
from casework.runtime import Case
from casework.runtime.errors import FlowUnknown
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseStatus, Nobody
from tests.support.refund_crew import MONTH, Refund, crew

TOOLS = {"limit": FakeTool(50), "bank.pay": FakeTool("receipt-1")}
DAY = 86_400


async def waits(case: Case, inputs: Refund) -> int:
    await case.sleep(inputs.euros * DAY)
    return await case.now()


async def parks(case: Case, inputs: Refund) -> object:
    arrived = await case.park("paper", reason="the paper is missing")
    return arrived.by


async def polls(case: Case, inputs: Refund) -> int:
    for _ in range(inputs.euros):
        await case.sleep(DAY)
    return await case.now()


async def test_a_refund_waits_thirty_days_that_take_no_time() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(), tools=TOOLS) as bench:
            await bench.open("refund", "r-1", Refund("c", 40))
            assert bench.calls("bank.pay") == [Refund("c", 40)]
            assert bench.row("r-1").status is CaseStatus.PARKED
            await bench.forward(days=29, hours=23, minutes=59, seconds=59)
            assert bench.row("r-1").status is CaseStatus.PARKED
            await bench.forward(seconds=1)
            assert bench.value("r-1", str) == "receipt-1"
            assert bench.clock.wall_micros() == START + MONTH * MICROS


async def test_timers_of_several_cases_fire_in_order_each_at_its_own_moment() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(waits)) as bench:
            for days in (30, 10, 20):
                await bench.open("waits", f"c{days}", Refund("c", days))
            await bench.forward(days=31)
            moments = {days: bench.value(f"c{days}", int) for days in (10, 20, 30)}
            ends = sorted((bench.log(f"c{days}").records[-1].at, days) for days in moments)
    assert [days for _, days in ends] == [10, 20, 30]
    assert moments == {days: START + days * DAY * MICROS for days in moments}


async def test_years_pass_although_a_node_beats_every_second() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(waits)) as bench:
            await bench.open("waits", "c1", Refund("c", 3650))
            await bench.forward(days=3651)
            assert bench.value("c1", int) == START + 3650 * DAY * MICROS


async def test_a_flow_that_looks_every_day_does_so_on_every_day() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(polls)) as bench:
            await bench.open("polls", "c1", Refund("c", 20))
            await bench.forward(days=10)
            assert [step for step in bench.log("c1").steps if step.startswith("fired")] == [
                "fired timer",
                *(f"fired timer#{number}" for number in range(1, 10)),
            ]
            await bench.forward(days=10)
            assert bench.value("c1", int) == START + 20 * DAY * MICROS


async def test_a_case_goes_on_after_a_crash_where_its_log_ends() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(), tools=TOOLS) as bench:
            await bench.open("refund", "r-1", Refund("c", 40))
            before = bench.log("r-1").steps
            await bench.crash()
            assert bench.log("r-1").steps == before
            await bench.forward(days=15)
            await bench.crash()
            await bench.forward(days=15)
            assert bench.value("r-1", str) == "receipt-1"
            assert len(bench.calls("bank.pay")) == 1


async def test_what_a_case_waits_for_is_shown_and_can_be_delivered_by_its_key_or_to_the_case() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(parks)) as bench:
            for case_id in ("c1", "c2", "c3"):
                await bench.open("parks", case_id, Refund("c", 1))
            assert [(wait.key, wait.reason) for wait in bench.waits("c1")] == [("paper", "the paper is missing")]
            await bench.deliver("c1", by="bob")
            await bench.deliver("paper", by="ann")
            assert [bench.value(case_id, str) for case_id in ("c1", "c2", "c3")] == ["bob", "ann", "ann"]
            assert isinstance(await bench.deliver("paper"), Nobody)


async def test_a_case_can_be_cancelled() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(parks)) as bench:
            await bench.open("parks", "c1", Refund("c", 1))
            await bench.cancel("c1", by="ann")
            assert bench.row("c1").result == "cancelled"


async def test_an_agent_that_waits_for_longer_than_it_may_is_given_up_only_when_time_passes() -> None:
    tried: list[int] = []

    @skill
    async def dawdle(inputs: Refund, work: Work) -> int:
        tried.append(work.attempt)
        if work.attempt == 1:
            await anyio.sleep_forever()
        return work.attempt

    async def patient(case: Case, inputs: Refund) -> int:
        return (await case.delegate("dawdle", inputs, returns=int, goal="dawdle", deadline_seconds=100)).value

    skills: dict[str, Skill] = {"dawdle": dawdle}
    with anyio.fail_after(5):
        async with CaseBench(crew(patient, skills=skills)) as bench:
            await bench.open("patient", "c1", Refund("c", 1))
            assert tried == [1]
            await bench.forward(minutes=1)
            assert bench.value("c1", int) == 2


async def test_two_benches_side_by_side_do_not_meet() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(waits)) as first, CaseBench(crew(waits)) as second:
            await first.open("waits", "c1", Refund("c", 1))
            await second.open("waits", "c1", Refund("c", 2))
            await first.forward(days=1)
            assert first.value("c1", int)
            assert second.row("c1").status is CaseStatus.PARKED


async def test_a_bench_says_what_is_missing() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(parks)) as bench:
            with pytest.raises(FlowUnknown, match="has parks"):
                await bench.open("refnud", "c1", Refund("c", 1))
            await bench.open("parks", "c1", Refund("c", 1))
            with pytest.raises(AssertionError, match=r"case c1 has not ended:\n(.*\n)+.*waits for paper"):
                bench.value("c1", str)
            with pytest.raises(KeyError, match="no case 'c2'; there are c1"):
                bench.row("c2")
            with pytest.raises(LookupError, match=r"no open review has rule 'x'.*open: none"):
                await bench.decide("approve", rule="x")


async def test_a_bench_within_a_bounded_block_may_outlive_it() -> None:
    async with anyio.create_task_group() as group:
        with anyio.fail_after(5):
            bench = CaseBench(crew(waits))
            await bench.begin(group)
        with anyio.fail_after(5):
            await bench.open("waits", "c1", Refund("c", 1))
            await bench.forward(days=1)
            assert bench.value("c1", int)
            await bench.end()


async def test_a_bench_that_could_not_begin_ends_at_once() -> None:
    made = CaseBench(cast("Crew", "refunds"))
    async with anyio.create_task_group() as group:
        with pytest.raises(AttributeError):
            await made.begin(group)
        with anyio.fail_after(5):
            await made.end()


async def test_time_does_not_go_back() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(waits)) as bench:
            with pytest.raises(ValueError, match=r"time only goes on: -86400 seconds"):
                await bench.forward(days=-1)
