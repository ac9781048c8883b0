"""What only the case itself has seen may wait for what is appended next; everything else goes at once."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.flow.casecell import LAG_RECORDS_MAX, LAG_SECONDS
from casework.runtime.store.base import Append, AppendResult, CaseStatus
from tests.support.flow_scene import Ask, crashing, crew, runtime, steps
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import SmallTool


class Watched(OddStore):
    """Keeps the kinds of records of each append that is durable."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[list[str]] = []

    async def append(self, append: Append) -> AppendResult:
        result = await super().append(append)
        if append.records:
            self.kinds.append([record.kind for record in append.records])
        return result


async def given(arguments: object) -> object:
    return arguments


def tools(**more: SmallTool) -> dict[str, Any]:
    return {"read": SmallTool(given), "write": SmallTool(given, RiskTier.REVERSIBLE), **more}


@pytest.mark.promise("FLOW-10")
async def test_results_of_calls_that_only_read_travel_with_the_end_of_their_case() -> None:
    async def work(case: Case, inputs: Ask) -> None:
        for number in range(5):
            await case.call("read", {"n": number}, returns=dict)
            await case.note("read")

    store = Watched()
    with anyio.fail_after(5):
        async with runtime(crew(work, tools=tools()), store, ManualClock()) as machine:
            await machine.open("work", "c1", Ask())
            await machine.wait("c1")
    assert store.kinds == [["call", "noted"] * 5 + ["closed"]]


@pytest.mark.promise("FLOW-10")
async def test_a_write_takes_along_what_was_read_before_it_and_its_end_waits_for_nothing() -> None:
    async def work(case: Case, inputs: Ask) -> None:
        await case.call("read", {"n": 1}, returns=dict)
        await case.call("write", {"n": 2}, returns=dict)
        await case.call("wait", {"n": 3}, returns=dict)

    go = anyio.Event()

    async def waits(arguments: object) -> object:
        await go.wait()
        return arguments

    store = Watched()
    with anyio.fail_after(5):
        async with runtime(crew(work, tools=tools(wait=SmallTool(waits))), store, ManualClock()) as machine:
            await machine.open("work", "c1", Ask())
            while len(store.kinds) < 2:
                await anyio.lowlevel.checkpoint()
            assert store.kinds == [["call", "intent"], ["done"]]
            go.set()
            await machine.wait("c1")


async def test_a_case_that_works_on_is_not_behind_for_longer_than_a_moment() -> None:
    async def work(case: Case, inputs: Ask) -> None:
        await case.call("read", {}, returns=dict)
        await case.call("hang", {}, returns=dict)

    hanging = anyio.Event()

    async def hangs(arguments: object) -> object:
        hanging.set()
        await anyio.sleep_forever()
        return None

    store, clock = Watched(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(work, tools=tools(hang=SmallTool(hangs))), store, clock)) as machine:
            await machine.open("work", "c1", Ask())
            await hanging.wait()
            await anyio.wait_all_tasks_blocked()
            assert store.kinds == []
            clock.advance(LAG_SECONDS)
            while not store.kinds:
                await anyio.lowlevel.checkpoint()
            assert ("call", "read") in await steps(store)


async def test_a_case_that_reads_very_much_is_not_behind_by_very_much() -> None:
    async def work(case: Case, inputs: Ask) -> None:
        for number in range(2 * LAG_RECORDS_MAX):
            await case.call("read", {"n": number}, returns=dict)

    store = Watched()
    with anyio.fail_after(5):
        async with runtime(crew(work, tools=tools()), store, ManualClock()) as machine:
            await machine.open("work", "c1", Ask())
            row = await machine.wait("c1")
    assert row.status is CaseStatus.CLOSED
    assert LAG_RECORDS_MAX <= max(map(len, store.kinds)) < 2 * LAG_RECORDS_MAX
