"""A fork goes the way of its case in a sandbox, and whatever it does otherwise does nothing to the world."""

import hashlib
from pathlib import Path
from typing import Final

import anyio
import pytest
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.errors import KnownFailure
from casework.actors.policy import Limits, Policy, policy_hash
from casework.actors.sandbox import REFUSED, rehearse, sandboxed
from casework.actors.tools import Tool, ToolContext, tool
from casework.protocols.codec import unpack
from casework.protocols.records import Call, Closed, Done, ReviewAction, Undone
from casework.protocols.wire import RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.reading import Reader
from casework.runtime.fold import entry_of
from casework.runtime.fork import forked
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.rules import OPEN
from casework.runtime.telemetry import Telemetry
from examples.refunds.crew import crew as refunds
from examples.refunds.crew import intake

SAMPLE: Final = Path(__file__).parents[2] / "examples/refunds/sample"


class Sum(Struct, frozen=True):
    """How much."""

    cents: int


class Till:
    """What the tools do and see: what was paid, and what the rate is."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.rate = 1
        self.asked: list[int] = []

    def tools(self) -> list[Tool]:
        async def verify(arguments: Sum, value: int, context: ToolContext) -> bool:
            return True

        @tool(tier=RiskTier.IRREVERSIBLE, verify=verify)
        async def pay(arguments: Sum, context: ToolContext) -> int:
            self.paid.append(arguments.cents)
            return len(self.paid)

        @tool(tier=RiskTier.READ_ONLY)
        async def rate(arguments: Sum, context: ToolContext) -> int:
            self.asked.append(arguments.cents)
            return self.rate

        @tool(tier=RiskTier.READ_ONLY, micros_max=100)
        async def dear(arguments: Sum, context: ToolContext) -> int:
            self.asked.append(arguments.cents)
            context.spend(1)
            return self.rate

        return [pay, rate, dear]


@pytest.fixture
def till() -> Till:
    return Till()


async def pays(case: Case, inputs: Sum) -> list[int]:
    rate = await case.call("rate", Sum(inputs.cents), returns=int)
    again = await case.call("rate", Sum(inputs.cents), returns=int)
    return [rate, again, await case.call("pay", Sum(inputs.cents * rate), returns=int)]


async def opens(case: Case, inputs: Sum) -> list[int]:
    await case.open("pays", "below", inputs)
    reported = await case.next_report()
    return unpack(reported.value, list[int])


async def pays_more(case: Case, inputs: Sum) -> list[object]:
    rate = await case.call("rate", Sum(inputs.cents), returns=int)
    other = await case.call("rate", Sum(inputs.cents + 1), returns=int)
    try:
        return [rate, other, await case.call("pay", Sum(inputs.cents + 1), returns=int)]
    except CallFailed as error:
        return [rate, other, str(error)]


def crew_of(till: Till, *functions: object) -> Crew:
    """Make a crew whose flow `pays` has these versions, numbered from 1."""
    flows: list[Flow] = []
    for number, function in enumerate(functions, start=1):
        made = Flow.of(function, inputs=Sum, version=str(number), tools=("pay", "rate"))  # type: ignore[arg-type]
        flows.append(Flow("pays", made.version, made.function, Sum, made.source_hash, made.tools))
    limits = Limits(tools=("pay", "rate", "dear"), tier_max=RiskTier.IRREVERSIBLE)
    policy = Policy(name="tills", flows={"pays": limits})
    return Crew("tills", flows=[*flows, Flow.of(opens, inputs=Sum)], policy=policy, tools=till.tools())


async def ended(crew: Crew, cents: int, flow: str = "pays") -> MemoryStore:
    """Run a case, and those below it, to their ends."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with Runtime(crew, store, telemetry=Telemetry.off()) as runtime:
            await runtime.open(flow, "c1", Sum(cents))
            await runtime.wait_idle()
    return store


async def transfer_of(store: MemoryStore, case_id: str = "c1") -> Transfer:
    whole = await store.transfer(CaseKey("default", case_id))
    assert whole is not None
    return whole


async def worked(crew: Crew, cents: int) -> Transfer:
    """Run a case to its end."""
    return await transfer_of(await ended(crew, cents))


def value_of(fork: Transfer) -> object:
    last = entry_of(fork.records[-1])
    assert isinstance(last, Closed), last
    return bytes(last.value)


async def test_a_fork_at_any_record_ends_as_its_case_did_and_asks_the_world_nothing(till: Till) -> None:
    crew = crew_of(till, pays)
    whole = await worked(crew, 5)
    asked, till.rate = list(till.asked), 7
    for at in range(len(whole.records) - 1):
        fork = forked(Reader(crew.flows, World(), policy_hash(crew.policy)), whole, at)
        with anyio.fail_after(5):
            after = await rehearse(crew, fork, whole.records, at)
        assert value_of(after) == value_of(whole), at
    assert (till.paid, till.asked) == ([5], asked)


@pytest.mark.promise("FLOW-44")
async def test_what_the_log_does_not_have_is_read_if_it_is_free_and_else_refused(till: Till) -> None:
    crew = crew_of(till, pays, pays_more)
    whole = await worked(crew_of(till, pays), 5)
    till.rate, asked = 7, len(till.asked)
    fork = forked(Reader(crew.flows, World(), policy_hash(crew.policy)), whole, 0, to="2")
    with anyio.fail_after(5):
        after = await rehearse(crew, fork, whole.records, 0)
    ends = [each for record in after.records if isinstance(each := entry_of(record), Call | Done | Undone)]
    assert [each.tool for each in ends] == ["rate", "rate", "pay"]
    assert [each.message for each in ends if isinstance(each, Undone)] == [REFUSED]
    assert (till.paid, till.asked[asked:]) == ([5], [6])


async def tries(case: Case, inputs: Sum) -> str:
    try:
        return str(await case.call("faulty", inputs, returns=int))
    except CallFailed as error:
        return str(error)


async def tells(case: Case, inputs: Sum) -> str:
    await case.call("post", inputs, returns=type(None))
    return "told"


async def posts_twice(case: Case, inputs: Sum) -> str:
    await case.note("another way")
    async with case.saga():
        return await tells(case, inputs)


async def asks_more_of_the_first(case: Case, inputs: Sum) -> list[str]:
    async def ask(number: int) -> str:
        return (await case.review(f"number {number}", {"n": number}, rule="test")).by

    async def first() -> list[str]:
        await ask(0)
        return await case.gather(*(ask(number) for number in range(10, 20)))

    found = await case.gather(first(), *(ask(number) for number in range(1, 9)))
    return [str(each) for each in found]


def faulty_crew(*flows: Flow, tier: RiskTier = RiskTier.IRREVERSIBLE, error: Exception | None = None) -> Crew:
    """Make a crew of tools of which one fails, if it is given an error, and one returns nothing."""

    async def verify(arguments: Sum, value: object, context: ToolContext) -> bool:
        return True

    @tool(tier=tier, verify=verify)
    async def faulty(arguments: Sum, context: ToolContext) -> int:
        if error is not None:
            raise error
        return 1

    @tool(tier=RiskTier.IRREVERSIBLE, verify=verify)
    async def post(arguments: Sum, context: ToolContext) -> None:
        return None

    limits = Limits(tools=("faulty", "post"), tier_max=RiskTier.IRREVERSIBLE)
    policy = Policy(name="faulty", flows={flow.name: limits for flow in flows})
    return Crew("faulty", flows=flows, policy=policy, tools=[faulty, post])


async def decided_case(crew: Crew, flow: str, action: ReviewAction = ReviewAction.APPROVE) -> Transfer:
    """Run a case to its end, where a person decides whatever is asked."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with Runtime(crew, store, telemetry=Telemetry.off()) as runtime:
            await runtime.open(flow, "c1", Sum(1))
            await runtime.wait_idle()
            while asked := await store.reviews(state=OPEN):
                for review in asked:
                    await runtime.decide(review.id, action, by="ann")
                await runtime.wait_idle()
    return await transfer_of(store)


async def forked_everywhere(crew: Crew, whole: Transfer) -> list[Transfer]:
    """Fork a case at each record but its last one, and let each fork go on."""
    reader, forks = Reader(crew.flows, World(), policy_hash(crew.policy)), list[Transfer]()
    for at in range(len(whole.records) - 1):
        with anyio.fail_after(5):
            forks.append(await rehearse(crew, forked(reader, whole, at), whole.records, at))
    return forks


@pytest.mark.parametrize("tier", [RiskTier.READ_ONLY, RiskTier.IRREVERSIBLE])
@pytest.mark.parametrize("error", [KnownFailure("no account"), KnownFailure("closed", retryable=True)])
async def test_a_call_that_failed_fails_in_the_same_way_wherever_its_case_is_forked(
    tier: RiskTier, error: Exception
) -> None:
    crew = faulty_crew(Flow.of(tries, inputs=Sum, tools=("faulty",)), tier=tier, error=error)
    whole = await decided_case(crew, "tries")
    assert {value_of(after) for after in await forked_everywhere(crew, whole)} == {value_of(whole)}


@pytest.mark.parametrize("action", [ReviewAction.APPROVE, ReviewAction.REJECT])
async def test_of_a_write_that_nobody_saw_end_the_person_who_said_so_is_asked_again(action: ReviewAction) -> None:
    crew = faulty_crew(Flow.of(tries, inputs=Sum, tools=("faulty",)), error=ValueError("no answer"))
    whole = await decided_case(crew, "tries", action)
    for after in await forked_everywhere(crew, whole):
        assert value_of(after) == value_of(whole)
        assert [entry_of(each) for each in after.records if each.kind == "decided"] == [entry_of(whole.records[3])]


async def test_of_a_write_whose_end_the_log_does_not_have_a_person_is_asked() -> None:
    crew = faulty_crew(Flow.of(tries, inputs=Sum, tools=("faulty",)))
    whole = await decided_case(crew, "tries")
    reader = Reader(crew.flows, World(), policy_hash(crew.policy))
    killed = forked(reader, whole, [each.kind for each in whole.records].index("intent"))
    for at in range(len(killed.records)):
        fork = forked(reader, killed, at)
        with anyio.fail_after(5):
            after = await rehearse(crew, fork, killed.records, at)
        assert [wait.reason for wait in after.row.waits] == ["effect.unknown"], at


async def test_a_write_that_returns_nothing_is_found_by_a_fork_that_begins_in_the_midst_of_it() -> None:
    crew = faulty_crew(Flow.of(tells, inputs=Sum, tools=("post",)))
    whole = await decided_case(crew, "tells")
    assert {value_of(after) for after in await forked_everywhere(crew, whole)} == {value_of(whole)}


async def test_a_write_that_another_version_makes_at_another_step_comes_to_what_it_came_to() -> None:
    was, now = (Flow.of(each, inputs=Sum, tools=("post",)) for each in (tells, posts_twice))
    crew = faulty_crew(was, Flow("tells", "2", now.function, Sum, now.source_hash, now.tools))
    whole = await decided_case(faulty_crew(was), "tells")
    fork = forked(Reader(crew.flows, World(), policy_hash(crew.policy)), whole, 0, to="2")
    with anyio.fail_after(5):
        after = await rehearse(crew, fork, whole.records, 0)
    assert value_of(after) == value_of(whole)


async def test_what_one_decision_lets_be_asked_many_times_is_decided_as_well() -> None:
    crew = faulty_crew(Flow.of(asks_more_of_the_first, inputs=Sum))
    whole = await decided_case(crew, "asks_more_of_the_first")
    assert {value_of(after) for after in await forked_everywhere(crew, whole)} == {value_of(whole)}


async def test_a_case_that_a_fork_opens_again_goes_its_own_way_again(till: Till) -> None:
    crew = crew_of(till, pays)
    store = await ended(crew, 5, "opens")
    whole, below = await transfer_of(store), await transfer_of(store, "below")
    asked = list(till.asked)
    for at in range(len(whole.records) - 1):
        fork = forked(Reader(crew.flows, World(), policy_hash(crew.policy)), whole, at)
        with anyio.fail_after(5):
            after = await rehearse(crew, fork, whole.records, at, below=[below.records])
        assert value_of(after) == value_of(whole), at
    assert (till.paid, till.asked) == ([5], asked)


def test_a_write_that_may_give_nothing_is_looked_up_by_nobody_in_a_sandbox_either() -> None:
    async def verify(arguments: Sum, value: int | None, context: ToolContext) -> bool:
        return True

    @tool(tier=RiskTier.IRREVERSIBLE, verify=verify)
    async def pay(arguments: Sum, context: ToolContext) -> int | None:
        return None

    crew = Crew("shop", flows=[Flow.of(opens, inputs=Sum)], tools=[pay], policy=Policy(name="shop"))
    [alone] = sandboxed(crew, (), 0).tools
    assert not alone.looked_up


async def test_a_read_that_costs_money_is_not_made_and_nothing_is_set_aside_for_it(till: Till) -> None:
    [dear] = [each for each in sandboxed(crew_of(till, pays), (), 0).tools if each.name == "dear"]
    context = ToolContext("", World(), MemoryStore(), {}, {}, "default", "c1")
    with pytest.raises(KnownFailure, match="spends nothing"):
        await dear.body(Sum(1), context)
    assert (dear.micros_max, till.asked) == (0, [])


def content(folder: Path) -> dict[str, str]:
    """Give what a folder holds, by hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def settled(store: MemoryStore, settings: dict[str, str], case_id: str) -> None:
    with anyio.fail_after(30):
        async with Runtime(refunds, store, settings=settings, telemetry=Telemetry.off()) as runtime:
            for opening in intake(SAMPLE, settings).openings:
                if opening.case_id == case_id:
                    await runtime.open(opening.flow, opening.case_id, opening.inputs)
            await runtime.wait_idle()


@pytest.mark.promise("FLOW-44")
@pytest.mark.parametrize("case_id", ["r-101", "r-103", "r-111"], ids=["paid", "asks a person", "taken back"])
async def test_a_refund_forked_at_each_record_ends_as_it_did_and_leaves_the_shop_alone(
    case_id: str, tmp_path: Path
) -> None:
    store = MemoryStore()
    settings = {"input": str(SAMPLE), "out": str(tmp_path)}
    await settled(store, settings, case_id)
    whole, before = await transfer_of(store, case_id), content(tmp_path)
    reader = Reader(refunds.flows, World(), policy_hash(refunds.policy))
    for at in range(0, len(whole.records) - 1, 3):
        with anyio.fail_after(30):
            after = await rehearse(refunds, forked(reader, whole, at), whole.records, at, settings=settings)
        ends = (after.row.status, after.row.result, [wait.kind for wait in after.row.waits])
        assert ends == (whole.row.status, whole.row.result, [wait.kind for wait in whole.row.waits]), at
    assert content(tmp_path) == before
