"""A case that was opened within a mandate gives out nothing beyond it, however deep, nor after a restart."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from casework.protocols.errors import ContractIncomplete, ContractWidened
from casework.protocols.records import Chapter, Opened
from casework.protocols.wire import Budget, Mandate, OnStop, RiskTier, Task
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, closed, crew, entries, runtime, value

FLOW = Callable[[Case, Ask], Awaitable[object]]
BELOW = CaseKey("default", "c1/a")
#: A moment that no case here lives to see, nor is shortened by.
FAR = 4_000_000_000_000_000


def mandate(**terms: Any) -> Mandate:
    """Give one that allows two tools to read, ten calls and 100 millionths."""
    given: dict[str, Any] = {
        "tools_allowed": ("read", "look"),
        "risk_tier": RiskTier.READ_ONLY,
        "deadline": FAR,
        "budget": Budget(calls=10, micros=100),
    }
    return Mandate(**(given | terms))


async def give(case: Case, **terms: Any) -> object:
    """Delegate some work on small terms."""
    given: dict[str, Any] = {"calls": 1, "on_stop": OnStop.FAIL}
    return (await case.delegate("work", {}, returns=object, goal="work", **(given | terms))).value


async def works(inputs: object, call: Callable[[str, object], Awaitable[object]]) -> object:
    return "worked"


async def run_below(flow: FLOW, within: Mandate | None, store: MemoryStore) -> None:
    """Open a case that opens one of `flow` within a mandate, and run both to their ends."""

    async def top(case: Case, inputs: Ask) -> object:
        await case.open("below", "c1/a", Ask(), within=within)
        return (await case.next_report()).status

    async def below(case: Case, inputs: Ask) -> object:
        return await flow(case, inputs)

    with anyio.fail_after(5):
        async with runtime(crew(top, below, doers={"work": works}), store) as machine:
            await machine.open("top", "c1", Ask())
            await closed(store)


async def widened(flow: FLOW, within: Mandate | None = None) -> tuple[str, str, str]:
    """Give the term, what was asked and what was granted, of the refusal that a flow hears."""
    heard: list[ContractWidened] = []

    async def catching(case: Case, inputs: Ask) -> object:
        try:
            return await flow(case, inputs)
        except ContractWidened as error:
            heard.append(error)
            return None

    await run_below(catching, within or mandate(), MemoryStore())
    return heard[-1].term, heard[-1].asked, heard[-1].granted


@pytest.mark.promise("CONTRACT-1")
@pytest.mark.parametrize(
    ("terms", "refused"),
    [
        ({"tools": ("read", "pay")}, ("tools_allowed", "pay", "read, look")),
        ({"tier": RiskTier.REVERSIBLE}, ("risk_tier", "reversible", "read_only")),
        ({"calls": 11}, ("budget.calls", "11", "10")),
        ({"micros": 101}, ("budget.micros", "101", "100")),
    ],
)
async def test_a_task_of_a_case_within_a_mandate_gets_no_more_than_that(
    terms: dict[str, Any], refused: tuple[str, str, str]
) -> None:
    async def asks(case: Case, inputs: Ask) -> object:
        return await give(case, **terms)

    assert await widened(asks) == refused


@pytest.mark.promise("CONTRACT-2")
@pytest.mark.promise("CONTRACT-1")
async def test_its_tasks_get_together_no_more_than_that() -> None:
    async def asks(case: Case, inputs: Ask) -> object:
        await give(case, calls=4, micros=60)
        await case.gather(give(case, calls=3), give(case, calls=3))
        return await give(case, calls=1)

    assert await widened(asks) == ("budget.calls", "1", "0")


async def test_a_task_that_was_refused_takes_nothing_of_what_is_left() -> None:
    async def asks(case: Case, inputs: Ask) -> object:
        with pytest.raises(ContractWidened):
            await give(case, calls=9, tools=("pay",))
        with pytest.raises(ContractIncomplete, match="attempts: allow from 1 to 1000"):
            await give(case, calls=9, attempts=0)
        return await give(case, calls=10)

    store = MemoryStore()
    await run_below(asks, mandate(), store)
    assert await value(store, key=BELOW) == "worked"


async def test_a_task_ends_with_the_mandate_at_the_latest() -> None:
    async def asks(case: Case, inputs: Ask) -> object:
        assert case.mandate is not None
        return await give(case, deadline_seconds=1_000_000_000)

    store, ends = MemoryStore(), 2_500_000_000_000_000
    await run_below(asks, mandate(deadline=ends), store)
    (task,) = await entries(store, Task, BELOW)
    assert task.deadline == ends


@pytest.mark.promise("CONTRACT-1")
async def test_the_mandate_is_in_the_log_of_the_case_that_has_it() -> None:
    async def nothing(case: Case, inputs: Ask) -> object:
        return None

    store = MemoryStore()
    await run_below(nothing, mandate(), store)
    (opened,) = await entries(store, Opened, BELOW)
    assert opened.mandate == mandate()
    (top,) = await entries(store, Opened)
    assert top.mandate is None


@pytest.mark.promise("CONTRACT-2")
@pytest.mark.promise("CONTRACT-1")
async def test_a_case_below_one_with_a_mandate_gets_a_part_of_what_is_left() -> None:
    async def opens(case: Case, inputs: Ask) -> object:
        if case.id != "c1/a":
            return None
        await give(case, calls=4)
        with pytest.raises(ContractIncomplete, match="within: open it within a Mandate"):
            await case.open("below", "c1/a/b", Ask())
        part = mandate(deadline=FAR + 1, budget=Budget(calls=6))
        await case.open("below", "c1/a/b", Ask(), within=part)
        await case.next_report()
        with pytest.raises(ContractWidened, match=r"budget.calls 6 is wider than the 0 that is left"):
            await case.open("below", "c1/a/c", Ask(), within=part)
        return "opened one"

    store = MemoryStore()
    await run_below(opens, mandate(), store)
    assert await value(store, key=BELOW) == "opened one"
    (opened,) = await entries(store, Opened, CaseKey("default", "c1/a/b"))
    assert opened.mandate == mandate(budget=Budget(calls=6))


async def test_the_next_chapter_begins_with_what_is_left() -> None:
    async def turns(case: Case, inputs: Ask) -> object:
        await give(case, calls=4)
        if inputs.n < 2:
            await case.next_chapter(Ask(inputs.n + 1))
        return case.mandate.budget.calls if case.mandate else None

    store = MemoryStore()
    await run_below(turns, mandate(budget=Budget(calls=12)), store)
    assert [each.mandate.budget.calls for each in await entries(store, Chapter, BELOW)] == [8, 4]
    assert await value(store, key=BELOW) == 4


async def test_a_case_that_is_taken_up_again_has_as_much_left_as_before() -> None:
    async def waits(case: Case, inputs: Ask) -> object:
        await give(case, calls=4)
        await case.park("paper", reason="missing")
        with pytest.raises(ContractWidened):
            await give(case, calls=7)
        return await give(case, calls=6)

    async def top(case: Case, inputs: Ask) -> None:
        await case.open("waits", "c1/a", Ask(), within=mandate())

    store = MemoryStore()
    staff = crew(top, waits, doers={"work": works})
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open("top", "c1", Ask())
            await machine.wait("c1")
            await machine.wait("c1/a")
        async with runtime(staff, store) as machine:
            await machine.deliver("paper", by="ann")
            await machine.wait("c1/a")
    assert await value(store, key=BELOW) == "worked"
