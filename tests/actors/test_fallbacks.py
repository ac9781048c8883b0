"""Who stands in while a circuit is open: named by the policy, never with more rights, and told in the log."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Work, skill, tool
from casework.actors.errors import CrewInvalid
from casework.actors.policy import Breaking, Limits, Policy, Retries, RetryTable
from casework.actors.testing import CaseBench, FakeTool
from casework.actors.testing.tools import Fails
from casework.actors.tools import Tool, ToolContext
from casework.protocols.codec import inputs_hash
from casework.protocols.records import Call, Decision
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed, TaskFailed

ONE = Breaking(failures=1, open_seconds=30.0)
ONCE = RetryTable(read_only=Retries(attempts=1))


class Asked(Struct, frozen=True):
    number: int


class Other(Struct, frozen=True):
    text: str


async def body(arguments: Asked, context: ToolContext) -> int:
    raise AssertionError("a fake stands in its place")


async def other_body(arguments: Other, context: ToolContext) -> int:
    raise AssertionError("a fake stands in its place")


async def stamped(arguments: Asked, value: str, context: ToolContext) -> bool:
    raise AssertionError("a fake stands in its place")


@tool(tier=RiskTier.IRREVERSIBLE, verify=stamped, keyed=True)
async def stamp(arguments: Asked, context: ToolContext) -> str:
    raise AssertionError("a fake stands in its place")


def reader(name: str, *, micros_max: int = 0, model: str = "") -> Tool:
    return tool(tier=RiskTier.READ_ONLY, name=name, micros_max=micros_max, model=model)(body)


@skill
async def answers(inputs: Asked, work: Work) -> int:
    return inputs.number


@skill
async def breaks(inputs: Asked, work: Work) -> int:
    raise RuntimeError("a bug")


async def reads(case: Case, inputs: Asked) -> list[int]:
    """Read often enough to open the circuit, and once more."""
    got: list[int] = []
    for _ in range(2):
        try:
            got.append(await case.call("rates.live", inputs, returns=int))
        except CallFailed:
            got.append(-1)
    return got


async def delegates(case: Case, inputs: Asked) -> list[int]:
    got: list[int] = []
    for _ in range(2):
        try:
            given = await case.delegate(
                "work", inputs, returns=int, goal="it", attempts=1, on_stop=OnStop.FAIL
            )  # fmt: skip
            got.append(given.value)
        except TaskFailed:
            got.append(-1)
    return got


def crew(*agents: Agent, tools: tuple[Tool, ...] = (), **rules: object) -> Crew:
    names = tuple(each.name for each in tools)
    flows = [Flow.of(each, inputs=Asked, tools=names) for each in (reads, delegates)]
    allowed = Limits(tools=names, tier_max=RiskTier.READ_ONLY)
    policy = Policy(
        name="p",
        flows={flow.name: allowed for flow in flows},
        breaker=ONE,
        retry=ONCE,
        **rules,  # type: ignore[arg-type]  # fields of a policy
    )
    return Crew("c", flows=flows, agents=agents, tools=tools, policy=policy)


def decisions(bench: CaseBench) -> list[tuple[str, str]]:
    return [(each.rule, each.chosen) for each in bench.log("c1").entries if isinstance(each, Decision)]


LIVE = (reader("rates.live"), reader("rates.kept"))


async def test_another_tool_is_read_while_the_circuit_of_the_first_is_open_and_the_log_says_so() -> None:
    fakes = {"rates.live": FakeTool(plan=[Fails("down", retryable=True)]), "rates.kept": FakeTool(7)}
    with anyio.fail_after(5):
        async with CaseBench(crew(tools=LIVE, fallbacks={"tool:rates.live": "rates.kept"}), tools=fakes) as bench:
            await bench.open("reads", "c1", Asked(1))
            assert bench.value("c1", list[int]) == [-1, 7]
            assert decisions(bench) == [("fallback", "rates.kept")]
            (choice,) = [each for each in bench.log("c1").entries if isinstance(each, Decision)]
            (call,) = [each for each in bench.log("c1").entries if isinstance(each, Call) and each.failure is None]
            assert choice.inputs_hash == inputs_hash(call.arguments)
            await bench.crash()
            assert bench.value("c1", list[int]) == [-1, 7]


@pytest.mark.parametrize("fallbacks", [{}, {"tool:rates.live": "rates.kept"}])
async def test_a_call_that_no_circuit_lets_through_is_a_decision_like_any_other(fallbacks: dict[str, str]) -> None:
    dead = [Fails("down", retryable=True)] * 9
    fakes = {"rates.live": FakeTool(plan=dead), "rates.kept": FakeTool(plan=dead)}
    with anyio.fail_after(5):
        async with CaseBench(crew(tools=LIVE, fallbacks=fallbacks), tools=fakes) as bench:
            await bench.open("reads", "c1", Asked(1))
            await bench.open("reads", "c2", Asked(1))
            log = bench.log("c2")
            asked = ("rates.live", *fallbacks.values())
            choice = next(each for each in log.entries if isinstance(each, Decision))
            call = next(each for each in log.entries if isinstance(each, Call))
            assert (choice.subject, choice.options) == ("call rates.live", (*asked, "none"))
            assert (choice.chosen, choice.rule, choice.confidence) == ("none", "circuit.open", 1.0)
            assert choice.why == f"not called: the circuit of {asked[-1]} is open"
            assert choice.inputs_hash == inputs_hash(call.arguments)
            assert choice.policy_hash == bench.runtime.staff.policy_hash
            steps = [step for step in log.steps if step.startswith("decision")]
            assert steps[0].endswith(":(circuit.open)")


async def test_a_write_that_an_open_circuit_refuses_has_a_decision_and_did_not_happen() -> None:
    async def stamps(case: Case, inputs: Asked) -> list[str]:
        found = list[str]()
        for _ in range(2):
            try:
                found.append(await case.call("stamp", inputs, returns=str))
            except CallFailed as failed:
                found.append(failed.kind)
        return found

    limits = {"stamps": Limits(tools=("stamp",), tier_max=RiskTier.IRREVERSIBLE)}
    policy = Policy(name="test", flows=limits, breaker=ONE, retry=ONCE)
    stamping = Crew("stamps", flows=[Flow.of(stamps, inputs=Asked, tools=("stamp",))], tools=(stamp,), policy=policy)
    fake = FakeTool("stamped", plan=[Fails("down", retryable=True)])
    with anyio.fail_after(5):
        async with CaseBench(stamping, tools={"stamp": fake}) as bench:
            await bench.open("stamps", "c1", Asked(1))
            assert bench.value("c1", list[str]) == ["unavailable", "unavailable"]
            assert len(bench.calls("stamp")) == 1
            bench.log("c1").assert_decided("call stamp", "none", rule="circuit.open")


async def test_a_model_that_fails_closes_the_way_to_every_tool_that_asks_it() -> None:
    tools = (reader("rates.live", model="big"), reader("rates.kept", model="big"))
    fakes = {"rates.live": FakeTool(plan=[Fails("down", retryable=True)]), "rates.kept": FakeTool(7)}
    with anyio.fail_after(5):
        async with CaseBench(crew(tools=tools, fallbacks={"tool:rates.live": "rates.kept"}), tools=fakes) as bench:
            await bench.open("reads", "c1", Asked(1))
            assert bench.value("c1", list[int]) == [-1, -1]
            states = {(each.kind, each.name): each.state for each in bench.runtime.staff.circuits()}
            assert states[("model", "big")] == "open"


async def test_another_agent_does_the_work_while_the_circuit_of_the_first_is_open_and_the_log_says_so() -> None:
    first, second = Agent("clerk", {"work": breaks}), Agent("temp", {"work": answers})
    with anyio.fail_after(5):
        async with CaseBench(crew(first, second, fallbacks={"agent:clerk": "temp"})) as bench:
            await bench.open("delegates", "c1", Asked(1))
            assert bench.value("c1", list[int]) == [-1, 1]
            assert ("route.fallback", "agent-temp-0") in decisions(bench)


#: what the policy names, and what is wrong with it
WRONG = [
    ({"tool:rates.live": "nothing"}, "names 'nothing', which the crew does not have"),
    ({"tool:rates.live": "rates.dear"}, "may cost more"),
    ({"tool:rates.live": "texts"}, "takes or gives something else"),
    ({"tool:rates.live": "rates.kept", "tool:rates.kept": "rates.live"}, "leads back to itself"),
    ({"agent:clerk": "stranger"}, "does not handle 'work'"),
    ({"agent:clerk": "boss"}, "a fallback may not raise it"),
    ({"agent:clerk": "snoop"}, "may use 'texts' and the other one not"),
]


@pytest.mark.parametrize(("fallbacks", "why"), WRONG)
def test_what_may_not_stand_in_is_refused_when_the_crew_is_made(fallbacks: dict[str, str], why: str) -> None:
    texts = tool(tier=RiskTier.READ_ONLY, name="texts")(other_body)
    high = Limits(tier_max=RiskTier.REVERSIBLE)
    agents = [
        Agent("clerk", {"work": answers}),
        Agent("stranger", {"other": answers}),
        Agent("boss", {"work": answers}, tier_max=RiskTier.REVERSIBLE),
        Agent("snoop", {"work": answers}, tools=("texts",)),
    ]
    used = [each for each in agents if each.name == "clerk" or each.name in fallbacks.values()]
    limits = {each.name: {"boss": high, "snoop": Limits(tools=("texts",))}.get(each.name, Limits()) for each in used}
    with pytest.raises(CrewInvalid, match=why):
        crew(*used, tools=(*LIVE, reader("rates.dear", micros_max=5), texts), fallbacks=fallbacks, agents=limits)
