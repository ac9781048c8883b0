"""Delegated tasks: attempts, deadlines, where they stop, and agents that are run again."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.codec import digest
from casework.protocols.errors import ContractIncomplete
from casework.protocols.records import Decision, Partial, ReviewAction
from casework.protocols.wire import OnStop, RiskTier, Task
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.flow.casecell import LAG_SECONDS
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, entries, run, runtime, steps, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import Gone, SmallTool

Caller = Callable[[str, object], Awaitable[object]]
STOPS = (OnStop.PARK, OnStop.REVIEW, OnStop.FAIL)


async def work(case: Case, inputs: Ask) -> object:
    try:
        result = await case.delegate(
            "work",
            {"n": inputs.n},
            returns=object,
            goal="work",
            tools=("read", "write"),
            tier=RiskTier.REVERSIBLE,
            attempts=2,
            calls=2,
            on_stop=STOPS[inputs.n],
        )
    except TaskFailed as error:
        return f"failed: {error.kind}"
    return result.value


async def never(inputs: object, call: Caller) -> object:
    await anyio.sleep_forever()
    return None


async def work_below(case: Case, inputs: Ask) -> object:
    ends = await case.now() + 5_000_000
    result = await case.delegate(
        "work", {"n": inputs.n}, returns=object, goal="work", deadline_seconds=inputs.n, deadline=ends
    )
    return result.value


class Flaky:
    """Fails so many times, then works."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def __call__(self, inputs: object, call: Caller) -> object:
        if self.left:
            self.left -= 1
            raise Gone("not now")
        return "worked"


@pytest.mark.promise("FLOW-18")
async def test_a_failed_attempt_is_tried_again_and_the_choice_is_in_the_log() -> None:
    store, staff = MemoryStore(), crew(work, doers={"work": Flaky(1)})
    _, log = await run(staff, "work", store)
    assert await value(store) == "worked"
    assert [attempt for _, attempt, _ in staff.sent] == [1, 2]
    assert log[2:4] == [("failed", "work:(attempt)#1"), ("decision", "work:(retry)#1")]


@pytest.mark.promise("FLOW-18")
async def test_a_task_that_may_fail_raises_in_the_flow() -> None:
    store = MemoryStore()
    await run(crew(work, doers={"work": Flaky(2)}), "work", store, n=2)
    assert await value(store) == "failed: error"


@pytest.mark.promise("FLOW-18")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_stopped_task_is_tried_again_when_an_operator_delivers_even_after_its_deadline(restart: bool) -> None:
    store, clock, flaky = MemoryStore(), ManualClock(), Flaky(2)
    with anyio.fail_after(5):
        async with runtime(crew(work, doers={"work": flaky}), store, clock) as machine:
            await machine.open("work", "c1", Ask(0))
            row = await machine.wait("c1")
            assert [(wait.key, wait.kind) for wait in row.waits] == [("retry:c1:work", WaitKind.OPERATOR)]
            if not restart:
                clock.advance(3600)
                await machine.deliver("retry:c1:work", by="operator")
                await machine.wait("c1")
        if restart:
            clock.advance(3600)
            async with runtime(crew(work, doers={"work": flaky}), store, clock) as machine:
                await machine.deliver("retry:c1:work", by="operator")
                await machine.wait("c1")
        assert await value(store) == "worked"
        given = await entries(store, Task)
        assert given[1].deadline - given[0].deadline == 3600 * 1_000_000
        assert given[1].id == given[0].id


@pytest.mark.promise("FLOW-18")
@pytest.mark.parametrize(("action", "end"), [(ReviewAction.APPROVE, "worked"), (ReviewAction.REJECT, "failed: error")])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_person_says_whether_a_stopped_task_is_tried_again(
    action: ReviewAction, end: str, restart: bool
) -> None:
    store, clock, flaky = MemoryStore(), ManualClock(), Flaky(2)
    with anyio.fail_after(5):
        async with runtime(crew(work, doers={"work": flaky}), store, clock) as machine:
            await machine.open("work", "c1", Ask(1))
            row = await machine.wait("c1")
            assert row.waits[0].kind is WaitKind.REVIEW
            if not restart:
                await machine.decide(row.waits[0].key, action, by="ann")
                await machine.wait("c1")
        if restart:
            async with runtime(crew(work, doers={"work": flaky}), store, clock) as machine:
                await machine.decide(row.waits[0].key, action, by="ann")
                await machine.wait("c1")
        assert await value(store) == end


@pytest.mark.promise("FLOW-18")
async def test_an_attempt_that_takes_too_long_is_followed_by_another_and_its_late_outcome_ignored() -> None:
    release, clock, store = anyio.Event(), ManualClock(), MemoryStore()
    answers = iter(("late", "fresh"))

    async def tardy(inputs: object, call: Caller) -> object:
        answer = next(answers)
        if answer == "late":
            await release.wait()
        else:
            release.set()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        return answer

    staff = crew(work, doers={"work": tardy})
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("work", "c1", Ask())
            while not staff.sent:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(31)
            await machine.wait("c1")
            assert await value(store) == "fresh"


@pytest.mark.promise("FLOW-18")
async def test_a_task_past_its_deadline_is_not_tried_again() -> None:
    clock, store = ManualClock(), MemoryStore()
    staff = crew(work, doers={"work": never}, attempt_limit_seconds=1000.0)
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("work", "c1", Ask(2))
            while not staff.sent:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(61)
            await machine.wait("c1")
            assert await value(store) == "failed: timeout"
            assert len(staff.sent) == 1


@pytest.mark.parametrize(("seconds", "lasts"), [(2, 2_000_000), (60, 5_000_000)])
async def test_of_a_tasks_seconds_and_its_latest_moment_the_earlier_one_is_its_deadline(
    seconds: int, lasts: int
) -> None:
    clock, store = ManualClock(), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(work_below, doers={"work": Flaky(0)}), store, clock) as machine:
            await machine.open("work_below", "c1", Ask(seconds))
            await machine.wait("c1")
    (task,) = await entries(store, Task)
    assert task.deadline == clock.wall_micros() + lasts


@pytest.mark.promise("FLOW-21")
async def test_an_agent_run_again_after_a_crash_gets_its_recorded_calls_and_does_nothing_twice() -> None:
    reached = anyio.Event()

    async def first_life(inputs: object, call: Caller) -> object:
        await call("read", {})
        await call("write", {"n": 1})
        reached.set()
        await anyio.sleep_forever()
        return None

    async def second_life(inputs: object, call: Caller) -> object:
        return [await call("read", {}), await call("write", {"n": 1})]

    async def done(arguments: object) -> object:
        return "done"

    tools = {"read": SmallTool(done), "write": SmallTool(done, RiskTier.REVERSIBLE)}
    store, clock = MemoryStore(), ManualClock()
    first, second = (crew(work, doers={"work": life}, tools=tools) for life in (first_life, second_life))
    with anyio.fail_after(5):
        async with crashing(runtime(first, store, clock)) as machine:
            await machine.open("work", "c1", Ask())
            await reached.wait()
            while ("done", "work:write") not in await steps(store):
                await anyio.lowlevel.checkpoint()
        clock.advance(LEASE_OVER)
        async with runtime(second, store, clock) as machine:
            await machine.wait("c1")
            assert await value(store) == ["done", "done"]
            assert [name for name, _, _ in first.performed] == ["read", "write"]
            assert second.performed == []


@pytest.mark.promise("FLOW-21")
async def test_after_a_crash_in_the_second_attempt_the_second_attempt_goes_on() -> None:
    reached = anyio.Event()

    async def first_life(inputs: object, call: Caller) -> object:
        if not reached.is_set():
            reached.set()
            raise Gone("not now")
        await anyio.sleep_forever()
        return None

    store, clock = MemoryStore(), ManualClock()
    first, second = crew(work, doers={"work": first_life}), crew(work, doers={"work": Flaky(0)})
    with anyio.fail_after(5):
        async with crashing(runtime(first, store, clock)) as machine:
            await machine.open("work", "c1", Ask())
            while ("decision", "work:(retry)#1") not in await steps(store):
                await anyio.lowlevel.checkpoint()
        clock.advance(LEASE_OVER)
        async with runtime(second, store, clock) as machine:
            await machine.wait("c1")
            assert [attempt for _, attempt, _ in second.sent] == [2]


@pytest.mark.promise("FLOW-21")
@pytest.mark.parametrize("tool", ["read", "write"])
async def test_an_agent_that_diverges_starts_anew_unless_it_has_written(tool: str) -> None:
    reached = anyio.Event()

    async def first_life(inputs: object, call: Caller) -> object:
        await call(tool, {"n": 1})
        reached.set()
        await anyio.sleep_forever()
        return None

    async def second_life(inputs: object, call: Caller) -> object:
        return await call(tool, {"n": 2})

    async def done(arguments: object) -> object:
        return arguments

    tools = {"read": SmallTool(done), "write": SmallTool(done, RiskTier.REVERSIBLE)}
    store, clock = MemoryStore(), ManualClock()
    first, second = (crew(work, doers={"work": life}, tools=tools) for life in (first_life, second_life))
    with anyio.fail_after(5):
        async with crashing(runtime(first, store, clock)) as machine:
            await machine.open("work", "c1", Ask())
            await reached.wait()
            clock.advance(LAG_SECONDS)
            while ("done" if tool == "write" else "call", f"work:{tool}") not in await steps(store):
                await anyio.lowlevel.checkpoint()
        clock.advance(LEASE_OVER)
        async with runtime(second, store, clock) as machine:
            row = await machine.wait("c1")
            if tool == "read":
                assert await value(store) == {"n": 2}
                assert ("call", "work@2:read") in await steps(store)
            else:
                assert row.status is CaseStatus.PARKED
                assert "partial" in row.waits[0].reason
                (account,) = await entries(store, Partial)
                assert [(effect.step_id, effect.tool) for effect in account.done] == [("work:write", "write")]
                assert second.performed == []


@pytest.mark.promise("FLOW-21")
async def test_a_task_that_wrote_and_then_failed_is_not_tried_again_by_itself() -> None:
    async def writes_and_fails(inputs: object, call: Caller) -> object:
        await call("write", {"n": 1})
        raise Gone("afterwards")

    async def done(arguments: object) -> object:
        return "done"

    store = MemoryStore()
    tools = {"write": SmallTool(done, RiskTier.REVERSIBLE)}
    staff = crew(work, doers={"work": writes_and_fails}, tools=tools)
    row, _ = await run(staff, "work", store)
    assert row.waits[0].kind is WaitKind.OPERATOR
    assert len(staff.performed) == 1
    assert "it has written" in (await entries(store, Decision))[0].why


@pytest.mark.promise("FRAME-1")
async def test_the_frame_that_an_agent_gets_is_byte_for_byte_the_one_in_the_log() -> None:
    store, staff = MemoryStore(), crew(work, doers={"work": Flaky(0)})
    await run(staff, "work", store)
    logged = next(record for record in await store.records(KEY) if record.kind == "task")
    assert digest(staff.sent[0][2]) == digest(logged.frame)


@pytest.mark.promise("FLOW-21")
@pytest.mark.parametrize(
    "name", ["attempt", "retry", "on_stop", "stopped", "resumed", "approval", "unknown", "again", "diverged"]
)
async def test_a_tool_may_be_called_like_anything_that_the_log_says_of_tasks(name: str) -> None:
    reached = anyio.Event()

    async def odd(case: Case, inputs: Ask) -> object:
        task = case.delegate("work", {}, returns=object, goal="work", tools=(name,), tier=RiskTier.REVERSIBLE)
        return (await task).value

    async def first_life(inputs: object, call: Caller) -> object:
        await call(name, {})
        await call(name, {})
        reached.set()
        await anyio.sleep_forever()
        return None

    async def second_life(inputs: object, call: Caller) -> object:
        return [await call(name, {}), await call(name, {})]

    async def done(arguments: object) -> object:
        return "done"

    tools = {name: SmallTool(done, RiskTier.REVERSIBLE)}
    store, clock = MemoryStore(), ManualClock()
    first, second = (crew(odd, doers={"work": life}, tools=tools) for life in (first_life, second_life))
    with anyio.fail_after(5):
        async with crashing(runtime(first, store, clock)) as machine:
            await machine.open("odd", "c1", Ask())
            await reached.wait()
            while ("done", f"work:{name}#1") not in await steps(store):
                await anyio.lowlevel.checkpoint()
        clock.advance(LEASE_OVER)
        async with runtime(second, store, clock) as machine:
            await machine.wait("c1")
            assert await value(store) == ["done", "done"]
            assert second.performed == []


@pytest.mark.promise("CONTRACT-1")
async def test_a_task_that_lacks_a_term_is_not_sent_and_the_flow_hears_which() -> None:
    staff = crew(lacks_terms, doers={"judge": answers_nothing})
    with anyio.fail_after(5):
        async with runtime(staff) as machine:
            await machine.open("lacks_terms", "c1", Ask())
            await machine.wait("c1")
            assert await value(machine.store) == [["goal"], ["success_criteria"], ["attempts"]]
    assert staff.sent == []


async def lacks_terms(case: Case, inputs: Ask) -> Any:
    missing: list[tuple[str, ...]] = []
    for terms in ({"goal": ""}, {"criteria": ()}, {"attempts": 0}):
        told: dict[str, Any] = {"goal": "Judge it", **terms}
        try:
            await case.delegate("judge", {}, returns=int, **told)
        except ContractIncomplete as incomplete:
            missing.append(incomplete.missing)
    return missing


async def answers_nothing(inputs: object, call: object) -> None:
    return None
