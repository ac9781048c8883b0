"""The table of retries, row by row."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Crew, tool
from casework.actors.policy import Limits, Policy, Retries, RetryTable, policy_hash
from casework.actors.retry import OPTIONS, decide_retry
from casework.actors.testing import CaseBench, FakeTool
from casework.actors.testing.tools import Fails
from casework.actors.tools import ToolContext
from casework.protocols.codec import inputs_hash
from casework.protocols.records import Call, Decision
from casework.protocols.wire import Failed, FailureKind, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed
from casework.runtime.seams import World
from casework.runtime.switchboard import pause, resume
from tests.support.staff_scene import Scene

READ, UNDO, FINAL = RiskTier.READ_ONLY, RiskTier.REVERSIBLE, RiskTier.IRREVERSIBLE
KIND = FailureKind

#: tier, kind, said to be retryable, attempt, tried again, rule
TABLE = [
    (READ, KIND.TIMEOUT, False, 1, True, "retry.read_only"),
    (READ, KIND.UNAVAILABLE, False, 2, True, "retry.read_only"),
    (READ, KIND.UNAVAILABLE, True, 3, False, "retry.attempts"),
    (READ, KIND.ERROR, True, 1, True, "retry.read_only"),
    (READ, KIND.ERROR, False, 1, False, "retry.final"),
    (READ, KIND.CRITERION, True, 1, True, "retry.read_only"),
    (READ, KIND.CRITERION, False, 1, False, "retry.final"),
    (READ, KIND.REFUSED, True, 1, False, "retry.final"),
    (READ, KIND.INVALID, True, 1, False, "retry.final"),
    (READ, KIND.UNKNOWN, True, 1, False, "retry.final"),
    (UNDO, KIND.UNAVAILABLE, True, 1, True, "retry.reversible"),
    (UNDO, KIND.UNAVAILABLE, True, 2, False, "retry.attempts"),
    (UNDO, KIND.UNAVAILABLE, False, 1, False, "retry.reversible"),
    (UNDO, KIND.TIMEOUT, True, 1, False, "retry.reversible"),
    (UNDO, KIND.ERROR, True, 1, False, "retry.reversible"),
    (UNDO, KIND.UNKNOWN, True, 1, False, "retry.final"),
    (FINAL, KIND.UNAVAILABLE, True, 1, False, "retry.irreversible"),
    (FINAL, KIND.TIMEOUT, True, 1, False, "retry.irreversible"),
]


@pytest.mark.promise("RETRY-1")
@pytest.mark.parametrize(("tier", "kind", "retryable", "attempt", "again", "rule"), TABLE)
def test_a_task_is_tried_again_as_its_tier_and_failure_say(
    scene: Scene, tier: RiskTier, kind: FailureKind, retryable: bool, attempt: int, again: bool, rule: str
) -> None:
    policy = scene.policy()
    failed = Failed(task_id="t1", kind=kind, message="no", retryable=retryable)
    retry = decide_retry(policy, scene.task(tier=tier), failed, attempt)
    assert (retry.again, retry.decision.rule) == (again, rule)
    assert retry.decision.options == ("retry", "stop")
    assert retry.decision.chosen == ("retry" if again else "stop")
    assert retry.decision.policy_hash == policy_hash(policy)
    assert retry.decision.why


def test_the_delay_grows_up_to_its_bound(scene: Scene) -> None:
    policy = scene.policy("[retry.read_only]\nattempts = 99\nbackoff_seconds = 1\nfactor = 3\ndelay_seconds_max = 20\n")
    failed = Failed(task_id="t1", kind=KIND.TIMEOUT, message="no")
    task = scene.task(attempts=99)
    delays = [decide_retry(policy, task, failed, attempt).delay_seconds for attempt in (1, 2, 3, 4, 90)]
    assert delays == [1, 3, 9, 20, 20]


def test_neither_contract_nor_policy_alone_gives_more_attempts(scene: Scene) -> None:
    failed = Failed(task_id="t1", kind=KIND.TIMEOUT, message="no")
    assert not decide_retry(scene.policy(), scene.task(attempts=1), failed, 1).again
    assert not decide_retry(scene.policy("[retry.read_only]\nattempts = 1\n"), scene.task(attempts=9), failed, 1).again


class Asked(Struct, frozen=True):
    number: int


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Asked, context: ToolContext) -> int:
    raise AssertionError("a fake stands in its place")


async def looks(case: Case, inputs: Asked) -> int:
    try:
        return await case.call("look", inputs, returns=int)
    except CallFailed:
        return -1


def reading(seconds: float) -> Crew:
    """Make a crew of which a tool is read again after so many seconds."""
    policy = Policy(
        name="p",
        flows={"looks": Limits(tools=("look",))},
        retry=RetryTable(read_only=Retries(attempts=3, backoff_seconds=seconds)),
    )
    return Crew("c", flows=[Flow.of(looks, inputs=Asked, tools=("look",))], tools=[look], policy=policy)


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (0, []),
        (2, [("retry", "retry.read_only", "1 of 3"), ("retry", "retry.read_only", "2 of 3")]),
        (
            9,
            [
                ("retry", "retry.read_only", "1 of 3"),
                ("retry", "retry.read_only", "2 of 3"),
                ("stop", "retry.attempts", "3 of 3"),
            ],
        ),
    ],
)
async def test_each_time_that_a_tool_is_read_again_within_a_call_is_a_decision(
    failing: int, told: list[tuple[str, str, str]]
) -> None:
    fake = FakeTool(7, plan=[Fails("down", retryable=True)] * failing)
    with anyio.fail_after(5):
        async with CaseBench(reading(0.1), tools={"look": fake}) as bench:
            await bench.open("looks", "c1", Asked(1))
            await bench.forward(seconds=60)
            assert bench.value("c1", int) == (-1 if failing == 9 else 7)
            log = bench.log("c1")
            made = [each for each in log.entries if isinstance(each, Decision)]
            assert [(each.chosen, each.rule, each.why.partition(" at try ")[2]) for each in made] == told
            (call,) = [each for each in log.entries if isinstance(each, Call)]
            assert all(each.subject == "retry look" and each.options == OPTIONS for each in made)
            assert all(each.inputs_hash == inputs_hash(call.arguments) for each in made)
            assert len(set(log.steps)) == len(log.steps)
            await bench.crash()
            assert bench.value("c1", int) == (-1 if failing == 9 else 7)


async def test_a_tool_that_is_paused_before_it_is_read_again_is_held_and_nobody_says_that_it_stops() -> None:
    fake, world = FakeTool(7, plan=[Fails("down", retryable=True)]), World()
    with anyio.fail_after(5):
        async with CaseBench(reading(60.0), tools={"look": fake}) as bench:
            await bench.open("looks", "c1", Asked(1))
            await pause(bench.runtime, "tool:look", by="ann", reason="it is mended", world=world)
            await bench.forward(hours=1)
            await resume(bench.runtime, "tool:look", by="ann", reason="mended", world=world)
            await bench.settle()
            assert bench.value("c1", int) == 7
            made = [each for each in bench.log("c1").entries if isinstance(each, Decision)]
            assert [(each.chosen, each.rule) for each in made] == [("retry", "retry.read_only"), ("park", "switch")]
