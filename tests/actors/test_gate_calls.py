"""The call itself: reads are tried again, writes end known or UNKNOWN, and nothing is called that may not be."""

from typing import Any, cast

import anyio
import pytest
from msgspec import Struct

from casework.actors.breaker import CircuitState
from casework.actors.errors import KnownFailure
from casework.actors.tools import TIMEOUT_SECONDS, WORKERS, Tool, ToolContext, tool
from casework.protocols.codec import unpack
from casework.protocols.wire import Cost, FailureKind, RiskTier
from casework.runtime.staff import CallResult
from tests.support.staff_scene import Scene

QUICK = "[retry.read_only]\nattempts = 3\nbackoff_seconds = 0\n"
NEVER = object()


class Amount(Struct, frozen=True):
    amount: int


class Script:
    """A tool that does what it is told, call by call, and remembers how it was called."""

    def __init__(self, *acts: object, verified: object = True, found: object = NEVER) -> None:
        self.acts = list(acts)
        self.verified, self.found = verified, found
        self.keys: list[str] = []
        self.looked = 0

    async def body(self, arguments: Amount, context: ToolContext) -> int:
        self.keys.append(context.idempotency_key)
        return cast("int", await self._act(self.acts.pop(0)))

    async def verify(self, arguments: Amount, value: int, context: ToolContext) -> bool:
        return cast("bool", await self._act(self.verified))

    async def lookup(self, arguments: Amount, context: ToolContext) -> int | None:
        self.looked += 1
        return cast("int | None", await self._act(self.found.pop(0) if isinstance(self.found, list) else self.found))

    async def _act(self, act: object) -> object:
        if act is NEVER:
            await anyio.sleep_forever()
        if isinstance(act, Exception):
            raise act
        return act

    def read(self, *, timeout_seconds: float = TIMEOUT_SECONDS, workers: int = WORKERS) -> Tool:
        declare = tool(tier=RiskTier.READ_ONLY, name="read", timeout_seconds=timeout_seconds, workers=workers)
        return declare(self.body)

    def write(self, *, lookup: bool = False, **options: Any) -> Tool:
        found = self.lookup if lookup else None
        return tool(tier=RiskTier.IRREVERSIBLE, name="write", verify=self.verify, lookup=found, **options)(self.body)


async def perform(
    scene: Scene, made: Tool, *, policy: str = QUICK, call_before: int = 0, key: str = "k1", forward: float = 0.0
) -> CallResult:
    """Perform one call; with `forward`, time goes on by so much once the call is under way."""
    calling = scene.calling([made], policy)
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:
            if forward:
                jobs.start_soon(pass_time, scene, forward)
            request = scene.request(made.name)
            result = await calling.perform(request, idempotency_key=key, call_before=call_before)
    return result


async def pass_time(scene: Scene, seconds: float) -> None:
    await scene.clock.until_asleep()
    scene.clock.forward(seconds)


async def test_a_value_comes_back_as_declared(scene: Scene) -> None:
    result = await perform(scene, Script(42).read())
    assert (unpack(result.value, int), result.failure, result.tries, result.cost.calls) == (42, None, 1, 1)


@pytest.mark.promise("RETRY-1")
async def test_a_read_is_tried_again_while_its_failure_may_pass(scene: Scene) -> None:
    result = await perform(scene, Script(ConnectionError(), KnownFailure("busy", retryable=True), 42).read())
    assert (unpack(result.value, int), result.tries, result.cost.calls) == (42, 3, 3)


async def test_a_read_gives_up_after_its_attempts_and_at_once_when_it_cannot_pass(scene: Scene) -> None:
    spent = await perform(scene, Script(*[ConnectionError()] * 9).read())
    assert (spent.failure, spent.tries) == (FailureKind.UNAVAILABLE, 3)
    bug = await perform(scene, Script(ValueError("account 123")).read())
    assert (bug.failure, bug.tries) == (FailureKind.ERROR, 1)
    assert "ValueError at test_gate_calls.py:" in bug.message
    assert "123" not in bug.message
    known = await perform(scene, Script(KnownFailure("no such invoice")).read())
    assert (known.failure, known.message) == (FailureKind.ERROR, "no such invoice")


async def test_the_wait_before_another_try_is_by_the_worlds_clock(scene: Scene) -> None:
    policy = "[retry.read_only]\nattempts = 2\nbackoff_seconds = 3600\ndelay_seconds_max = 3600\n"
    result = await perform(scene, Script(ConnectionError(), 42).read(), policy=policy, forward=3600)
    assert unpack(result.value, int) == 42


async def test_a_value_of_another_type_than_declared_is_invalid(scene: Scene) -> None:
    result = await perform(scene, Script("forty-two").read())
    assert result.failure is FailureKind.INVALID


async def test_a_call_that_takes_too_long_is_cancelled(scene: Scene) -> None:
    result = await perform(
        scene, Script(NEVER).read(timeout_seconds=10), policy="[retry.read_only]\nattempts=1\n", forward=10
    )
    assert (result.failure, result.message) == (FailureKind.TIMEOUT, "no answer within 10 s")


#: what the body does, what verify says, what becomes of the write
WRITES = [
    (42, True, None),
    (42, False, FailureKind.UNKNOWN),
    (42, ConnectionError(), FailureKind.UNKNOWN),
    ("forty-two", True, FailureKind.UNKNOWN),
    (KnownFailure("closed period"), True, FailureKind.ERROR),
    (KnownFailure("busy", retryable=True), True, FailureKind.UNAVAILABLE),
    (ConnectionError(), True, FailureKind.UNKNOWN),
    (ValueError(), True, FailureKind.UNKNOWN),
    (TimeoutError(), True, FailureKind.UNKNOWN),
]


@pytest.mark.promise("GATE-5")
@pytest.mark.parametrize(("act", "verified", "failure"), WRITES)
async def test_a_write_ends_verified_known_not_to_have_happened_or_unknown(
    scene: Scene, act: object, verified: object, failure: FailureKind | None
) -> None:
    script = Script(act, verified=verified)
    result = await perform(scene, script.write())
    assert result.failure is failure
    assert script.keys == ["k1"], "a write is never repeated blindly"


async def test_a_write_that_takes_too_long_is_unknown(scene: Scene) -> None:
    assert (await perform(scene, Script(NEVER).write(), forward=30)).failure is FailureKind.UNKNOWN


async def test_a_verification_that_takes_too_long_leaves_the_write_unknown(scene: Scene) -> None:
    assert (await perform(scene, Script(42, verified=NEVER).write(), forward=30)).failure is FailureKind.UNKNOWN


@pytest.mark.promise("FLOW-9")
async def test_a_write_is_not_begun_once_its_time_is_over(scene: Scene) -> None:
    script = Script(42)
    result = await perform(scene, script.write(), call_before=scene.clock.wall_micros())
    assert (result.failure, result.cost.calls, script.keys) == (FailureKind.TIMEOUT, 0, [])


async def test_cancelling_a_call_leaves_no_probe_behind(scene: Scene) -> None:
    calling = scene.calling([Script(NEVER).write()])
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:

            async def call() -> None:
                await calling.perform(scene.request("write"), idempotency_key="k", call_before=0)

            jobs.start_soon(call)
            await scene.clock.until_asleep()
            jobs.cancel_scope.cancel()
    assert calling.admission.tools.of("write").statistics(0).state is CircuitState.CLOSED


@pytest.mark.promise("GUARD-1")
async def test_a_dead_tool_is_called_no_more_often_than_its_circuit_allows(scene: Scene) -> None:
    script = Script(*[ConnectionError()] * 1000)
    calling = scene.calling([script.read(workers=1)], QUICK + "[breaker]\nfailures = 5\nopen_seconds = 30\n")
    with anyio.fail_after(5):
        async with scene.running(calling):
            for _ in range(1000):
                result = await calling.perform(scene.request("read"), idempotency_key="", call_before=0)
                assert result.failure is FailureKind.UNAVAILABLE
            assert len(script.keys) == 5
            scene.clock.forward(30)
            script.acts = [42]
            assert unpack((await calling.perform(scene.request("read"), idempotency_key="", call_before=0)).value, int)
    assert calling.admission.tools.of("read").statistics(scene.clock.now).state is CircuitState.CLOSED


@pytest.mark.promise("GUARD-4")
async def test_a_tool_has_no_more_calls_at_a_time_than_it_has_workers(scene: Scene) -> None:
    script = Script(*[NEVER] * 5)
    calling = scene.calling([script.read(workers=2)])
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:

            async def call() -> None:
                await calling.perform(scene.request("read"), idempotency_key="", call_before=0)

            for _ in range(5):
                jobs.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            assert len(script.keys) == 2
            jobs.cancel_scope.cancel()


async def look_up(
    scene: Scene,
    script: Script,
    *,
    intended_at: int = 0,
    call_before: int = 0,
    forward: float = 0.0,
    **options: Any,
) -> CallResult:
    made = script.write(**options)
    calling = scene.calling([made])
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:
            if forward:
                jobs.start_soon(pass_time, scene, forward)
            request, key = scene.request("write"), "k1"
            result = await calling.look_up(
                request, idempotency_key=key, intended_at=intended_at, call_before=call_before
            )
    return result


@pytest.mark.promise("GATE-7")
async def test_a_lookup_that_finds_the_write_gives_its_value(scene: Scene) -> None:
    script = Script(found=42)
    result = await look_up(scene, script, lookup=True)
    assert (unpack(result.value, int), script.keys) == (42, [])


async def test_a_lookup_that_finds_nothing_says_that_it_did_not_happen(scene: Scene) -> None:
    result = await look_up(scene, Script(found=None), lookup=True, timeout_seconds=20, forward=20)
    assert result.failure is FailureKind.UNAVAILABLE


async def test_a_no_counts_no_sooner_by_a_clock_that_was_set_forward(scene: Scene) -> None:
    script = Script(found=None)
    long_ago = scene.clock.wall_micros() - 3_600_000_000
    await look_up(scene, script, lookup=True, call_before=long_ago, timeout_seconds=20, settling_seconds=5, forward=25)
    assert script.looked == 2


async def test_a_no_counts_only_after_call_before_timeout_and_settling_time(scene: Scene) -> None:
    script = Script(found=None)
    before = scene.clock.wall_micros() + 10_000_000
    result = await look_up(
        scene, script, lookup=True, call_before=before, timeout_seconds=20, settling_seconds=5, forward=35
    )
    assert result.failure is FailureKind.UNAVAILABLE
    assert script.looked == 2


async def test_a_lookup_that_cannot_say_leaves_it_unknown(scene: Scene) -> None:
    assert (await look_up(scene, Script(found=ConnectionError()), lookup=True)).failure is FailureKind.UNKNOWN


async def test_without_lookup_and_key_nobody_can_say_and_nothing_is_called(scene: Scene) -> None:
    script = Script(42)
    assert (await look_up(scene, script)).failure is FailureKind.UNKNOWN
    assert script.keys == []


@pytest.mark.promise("GATE-7")
async def test_a_keyed_tool_is_called_again_with_the_same_key(scene: Scene) -> None:
    script = Script(42)
    result = await look_up(scene, script, keyed=True)
    assert (unpack(result.value, int), script.keys) == (42, ["k1"])


@pytest.mark.promise("GATE-7")
@pytest.mark.parametrize(("found", "ends"), [(42, None), (None, FailureKind.UNAVAILABLE)])
async def test_a_keyed_call_that_is_made_again_and_not_heard_either_is_looked_up_once_it_has_settled(
    scene: Scene, found: int | None, ends: FailureKind | None
) -> None:
    script = Script(ConnectionError("gone"), found=[None, found])
    result = await look_up(scene, script, keyed=True, lookup=True, timeout_seconds=20, settling_seconds=5, forward=25)
    assert (result.failure, script.keys, script.looked) == (ends, ["k1"], 2)


async def test_what_is_known_for_good_of_a_keyed_call_that_is_made_again_is_true_of_the_one_before(
    scene: Scene,
) -> None:
    script = Script(KnownFailure("no funds"), found=None)
    result = await look_up(scene, script, keyed=True, lookup=True)
    assert (result.failure, result.message, script.looked) == (FailureKind.ERROR, "no funds", 1)


@pytest.mark.promise("GATE-7")
async def test_what_may_pass_says_of_a_keyed_call_that_is_made_again_nothing_about_the_one_before(scene: Scene) -> None:
    first_seen_late, seen_by_nobody = (Script(KnownFailure("cannot connect", retryable=True)) for _ in range(2))
    first_seen_late.found = [None, 42]
    result = await look_up(scene, first_seen_late, keyed=True, lookup=True, timeout_seconds=20, forward=20)
    assert (unpack(result.value, int), first_seen_late.looked) == (42, 2)
    result = await look_up(scene, seen_by_nobody, keyed=True)
    assert (result.failure, result.message) == (FailureKind.UNKNOWN, "cannot connect")


async def test_what_a_keyed_call_that_is_made_again_says_that_it_cost_is_told_though_it_did_not_happen(
    scene: Scene,
) -> None:
    async def body(arguments: Amount, context: ToolContext) -> int:
        context.spend(700)
        raise ConnectionError

    script = Script(found=None)
    made = tool(
        tier=RiskTier.IRREVERSIBLE, name="write", verify=script.verify, lookup=script.lookup, keyed=True,
        micros_max=1_000, timeout_seconds=20,
    )(body)  # fmt: skip
    calling = scene.calling([made])
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:
            jobs.start_soon(pass_time, scene, 20)
            request = scene.request("write")
            result = await calling.look_up(request, idempotency_key="k1", intended_at=0, call_before=0)
    assert (result.failure, result.cost) == (FailureKind.UNAVAILABLE, Cost(calls=1, micros=700))


async def test_a_lookups_no_waits_for_as_long_as_the_intent_let_the_call_begin_whatever_a_policy_says_now(
    scene: Scene,
) -> None:
    script, now = Script(found=None), scene.clock.wall_micros()
    # An hour, where the policy of today would give a call less; and no longer, however far the clocks are apart.
    given: dict[str, Any] = {"lookup": True, "timeout_seconds": 20, "call_before": now + 7_200_000_000}
    result = await look_up(scene, script, intended_at=now + 3_600_000_000, forward=3_620, **given)
    assert (result.failure, script.looked) == (FailureKind.UNAVAILABLE, 2)


async def test_a_key_counts_only_within_its_window(scene: Scene) -> None:
    inside, outside, ageless = Script(42), Script(42), Script(42)
    now = scene.clock.wall_micros()
    # How long a write might have begun late has no part in it: what a policy says of that may be another by now.
    given: dict[str, Any] = {"keyed": True, "key_window_seconds": 60, "call_before": now + 3_600_000_000}
    assert (await look_up(scene, inside, intended_at=now - 59_000_000, **given)).failure is None
    later = await look_up(scene, outside, intended_at=now - 60_000_000, **given)
    assert later.failure is FailureKind.UNKNOWN
    assert (await look_up(scene, ageless, keyed=True, key_window_seconds=60)).failure is FailureKind.UNKNOWN
    assert (outside.keys, ageless.keys) == ([], [])


@pytest.mark.promise("GATE-7")
async def test_a_key_whose_window_ends_while_the_call_waits_for_its_place_is_not_used_again(scene: Scene) -> None:
    script = Script(NEVER, 42)
    calling = scene.calling([script.write(keyed=True, key_window_seconds=60, timeout_seconds=100, workers=1)])
    results: list[CallResult] = []

    async def other() -> None:
        await calling.perform(scene.request("write"), idempotency_key="other", call_before=0)

    async def again() -> None:
        now = scene.clock.wall_micros()
        request = scene.request("write")
        results.append(await calling.look_up(request, idempotency_key="k1", intended_at=now, call_before=now))

    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:
            jobs.start_soon(other)
            await scene.clock.until_asleep()
            jobs.start_soon(again)
            await anyio.wait_all_tasks_blocked()
            scene.clock.forward(100)
    assert script.keys == ["other"]
    assert [result.failure for result in results] == [FailureKind.UNKNOWN]
