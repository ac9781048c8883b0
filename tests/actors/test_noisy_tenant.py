"""A tenant that asks for a hundred times as much as another hardly moves the other one's p95: measured, by a clock that
only a test moves.

Both share an agent's workers, or a tool's places. The quiet one comes every ten seconds or so, the noisy one ten times
a second, which is more than can be done: its tasks pile up and are refused, and the quiet one's go through.
"""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Skill, Work
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import decode_outcome, encode
from casework.protocols.wire import Completed, RiskTier
from casework.runtime.staff import CallRequest
from casework.runtime.store.base import CaseKey
from tests.support.staff_scene import CaseDouble, HandClock, Scene

#: How long each piece of work takes, in seconds, and how finely time moves.
WORK_SECONDS, STEP_SECONDS = 1.0, 0.1
QUIET_TASKS = 20
#: The quiet tenant comes every so many steps; not a whole number of works, so that it comes at any moment of them.
EVERY_STEPS = 103
#: Rounds of the event loop after which nobody has anything left to do at a moment.
ROUNDS = 12


class Amount(Struct, frozen=True):
    amount: int


class Timed(CaseDouble):
    """A case that remembers when its only outcome came, if it was a value."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock, self.began, self.took = clock, clock.now, 0.0

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        super().outcome(frame, attempt=attempt)
        if isinstance(decode_outcome(frame), Completed):
            self.took = self.clock.now - self.began


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95) - 1]


async def pass_time(clock: HandClock, each: Callable[[int], Awaitable[None]]) -> None:
    """Let the time pass in which the quiet tenant has all its work done, step by step."""
    for step in range(QUIET_TASKS * EVERY_STEPS):
        await each(step)
        await rounds()
        clock.forward(STEP_SECONDS)
        await rounds()


async def rounds() -> None:
    """Let everybody do what can be done at this moment; to ask whether all wait costs more, the more do."""
    for _ in range(ROUNDS):
        await anyio.lowlevel.checkpoint()


async def delegated(scene: Scene, *, noisy: bool) -> list[float]:
    """Give how long the quiet tenant's tasks took."""
    clock, quiet = scene.clock, list[Timed]()

    async def work(inputs: Amount, work: Work) -> int:
        await clock.sleep(WORK_SECONDS)
        return 1

    crew = scene.crew([Agent("worker", {"work": Skill(Amount, int, work)})])
    async with scene.staff(crew) as staff:

        async def each(step: int) -> None:
            if step % EVERY_STEPS == 0:
                quiet.append(Timed(clock))
                task = scene.task(id_=f"q{step}", tenant="quiet")
                assert staff.dispatch(encode(task), task, 1, quiet[-1]) is None
            if noisy:
                task = scene.task(id_=f"n{step}", tenant="noisy")
                staff.dispatch(encode(task), task, 1, CaseDouble())

        await pass_time(clock, each)
    return [case.took for case in quiet]


async def called(scene: Scene, *, noisy: bool) -> list[float]:
    """Give how long the quiet tenant's calls of a tool took."""
    clock, took = scene.clock, list[float]()

    async def body(arguments: Amount, context: ToolContext) -> int:
        await clock.sleep(WORK_SECONDS)
        return 1

    calling = scene.calling([tool(tier=RiskTier.READ_ONLY, name="read")(body)])

    async def call(tenant: str) -> None:
        began, request = clock.now, scene.request("read")
        mine = CallRequest(CaseKey(tenant, "c1"), "work:tool", "read", request.arguments, request.grant)
        result = await calling.perform(mine, idempotency_key="", call_before=0)
        if tenant == "quiet" and result.failure is None:
            took.append(clock.now - began)

    async with anyio.create_task_group() as jobs:

        async def each(step: int) -> None:
            if step % EVERY_STEPS == 0:
                jobs.start_soon(call, "quiet")
            if noisy:
                jobs.start_soon(call, "noisy")

        await pass_time(clock, each)
        jobs.cancel_scope.cancel()
    return took


@pytest.mark.promise("GUARD-7")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("way", [delegated, called], ids=["workers", "places"])
async def test_a_noisy_tenant_at_a_hundred_times_the_load_moves_anothers_p95_by_less_than_a_fifth(
    scene: Scene, way: Callable[..., Awaitable[list[float]]]
) -> None:
    with anyio.fail_after(60):
        alone = await way(Scene(HandClock()), noisy=False)
        beside = await way(scene, noisy=True)
    assert len(alone) == len(beside) == QUIET_TASKS
    assert 0 < p95(beside) < 1.2 * p95(alone)
