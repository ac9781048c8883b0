"""A fake does what its plan says behind the real gate, honours keys, and answers lookups with the truth."""

import anyio
import pytest

from casework.actors import CallRefused, KnownFailure, Skill, Work, skill
from casework.actors.errors import ToolUnknown
from casework.actors.testing import CaseBench, Fails, FakeTool, TimesOut, Unsure
from casework.protocols.records import Call, Intent, Undone
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, TaskFailed
from casework.runtime.store.base import WaitKind
from tests.support.refund_crew import NAMES, Customer, Refund, crew


@skill
async def use(inputs: Refund, work: Work) -> object:
    """Call the tool that the customer is named after."""
    try:
        return await work.call(inputs.customer, inputs, returns=object)
    except CallRefused as error:
        return f"{error.kind}: {error.message}"


@skill
async def ask(inputs: Refund, work: Work) -> object:
    try:
        return await work.call("limit", {"customer": inputs.customer}, returns=object)
    except CallRefused as error:
        return str(error.kind)


SKILLS: dict[str, Skill] = {"use": use, "ask": ask}


async def uses(case: Case, inputs: Refund) -> object:
    return await _gives(case, "use", inputs)


async def asks(case: Case, inputs: Refund) -> object:
    return await _gives(case, "ask", inputs)


async def _gives(case: Case, task: str, inputs: Refund) -> object:
    try:
        result = await case.delegate(
            task,
            inputs,
            returns=object,
            goal="try it",
            tools=NAMES,
            tier=RiskTier.IRREVERSIBLE,
            micros=1000,
            attempts=1,
            deadline_seconds=1000,
            on_stop=OnStop.FAIL,
        )
    except TaskFailed as error:
        return str(error)
    return result.value


def bench(**tools: FakeTool) -> CaseBench:
    named = {name.replace("_", "."): fake for name, fake in tools.items()}
    return CaseBench(crew(uses, asks, skills=SKILLS), tools=named)


async def test_a_fake_gives_its_result_and_its_calls_are_written_down_with_their_keys() -> None:
    with anyio.fail_after(5):
        async with bench(bank_pay=FakeTool("paid"), limit=FakeTool(7)) as made:
            await made.open("uses", "c1", Refund("bank.pay", 3))
            await made.open("asks", "c2", Refund("x", 3))
            assert (made.value("c1", object), made.value("c2", object)) == ("paid", 7)
            (paid,) = made.tool_calls("bank.pay")
            (asked,) = made.tool_calls("limit")
            (intent,) = [entry for entry in made.log("c1").entries if isinstance(entry, Intent)]
    assert (paid.arguments, paid.happened, paid.value) == (Refund("bank.pay", 3), True, "paid")
    assert paid.key == intent.key
    assert (paid.case_id, asked.arguments, asked.key) == ("c1", Customer("x"), "")


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_fake_computes_its_value_from_the_arguments(kind: str) -> None:
    async def later(arguments: Customer) -> int:
        return len(arguments.customer)

    does = later if kind == "async" else lambda arguments: len(arguments.customer)
    with anyio.fail_after(5):
        async with bench(limit=FakeTool(does=does)) as made:
            await made.open("asks", "c1", Refund("four", 3))
            assert made.value("c1", int) == 4


async def test_a_known_failure_did_not_happen_and_the_next_call_does() -> None:
    with anyio.fail_after(5):
        async with bench(bank_pay=FakeTool("paid", plan=[Fails("no cover")])) as made:
            await made.open("uses", "c1", Refund("bank.pay", 3))
            await made.open("uses", "c2", Refund("bank.pay", 3))
            assert made.value("c1", str) == "error: no cover (KnownFailure)" or made.value("c1", str).startswith(
                "error"
            )
            assert [entry.kind for entry in made.log("c1").entries if isinstance(entry, Undone)] == ["error"]
            assert made.value("c2", str) == "paid"
            assert [call.happened for call in made.tool_calls("bank.pay")] == [False, True]


async def test_a_failure_that_may_pass_is_tried_again_by_the_gate_when_time_passes() -> None:
    with anyio.fail_after(5):
        async with bench(limit=FakeTool(7, plan=[Fails("busy", retryable=True)])) as made:
            await made.open("asks", "c1", Refund("x", 3))
            assert len(made.calls("limit")) == 1
            await made.forward(seconds=1)
            assert made.value("c1", int) == 7
            (call,) = [entry for entry in made.log("c1").entries if isinstance(entry, Call)]
            assert call.tries == 2


async def test_a_computed_failure_is_the_tools_own() -> None:
    def refuse(arguments: Refund) -> object:
        raise KnownFailure("closed on Sundays")

    with anyio.fail_after(5):
        async with bench(bank_pay=FakeTool(does=refuse)) as made:
            await made.open("uses", "c1", Refund("bank.pay", 3))
            assert "error" in made.value("c1", str)
            assert not made.outside.effects()


@pytest.mark.parametrize("happened", [False, True], ids=["in vain", "done"])
async def test_a_keyed_tool_that_broke_off_is_called_again_and_does_it_once(happened: bool) -> None:
    with anyio.fail_after(5):
        async with bench(bank_pay=FakeTool("paid", plan=[Unsure(happened)])) as made:
            await made.open("uses", "c1", Refund("bank.pay", 3))
            assert made.value("c1", str) == "paid"
            assert len(made.tool_calls("bank.pay")) == 2
            assert len({call.key for call in made.tool_calls("bank.pay")}) == 1
            assert len(made.outside.effects()) == 1


async def test_a_tool_that_gives_no_answer_is_given_up_after_its_timeout() -> None:
    with anyio.fail_after(5):
        async with bench(bank_pay=FakeTool("paid", plan=[TimesOut(happened=True)])) as made:
            await made.open("uses", "c1", Refund("bank.pay", 3))
            assert made.log("c1").steps[-1] == "intent use:bank.pay"
            await made.forward(seconds=29)
            assert made.log("c1").steps[-1] == "intent use:bank.pay"
            await made.forward(seconds=1)
            assert len(made.outside.effects()) == 1
            made.log("c1").assert_has("done use:bank.pay*")


async def test_a_lookup_finds_what_happened() -> None:
    with anyio.fail_after(5):
        async with bench(bank_claim=FakeTool("claimed", plan=[Unsure(happened=True)])) as made:
            await made.open("uses", "c1", Refund("bank.claim", 3))
            assert made.value("c1", str) == "claimed"
            assert len(made.calls("bank.claim")) == 1


async def test_what_nobody_can_look_up_is_asked_of_a_person_and_not_called_again() -> None:
    with anyio.fail_after(5):
        async with bench(bank_cash=FakeTool(None, plan=[Unsure(happened=False)])) as made:
            await made.open("uses", "c1", Refund("bank.cash", 3))
            (review,) = made.reviews()
            assert review.title == "Did bank.cash happen?"
            await made.decide("reject", rule="effect.unknown")
            assert "did not happen" in made.value("c1", str)
            assert len(made.calls("bank.cash")) == 1


async def test_the_gate_stands_before_a_fake_as_before_the_tool() -> None:
    async def wrong(case: Case, inputs: Refund) -> object:
        return await _gives(case, "misuse", inputs)

    @skill
    async def misuse(inputs: Refund, work: Work) -> str:
        try:
            return await work.call("limit", {"customer": 7}, returns=str)
        except CallRefused as error:
            return str(error.kind)

    with anyio.fail_after(5):
        tools = {"limit": FakeTool(7)}
        async with CaseBench(crew(wrong, skills={"misuse": misuse}), tools=tools) as made:
            await made.open("wrong", "c1", Refund("x", 3))
            assert made.value("c1", str) == "refused"
            assert made.calls("limit") == []
            (call,) = [entry for entry in made.log("c1").entries if isinstance(entry, Call)]
            assert call.verdict.rule == "schema"


async def test_a_value_that_the_tool_does_not_declare_is_a_fault_of_the_tool() -> None:
    with anyio.fail_after(5):
        async with bench(limit=FakeTool("seven")) as made:
            await made.open("asks", "c1", Refund("x", 3))
            assert made.value("c1", str) == "invalid"


def test_a_fake_for_a_tool_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ToolUnknown, match=r"no tool 'bank.play' is registered; there is bank.cash"):
        bench(bank_play=FakeTool(1))


async def test_only_a_wait_that_nobody_ends_is_left_open() -> None:
    with anyio.fail_after(5):
        async with bench(bank_cash=FakeTool(None, plan=[Unsure()])) as made:
            await made.open("uses", "c1", Refund("bank.cash", 3))
            assert [wait.kind for wait in made.waits("c1")] == [WaitKind.REVIEW]
