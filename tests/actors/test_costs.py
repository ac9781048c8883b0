"""What calls cost adds up: the logs of all cases, by whomever they are counted, say what the ledgers say."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from casework.actors import Agent, Crew, Work, skill
from casework.actors.costs import By, CaseCosts, Payer, Spent, attributed, costs_of
from casework.actors.errors import WorkFailed
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import TaskFailed
from casework.runtime.ledger import tally
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, Store
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support.budget_crew import DEAR, Asked, Job, buy, guess, policy, think

TASK: Any = {
    "returns": int,
    "goal": "Do it",
    "tools": ["think", "guess", "buy"],
    "tier": RiskTier.IRREVERSIBLE,
    "calls": 1_000,
    "micros": 10**9,
    "on_stop": OnStop.FAIL,
}


@skill
async def stumble(inputs: Job, work: Work) -> int:
    """Think, and fail; another attempt does the same."""
    await work.call("think", Asked(1, inputs.micros), returns=str)
    raise WorkFailed("it did not help", retryable=True)


@skill
async def vote(inputs: Job, work: Work) -> int:
    """Think as often as it is told, and say so."""
    for number in range(inputs.calls):
        await work.call(inputs.tool, Asked(number, inputs.micros), returns=str)
    return inputs.calls


async def stumbles(case: Case, inputs: Job) -> str:
    """Have a task done that fails each time."""
    try:
        await case.delegate("stumble", inputs, attempts=3, **{**TASK, "tier": RiskTier.READ_ONLY})
    except TaskFailed:
        return "in vain"
    return "done"


async def votes(case: Case, inputs: Job) -> int:
    """Have three agents at once say something, and take one."""
    jobs = (Job(1, 11), Job(2, 13, "guess"), Job(3, 17))
    said = await case.gather(*(case.delegate("vote", job, **TASK) for job in jobs))
    return max(int(each.value) for each in said)


async def twice(case: Case, inputs: Job) -> int:
    """Do the same in two chapters."""
    result = await case.delegate("vote", Job(1, DEAR), **TASK)
    if inputs.calls:
        await case.next_chapter(Job(0))
    return int(result.value)


def crew() -> Crew:
    agents = [
        Agent(name, {skill_: task}, tools=("think", "guess", "buy"), tier_max=RiskTier.IRREVERSIBLE)
        for name, skill_, task in (("clerk", "stumble", stumble), ("juror", "vote", vote))
    ]
    flows = [Flow.of(function, inputs=Job) for function in (stumbles, votes, twice)]
    text = '[agents.juror]\ntools = ["think", "guess", "buy"]\ntier_max = "irreversible"\n'
    return Crew("costs", flows=flows, agents=agents, tools=(think, guess, buy), policy=policy(text))


async def costs(store: Store) -> list[tuple[Payer, Spent]]:
    rows = await store.cases()
    return [call for row in rows for call in costs_of(row.key, await store.records(row.key)).spent()]


async def ledgers(store: Store) -> dict[str, tuple[int, int]]:
    """Give what each account's ledger says was spent and is reserved."""
    totals = {account.name: tally(await store.ledger(account.name)) for account in await store.accounts()}
    return {name: (total.spent, total.reserved) for name, total in totals.items()}


async def same_as_ledgers(store: Store) -> Mapping[str, Spent]:
    """See that costs by each kind are what the ledgers of those accounts say; give them by agent."""
    calls, kept = await costs(store), await ledgers(store)
    for by in By:
        if by is not By.TOOL:
            said = {
                name: (each.spent, each.open + each.unknown) for name, each in attributed(calls, by).items() if name
            }
            assert said == {name: each for name, each in kept.items() if name.startswith(f"{by}/")}
    spent = sum(each.spent for _, each in calls)
    assert spent == sum(each.spent for each in attributed(calls, By.TOOL).values()) == kept["tenant/default"][0]
    return attributed(calls, By.AGENT)


async def ran(*opened: tuple[str, str, Job, str]) -> MemoryStore:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with Runtime(crew(), store, telemetry=Telemetry.off()) as made:
            for flow, case_id, job, project in opened:
                await made.open(flow, case_id, job, project=project, user="ann")
            await made.wait_idle()
    return store


async def test_attempts_that_failed_count_like_those_that_did_not() -> None:
    store = await ran(("stumbles", "c1", Job(micros=7), "q3"))
    assert await same_as_ledgers(store) == {"agent/default/clerk": Spent(calls=3, spent=21)}


@pytest.mark.promise("BUDGET-1")
async def test_votes_that_were_lost_count_like_the_one_that_won() -> None:
    store = await ran(("votes", "c1", Job(), "q3"), ("votes", "c2", Job(), ""), ("stumbles", "c3", Job(micros=1), "q4"))
    by_agent = await same_as_ledgers(store)
    assert by_agent["agent/default/juror"] == Spent(calls=12, spent=2 * (11 + 26 + 51))
    by_project = attributed(await costs(store), By.PROJECT)
    assert {name: each.spent for name, each in by_project.items()} == {
        "": 88,
        "project/default/q3": 88,
        "project/default/q4": 3,
    }
    by_tool = attributed(await costs(store), By.TOOL)
    assert {name: each.spent for name, each in by_tool.items()} == {"guess": 52, "think": 127}


async def test_the_same_step_in_a_new_chapter_is_paid_for_again() -> None:
    store = await ran(("twice", "c1", Job(), ""))
    assert await same_as_ledgers(store) == {"agent/default/juror": Spent(calls=2, spent=2 * DEAR)}


async def test_only_calls_that_ended_since_are_counted_and_dropped_records_are_told() -> None:
    store = await ran(("stumbles", "c1", Job(micros=7), ""))
    records = list(await store.records(CaseKey("default", "c1")))
    found = costs_of(CaseKey("default", "c1"), records)
    last = found.ended[-1][0]
    assert [each.spent for _, each in found.spent(since=last + 1)] == []
    assert len(found.spent()) == 3
    emptied = CaseCosts(CaseKey("default", "c1"))

    emptied.enter(replace(records[0], frame=b"", frame_hash=b"1"))
    assert emptied.dropped == 1
