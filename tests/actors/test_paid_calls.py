"""Calls that cost something, when they are made: what they may cost is drawn last, and only what was tried costs."""

from collections.abc import Callable

import anyio
import pytest
from msgspec import Struct
from msgspec.structs import replace

from casework.actors.errors import KnownFailure
from casework.actors.tools import Tool, ToolContext, tool
from casework.protocols.wire import Cost, FailureKind, RiskTier
from casework.runtime.staff import CallResult
from tests.support.staff_scene import Scene

QUICK = "[retry.read_only]\nattempts = 3\nbackoff_seconds = 0\n"


class Amount(Struct, frozen=True):
    amount: int


class Priced:
    """A read that costs 10 at most; each try spends so much (None: unsaid), and fails or not."""

    def __init__(self, *acts: tuple[int | None, Exception | None]) -> None:
        self.acts = list(acts)

    def tool(self) -> Tool:
        async def read(arguments: Amount, context: ToolContext) -> int:
            spent, error = self.acts.pop(0)
            if spent is not None:
                context.spend(spent)
            if error is not None:
                raise error
            return arguments.amount

        return tool(tier=RiskTier.READ_ONLY, micros_max=10)(read)


async def perform(
    scene: Scene, made: Tool, reserve: Callable[[], bool] = lambda: True, *, policy: str = QUICK, call_before: int = 0
) -> CallResult:
    async def reserved() -> bool:
        return reserve()

    calling = scene.calling([made], policy)
    request = replace(scene.request(made.name), reserve=reserved)
    with anyio.fail_after(5):
        async with scene.running(calling):
            return await calling.perform(request, idempotency_key="", call_before=call_before)
    raise AssertionError("it was cancelled")


BUSY = KnownFailure("busy", retryable=True)


@pytest.mark.parametrize(
    ("acts", "tries", "cost", "failure"),
    [
        ([(7, None)], 1, 7, None),
        ([(None, None)], 1, 10, None),
        ([(0, BUSY), (7, None)], 2, 7, None),
        ([(0, BUSY), (None, None)], 2, 10, None),
        ([(3, BUSY)], 1, 3, FailureKind.UNAVAILABLE),
        ([(None, BUSY)], 1, 10, FailureKind.UNAVAILABLE),
        ([(0, BUSY), (0, BUSY), (0, BUSY)], 3, 0, FailureKind.UNAVAILABLE),
    ],
)
async def test_a_read_is_tried_again_as_long_as_it_is_known_to_have_cost_nothing(
    scene: Scene, acts: list[tuple[int | None, Exception | None]], tries: int, cost: int, failure: FailureKind | None
) -> None:
    result = await perform(scene, Priced(*acts).tool())
    assert (result.failure, result.cost) == (failure, Cost(calls=tries, micros=cost))


async def test_a_call_for_which_nothing_is_drawn_is_not_made_and_costs_nothing(scene: Scene) -> None:
    priced = Priced((7, None))
    result = await perform(scene, priced.tool(), lambda: False)
    assert (result.failure, result.cost.micros, len(priced.acts)) == (FailureKind.REFUSED, 0, 1)


async def test_nothing_is_drawn_for_a_call_that_is_not_made_for_another_reason(scene: Scene) -> None:
    asked: list[None] = []

    def reserve() -> bool:
        asked.append(None)
        return True

    priced = Priced((7, None))
    late = await perform(scene, priced.tool(), reserve, call_before=scene.clock.wall_micros())
    assert (late.failure, late.cost.micros, len(priced.acts), asked) == (FailureKind.TIMEOUT, 0, 1, [])
    opens = Priced(*[(None, BUSY)] * 9)
    made, calling = opens.tool(), scene.calling([opens.tool()], QUICK + "[breaker]\nfailures = 1\n")
    with anyio.fail_after(5):
        async with scene.running(calling):
            request = scene.request(made.name)
            await calling.perform(request, idempotency_key="", call_before=0)

            async def never() -> bool:
                raise AssertionError("it is drawn last")

            shut = await calling.perform(replace(request, reserve=never), idempotency_key="", call_before=0)
    assert (shut.failure, shut.cost.micros, len(opens.acts)) == (FailureKind.UNAVAILABLE, 0, 8)


async def test_a_call_whose_time_is_over_once_its_cost_is_drawn_is_not_made(scene: Scene) -> None:
    def slowly() -> bool:
        scene.clock.forward(60)
        return True

    priced = Priced((7, None))
    before = scene.clock.wall_micros() + 30_000_000
    result = await perform(scene, priced.tool(), slowly, call_before=before)
    assert (result.failure, result.cost.micros, len(priced.acts)) == (FailureKind.TIMEOUT, 0, 1)


async def test_a_paid_read_whose_answer_nobody_heard_counts_as_spent_and_is_not_made_again(scene: Scene) -> None:
    priced = Priced((7, None))
    made = priced.tool()
    calling = scene.calling([made])
    with anyio.fail_after(5):
        async with scene.running(calling):
            found = await calling.look_up(scene.request(made.name), idempotency_key="k", intended_at=0, call_before=0)
    assert (found.failure, found.cost.micros, len(priced.acts)) == (FailureKind.UNAVAILABLE, 10, 1)
