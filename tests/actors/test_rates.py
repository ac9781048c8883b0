"""Rate limits: buckets as pure functions of time, and calls that wait their turn or are shed."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from casework.actors.policy import Rate, Rates
from casework.actors.rates import RateLimits, full_after, ready_at
from casework.actors.tools import Tool, ToolContext, tool
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.staff import CallResult
from tests.support.staff_scene import Scene

CALL = (("tenant", "ann"), ("agent", "clerk"), ("tool", "read"))


class Amount(Struct, frozen=True):
    amount: int


def limits(**rates: Rate) -> RateLimits:
    """Make limits of the rates of a tenant, an agent or a tool, each of whatever name."""
    return RateLimits(Rates(limits={f"{kind}:*": rate for kind, rate in rates.items()}))


def paced(rates: RateLimits, times: int, now: float = 0.0) -> list[float]:
    """Give how long each of so many calls waits that come at once."""
    waits: list[float] = []
    for _ in range(times):
        turn = rates.turn(CALL, now)
        rates.take(CALL, now + turn.seconds)
        waits.append(turn.seconds)
    return waits


def test_a_burst_goes_at_once_and_then_each_call_waits_for_its_turn() -> None:
    assert paced(limits(tool=Rate(per_second=2, burst=3)), 6) == [0, 0, 0, 0.5, 1.0, 1.5]


def test_a_bucket_fills_again_while_nobody_calls_but_never_beyond_its_burst() -> None:
    rates = limits(tool=Rate(per_second=1, burst=2))
    assert paced(rates, 3) == [0, 0, 1]
    assert paced(rates, 4, now=100.0) == [0, 0, 1, 2]


def test_the_slowest_of_tenant_agent_and_tool_says_when_and_is_named() -> None:
    rates = limits(tenant=Rate(per_second=10), agent=Rate(per_second=1), tool=Rate(per_second=5))
    assert paced(rates, 3) == [0, 1, 2]
    assert rates.turn(CALL, 0.0).bucket == "agent:clerk"


def test_looking_takes_nothing_and_a_call_takes_from_all_buckets_at_its_turn() -> None:
    rates = limits(tenant=Rate(per_second=1), tool=Rate(per_second=1))
    assert [rates.turn(CALL, 0.0).seconds for _ in range(3)] == [0, 0, 0]
    rates.take(CALL, 5.0)
    assert rates.turn((("tenant", "ann"),), 5.0).seconds == 1
    assert rates.turn((("tenant", "ben"), ("tool", "other")), 5.0).seconds == 0


def test_a_name_of_its_own_goes_before_the_star() -> None:
    rates = RateLimits(Rates(limits={"tool:*": Rate(per_second=1), "tool:read": Rate(per_second=100)}))
    assert paced(rates, 2) == [0, 0.01]


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=30),
    st.integers(1, 5),
    st.sampled_from([0.5, 1.0, 4.0]),
)
def test_within_any_time_no_more_goes_than_the_burst_and_what_flows_in_meanwhile(
    gaps: list[float], burst: int, per_second: float
) -> None:
    rate, now, full_at, gone = Rate(per_second=per_second, burst=burst), 0.0, 0.0, list[float]()
    for gap in gaps:
        now += gap
        at = max(now, ready_at(full_at, rate), gone[-1] if gone else 0.0)
        full_at = full_after(full_at, at, rate)
        gone.append(at)
    for first, begun in enumerate(gone):
        for last in range(first, len(gone)):
            assert last - first + 1 <= burst + (gone[last] - begun) * per_second + 1e-6


def read(script: list[float], scene: Scene, tier: RiskTier = RiskTier.READ_ONLY) -> Tool:
    async def body(arguments: Amount, context: ToolContext) -> int:
        script.append(scene.clock.now)
        return 1

    async def stands(arguments: Amount, value: int, context: ToolContext) -> bool:
        return True

    if tier is RiskTier.READ_ONLY:
        return tool(tier=tier, name="read")(body)
    return tool(tier=tier, name="read", verify=stands)(body)


ONE_A_SECOND = '[rates.limits]\n"tool:read" = { per_second = 1 }\n[retry.read_only]\nattempts = 1\n'


async def perform_all(scene: Scene, made: Tool, policy: str, times: int, **late: int) -> list[CallResult]:
    """Make calls at once and let the time pass for which they sleep."""
    calling, results = scene.calling([made], policy), list[CallResult]()

    async def one() -> None:
        request = scene.request("read")
        results.append(await calling.perform(request, idempotency_key="k", call_before=late.get("call_before", 0)))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as jobs:
            for _ in range(times):
                jobs.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            while len(results) < times:
                scene.clock.forward(1)
                await anyio.wait_all_tasks_blocked()
    return results


async def test_calls_wait_for_their_turn_and_all_are_made(scene: Scene) -> None:
    begun, at = scene.clock.now, list[float]()
    results = await perform_all(scene, read(at, scene), ONE_A_SECOND, 4)
    assert [result.failure for result in results] == [None] * 4
    assert [moment - begun for moment in at] == [0, 1, 2, 3]


async def test_a_call_of_a_tier_that_does_not_wait_is_refused_and_may_be_tried_again(scene: Scene) -> None:
    at: list[float] = []
    results = await perform_all(scene, read(at, scene), '[rates]\nshed = ["read_only"]\n' + ONE_A_SECOND, 3)
    assert sorted(str(result.failure) for result in results) == ["None", "unavailable", "unavailable"]
    assert "tool:read has had its share" in results[0].message + results[1].message + results[2].message


@pytest.mark.parametrize("tier", [RiskTier.READ_ONLY, RiskTier.IRREVERSIBLE])
async def test_a_call_that_could_not_go_before_its_deadline_is_refused_at_once_and_takes_nobodys_turn(
    scene: Scene, tier: RiskTier
) -> None:
    at: list[float] = []
    before = int((scene.clock.now + 1.5) * 1_000_000)
    results = await perform_all(scene, read(at, scene, tier), ONE_A_SECOND, 4, call_before=before)
    assert sorted(str(result.failure) for result in results) == ["None", "None", "unavailable", "unavailable"]
    assert [result.failure for result in results if result.failure] == [FailureKind.UNAVAILABLE] * 2
    assert len(at) == 2
