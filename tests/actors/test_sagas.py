"""Sagas of a crew: what undoes a write, who may, and that a crash or a cancel anywhere changes nothing."""

from collections.abc import Callable, Coroutine

import anyio
import pytest

from casework.actors.crew import Crew
from casework.actors.testing import CaseBench, Ending, Fails, FakePerson, FakeTool
from casework.actors.testing.process import Kill
from casework.protocols.records import CaseResult, Partial
from casework.runtime import Case
from casework.runtime.errors import CallFailed
from casework.runtime.store.base import CaseStatus
from tests.support.saga_crew import Bought, Order, crew, entrusted, fakes, refund

pytestmark = pytest.mark.anyio
ORDER = Order("o-7")
ACCEPTS = FakePerson(rule="effect.partial")
#: What happens when all of it is undone.
ALL_UNDONE = ["label.buy", "status.set", "status.revert", "label.cancel"]

FlowFunction = Callable[[Case, Order], Coroutine[object, object, object]]
Crashes = Callable[..., Coroutine[object, object, Ending]]


def told(bench: CaseBench) -> list[str]:
    """Give what happened in the world, in order."""
    return [call.tool for call in bench.outside.effects()]


@pytest.mark.promise("SAGA-1")
@pytest.mark.parametrize("flow", [refund, entrusted])
async def test_an_undo_is_given_the_writes_arguments_and_result_and_is_allowed_to_whoever_was_let_make_the_write(
    flow: FlowFunction,
) -> None:
    async with CaseBench(crew(flow), tools=fakes()) as bench:
        await bench.open(flow.__name__, "c-1", ORDER)
        assert told(bench) == ALL_UNDONE
        assert bench.calls("label.cancel") == [Bought("o-7", "label.buy done")]
        assert bench.calls("status.revert") == [ORDER]
        assert bench.row("c-1").result == CaseResult.FAILED


@pytest.mark.promise("SAGA-3")
async def test_an_undo_that_the_policy_denies_is_not_made_and_the_case_is_partial() -> None:
    denying = crew(entrusted, denied={"label.cancel": "labels are paid for"})
    async with CaseBench(denying, tools=fakes(), people=[ACCEPTS]) as bench:
        await bench.open("entrusted", "c-1", ORDER)
        assert told(bench) == ["label.buy", "status.set", "status.revert"]
        (account,) = [entry for entry in bench.log("c-1").entries if isinstance(entry, Partial)]
        assert [(each.tool, each.why) for each in account.done] == [
            ("label.buy", "tool 'label.cancel' failed (refused): labels are paid for")
        ]
        assert bench.row("c-1").result == CaseResult.PARTIAL


async def test_an_undo_that_fails_for_a_while_is_tried_again_when_the_policy_says() -> None:
    async with CaseBench(
        crew(refund), tools=fakes(status_revert=FakeTool("back", plan=[Fails("not now", retryable=True)]))
    ) as bench:
        await bench.open("refund", "c-1", ORDER)
        assert told(bench) == ALL_UNDONE[:2]
        await bench.forward(seconds=1)
        assert told(bench) == ALL_UNDONE
        assert len({call.key for call in bench.tool_calls("status.revert")}) == 2


# A crash anywhere.


async def nested(case: Case, inputs: Order) -> str:
    """Undo an inner block, go on, and undo the rest."""
    try:
        async with case.saga():
            await case.call("label.buy", inputs, returns=str)
            try:
                async with case.saga():
                    await case.call("status.set", inputs, returns=str)
                    await case.call("bank.refund", inputs, returns=str)
            except CallFailed:
                await case.note("another way")
            await case.call("status.set", Order("o-7", 41), returns=str)
            await case.call("bank.refund", inputs, returns=str)
    except CallFailed:
        return "nothing of it"
    return "all of it"


async def parallel(case: Case, inputs: Order) -> None:
    """Write in two branches, in a saga of their own and without one, until one of them fails."""

    async def labels() -> None:
        async with case.saga():
            await case.call("label.buy", inputs, returns=str)
            await case.park("never", reason="it waits")

    async def bank() -> None:
        await case.call("status.set", inputs, returns=str)
        await case.sleep(60)
        await case.call("bank.refund", inputs, returns=str)

    async with case.saga():
        await case.gather(labels(), bank())


async def mailed(case: Case, inputs: Order) -> None:
    """Do something that nothing undoes before it fails."""
    async with case.saga():
        await case.call("label.buy", inputs, returns=str)
        await case.call("mail.send", inputs, returns=str)
        await case.call("bank.refund", inputs, returns=str)


async def bare(case: Case, inputs: Order) -> None:
    """Fail after a write with no saga around it."""
    await case.call("label.buy", inputs, returns=str)
    await case.call("bank.refund", inputs, returns=str)


@pytest.mark.promise("SAGA-2")
@pytest.mark.parametrize(
    ("flow", "result", "effects"),
    [
        (refund, "failed", 4),
        (entrusted, "failed", 4),
        (nested, "completed", 6),
        (parallel, "failed", 4),
        (mailed, "partial", 3),
        (bare, "partial", 1),
    ],
)
async def test_killed_at_every_append_the_same_is_done_and_undone_once(
    crashes: Crashes, flow: FlowFunction, result: str, effects: int
) -> None:
    whole = await crashes(crew(flow), flow.__name__, ORDER, tools=fakes(), people=[ACCEPTS])
    assert (whole.result, sum(whole.effects.times.values())) == (result, effects)


async def cancelled_and_killed(made: Crew, flow: str, kill: Kill | None) -> tuple[list[str], str, int]:
    """Cancel a case while it waits in its saga, with a crash somewhere; give effects, result and appends."""
    async with CaseBench(made, tools=fakes(), kill=kill) as bench:
        appends = bench.store.appends
        with anyio.CancelScope() as scope:
            bench.store.on_death = scope.cancel
            await bench.open(flow, "c-1", ORDER)
            await bench.cancel("c-1", reason="enough")
        bench.store.on_death = lambda: None
        if not bench.store.alive:
            await bench.crash()
            await bench.open(flow, "c-1", ORDER)
            await bench.cancel("c-1", reason="enough")
        row = bench.row("c-1")
        assert row.status is CaseStatus.CLOSED, bench.log("c-1").told()
        return told(bench), row.result, len(appends)


async def waiting(case: Case, inputs: Order) -> None:
    """Wait in a saga after two writes."""
    async with case.saga():
        await case.call("label.buy", inputs, returns=str)
        await case.call("status.set", inputs, returns=str)
        await case.park("never", reason="it waits")


@pytest.mark.promise("SAGA-2")
async def test_cancelled_and_killed_at_every_append_the_case_is_undone_once_all_the_same() -> None:
    effects, result, appends = await cancelled_and_killed(crew(waiting), "waiting", None)
    assert (effects, result) == (ALL_UNDONE, "cancelled")
    for number in range(1, appends + 1):
        for durable in (False, True):
            killed, result, _ = await cancelled_and_killed(crew(waiting), "waiting", Kill(number, durable))
            # Killed early, the case is cancelled before it has come as far; what it did is undone all the same.
            half = len(killed) // 2
            assert killed[:half] == ALL_UNDONE[:half], (number, durable, killed)
            assert killed[half:] == [undo for undo in ALL_UNDONE[2:] if undo.split(".")[0] in str(killed[:half])]
            assert result == "cancelled"
