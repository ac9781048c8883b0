"""A read by a tool that awaits nothing is made at once, in the turn of its case, under all the rules of every other."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct
from msgspec.structs import replace

from casework.actors.breaker import CircuitState
from casework.actors.crew import Crew
from casework.actors.policy import parse_policy
from casework.actors.retry import OPTIONS
from casework.actors.tools import Tool, ToolContext, awaits_nothing, tool
from casework.protocols.codec import encode, pack, unpack
from casework.protocols.records import Cancel
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.errors import CallFailed, CaseCancelled
from casework.runtime.flow.calls import CALLS_AT_ONCE
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.opening import About, first_entry, opening
from casework.runtime.jobs import CHAIN_MAX
from casework.runtime.runtime import Runtime
from casework.runtime.staff import CallResult
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from casework.runtime.switches import Switch
from casework.runtime.telemetry import Telemetry
from tests.support.staff_scene import Amount, Scene

SPEAKER: ContextVar[str] = ContextVar("speaker", default="nobody")
PAUSED = Switch(target="tool:read", paused=True, by="ann", reason="broken", at=1)
THREE_TRIES = "[retry.read_only]\nattempts = 3\nbackoff_seconds = 0\n"


class Nothing(Struct, frozen=True):
    pass


async def wait(arguments: Nothing) -> int:
    await anyio.lowlevel.checkpoint()
    return 1


async def iterate(arguments: Nothing) -> int:
    async for _ in cast("Any", arguments):
        pass
    return 1


async def enter(arguments: Nothing) -> int:
    async with asynccontextmanager(cast("Any", wait))(arguments):
        return 1


async def collect(arguments: Nothing) -> list[int]:
    return [each async for each in cast("Any", arguments)]


async def make(arguments: Nothing) -> int:
    """Wait for nothing, although what it makes would."""

    async def inner() -> None:
        await anyio.lowlevel.checkpoint()

    inner().close()
    return 1


class Methods:
    async def quick(self, arguments: Nothing) -> int:
        return 1

    async def slow(self, arguments: Nothing) -> int:
        return await wait(arguments)


@pytest.mark.parametrize("function", [make, Methods().quick])
def test_a_coroutine_function_without_any_await_of_its_own_awaits_nothing(function: Callable[..., object]) -> None:
    assert awaits_nothing(function)


@pytest.mark.parametrize(
    "function", [wait, iterate, enter, collect, Methods().slow, partial(make, Nothing()), lambda: make(Nothing())]
)
def test_whatever_may_await_something_is_not_said_to_await_nothing(function: Callable[..., object]) -> None:
    assert not awaits_nothing(function)


class Quick:
    """A tool that gives or raises what it is told, call by call, and awaits nothing."""

    def __init__(self, *acts: object) -> None:
        self.acts = list(acts)
        self.calls = 0

    async def body(self, arguments: Amount, context: ToolContext) -> int:
        self.calls += 1
        act = self.acts.pop(0)
        if isinstance(act, BaseException):
            raise act
        return cast("int", act)

    def tool(self, *, micros_max: int = 0) -> Tool:
        return tool(tier=RiskTier.READ_ONLY, name="read", micros_max=micros_max)(self.body)


Begun = CallResult | Callable[[], Awaitable[CallResult]] | None


async def test_a_read_that_awaits_nothing_is_over_when_it_has_begun(scene: Scene) -> None:
    quick = Quick(42, 43)
    calling = scene.calling([quick.tool()])
    for value in (42, 43):
        result = calling.begin(scene.request("read"), Amount(amount=7))
        assert isinstance(result, CallResult)
        assert (unpack(result.value, int), result.tries, result.cost.calls) == (value, 1, 1)
    assert calling.admission.tools.of("read").statistics(scene.clock.now).calls == 2


@pytest.mark.promise("RETRY-1")
async def test_a_read_that_failed_at_once_is_tried_as_often_as_any_other(scene: Scene) -> None:
    cured, spent = Quick(ConnectionError(), ConnectionError(), 42), Quick(*[ConnectionError()] * 9)
    for quick, failure in ((cured, None), (spent, FailureKind.UNAVAILABLE)):
        calling = scene.calling([quick.tool()], THREE_TRIES)
        begun = calling.begin(scene.request("read"), Amount(amount=7))
        assert callable(begun)
        assert quick.calls == 1
        with anyio.fail_after(5):
            async with scene.running(calling):
                result = await begun()
        assert (result.failure, result.tries, quick.calls) == (failure, 3, 3)
        assert [each.chosen == OPTIONS[0] for each in result.decisions][:2] == [True, True]


async def test_a_read_that_fails_for_good_is_not_tried_again(scene: Scene) -> None:
    calling = scene.calling([Quick(ValueError("no")).tool()], THREE_TRIES)
    result = calling.begin(scene.request("read"), Amount(amount=7))
    assert isinstance(result, CallResult)
    assert (result.failure, result.tries) == (FailureKind.ERROR, 1)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, None], ids=["exit", "closed", "cancelled"])
async def test_a_read_that_raises_an_end_at_once_ends_as_it_does_when_it_is_waited_for(
    scene: Scene, kind: type[BaseException] | None
) -> None:
    ends: list[object] = []
    for begin in (True, False):
        cancelled = anyio.get_cancelled_exc_class()
        # A cancellation of trio cannot be made by a call of it.
        raised = cancelled.__new__(cancelled) if kind is None else kind()
        calling = scene.calling([Quick(raised).tool()])
        request = scene.request("read")
        try:
            async with scene.running(calling):
                if begin:
                    ends.append(cast("CallResult", calling.begin(request, Amount(amount=7))).failure)
                else:
                    ends.append((await calling.perform(request, idempotency_key="", call_before=0)).failure)
        except BaseException as error:  # noqa: BLE001 - what closes a coroutine goes on
            ends.append(type(error))
    assert ends[0] == ends[1]


@pytest.mark.promise("GUARD-1")
@pytest.mark.promise("GUARD-6")
async def test_nothing_is_called_at_once_that_is_open_or_paused(scene: Scene) -> None:
    quick = Quick(ConnectionError(), 1, 2)
    calling = scene.calling([quick.tool()], "[retry.read_only]\nattempts = 1\n[breaker]\nfailures = 1\n")
    admission, request = calling.admission, scene.request("read")

    def begun() -> Begun:
        return calling.begin(request, Amount(amount=7))

    assert isinstance(begun(), CallResult)
    assert admission.tools.of("read").statistics(scene.clock.now).state is CircuitState.OPEN
    assert begun() is None
    admission.tools.of("read").succeeded(scene.clock.now)
    admission.switches.turn(PAUSED)
    assert begun() is None
    admission.switches.turn(replace(PAUSED, paused=False))
    assert quick.calls == 1
    assert isinstance(begun(), CallResult)


async def test_nothing_is_called_at_once_that_is_paced_costs_something_or_may_wait(scene: Scene) -> None:
    async def waits(arguments: Amount, context: ToolContext) -> int:
        await anyio.lowlevel.checkpoint()
        return 1

    slow = tool(tier=RiskTier.READ_ONLY, name="read")(waits)
    paced = scene.calling([Quick(1).tool()], '[rates.limits]\n"tool:read" = { per_second = 1 }\n')
    for calling in (paced, scene.calling([Quick(1).tool(micros_max=5)]), scene.calling([slow])):
        assert calling.begin(scene.request("read"), Amount(amount=7)) is None


def crew_of(*flows: Callable[..., Any], tools: tuple[Tool, ...]) -> Crew:
    text = 'name = "prompt"\n' + "".join(f'[flows.{each.__name__}]\ntools = ["read"]\n' for each in flows)
    made = [Flow.of(each, inputs=Nothing, tools=("read",)) for each in flows]
    return Crew("prompt", flows=made, tools=tools, policy=parse_policy(text))


async def test_many_calls_at_once_let_others_have_their_turn_in_between() -> None:
    turns = 0
    seen: list[int] = []

    @tool(tier=RiskTier.READ_ONLY)
    async def read(arguments: Nothing, context: ToolContext) -> int:
        seen.append(turns)
        return turns

    async def reads(case: Case, inputs: Nothing) -> None:
        for _ in range(1_000):
            await case.call("read", Nothing(), returns=int)

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(20):
        crew = crew_of(reads, tools=(read,))
        async with anyio.create_task_group() as jobs, Runtime(crew, MemoryStore(), telemetry=Telemetry.off()) as made:
            jobs.start_soon(turn)
            await made.open("reads", "c1", Nothing())
            await made.wait("c1")
            jobs.cancel_scope.cancel()
    assert len(seen) == 1_000
    # On trio the order of jobs is drawn, so that one has its turn first in one round and last in the next.
    assert max(Counter(seen).values()) <= 2 * (2 * CALLS_AT_ONCE + CHAIN_MAX + 1)


@pytest.mark.promise("FLOW-31")
async def test_a_cancel_that_came_before_its_case_began_is_heard_before_any_call_is_made_at_once() -> None:
    heard: list[str] = []

    @tool(tier=RiskTier.READ_ONLY)
    async def read(arguments: Nothing, context: ToolContext) -> int:
        return 1

    async def reads(case: Case, inputs: Nothing) -> None:
        try:
            for _ in range(5):
                await case.call("read", Nothing(), returns=int)
                heard.append("value")
        except CaseCancelled:
            heard.append("cancel")
            raise

    store, made = MemoryStore(), crew_of(reads, tools=(read,))
    about = About("test", "", "")
    first = first_entry(made.flows["reads"], pack(Nothing()), about, crew=made.name, policy_hash="", trace="")
    with anyio.fail_after(5):
        await store.open_case(opening(CaseKey("default", "c1"), first, 1))
        await store.deliver("default", "c1", "i1", encode(Cancel(message_id="i1", by="ann", reason="")))
        async with Runtime(made, store, telemetry=Telemetry.off()) as runtime:
            await runtime.wait("c1")
    assert heard == ["cancel"]


@pytest.mark.promise("FLOW-2")
async def test_what_a_call_at_once_leaves_in_context_variables_is_seen_by_nobody() -> None:
    seen: list[str] = []

    @tool(tier=RiskTier.READ_ONLY)
    async def read(arguments: Nothing, context: ToolContext) -> int:
        seen.append(SPEAKER.get())
        SPEAKER.set("tool")
        return 1

    async def reads(case: Case, inputs: Nothing) -> None:
        for _ in range(2):
            await case.call("read", Nothing(), returns=int)
            seen.append(SPEAKER.get())

    with anyio.fail_after(5):
        async with Runtime(crew_of(reads, tools=(read,)), MemoryStore(), telemetry=Telemetry.off()) as made:
            await made.open("reads", "c1", Nothing())
            await made.wait("c1")
    assert seen == ["nobody"] * 4


async def test_a_flow_hears_that_a_call_at_once_failed_and_goes_on() -> None:
    @tool(tier=RiskTier.READ_ONLY)
    async def read(arguments: Nothing, context: ToolContext) -> int:
        raise ValueError("no such thing")

    kinds: list[FailureKind] = []

    async def reads(case: Case, inputs: Nothing) -> None:
        for _ in range(2):
            try:
                await case.call("read", Nothing(), returns=int)
            except CallFailed as error:
                kinds.append(error.kind)

    with anyio.fail_after(5):
        async with Runtime(crew_of(reads, tools=(read,)), MemoryStore(), telemetry=Telemetry.off()) as made:
            await made.open("reads", "c1", Nothing())
            await made.wait("c1")
    assert kinds == [FailureKind.ERROR] * 2
