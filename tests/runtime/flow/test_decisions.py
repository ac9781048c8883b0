"""Whether a task is tried again, and where it goes if not: choices of the log, with what they were made by."""

from collections.abc import Awaitable, Callable

import pytest

from casework.protocols.codec import decode_entry, inputs_hash
from casework.protocols.records import Decision
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.store.base import Record
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, run
from tests.support.small_staff import Gone, SmallTool

Caller = Callable[[str, object], Awaitable[object]]


async def work(case: Case, inputs: Ask) -> str:
    try:
        await case.delegate(
            "work",
            inputs,
            returns=object,
            goal="work",
            tools=("write",),
            tier=RiskTier.REVERSIBLE,
            attempts=2,
            deadline_seconds=60,
            on_stop=OnStop.FAIL,
        )
    except TaskFailed as error:
        return str(error.kind)
    return "done"


async def fails(inputs: object, call: Caller) -> object:
    raise Gone("not now")


async def writes_and_fails(inputs: object, call: Caller) -> object:
    await call("write", {})
    raise Gone("not now")


async def write(arguments: object) -> object:
    return "written"


async def decisions(doer: Callable[[object, Caller], Awaitable[object]], retry_seconds: float = 0.0) -> list[str]:
    """Run a task that fails, and give its decisions; each must be by the failure that stands beside it."""
    store = MemoryStore()
    staff = crew(work, doers={"work": doer}, tools={"write": SmallTool(write, RiskTier.REVERSIBLE)})
    staff.retry_seconds = retry_seconds
    await run(staff, "work", store)
    records = list(await store.records(KEY))
    told = list[str]()
    for record in records:
        entry = decode_entry(record.frame)
        if isinstance(entry, Decision):
            assert entry.inputs_hash in failures(records)
            assert entry.chosen in entry.options
            told.append(f"{entry.chosen} by {entry.rule}")
    return told


def failures(records: list[Record]) -> set[str]:
    return {inputs_hash(record.frame) for record in records if record.kind == "failed"}


@pytest.mark.promise("FLOW-18")
async def test_every_failed_attempt_has_a_choice_in_the_log_the_last_one_too() -> None:
    assert await decisions(fails) == ["again by test", "stop by retry.attempts", "fail by contract.on_stop"]


@pytest.mark.promise("FLOW-18")
async def test_a_task_that_has_written_stops_by_a_rule_of_its_own() -> None:
    assert await decisions(writes_and_fails) == ["stop by retry.written", "fail by contract.on_stop"]


@pytest.mark.promise("FLOW-18")
async def test_a_task_whose_deadline_comes_before_another_attempt_stops_for_that() -> None:
    assert await decisions(fails, retry_seconds=90.0) == ["stop by retry.deadline", "fail by contract.on_stop"]
