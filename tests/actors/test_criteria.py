"""When a task is done: what its criteria are asked, what they may read to tell, and what the log keeps of it."""

from collections.abc import Callable

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.criteria import Check, Criterion
from casework.actors.policy import Limits, Policy
from casework.actors.testing import FakeTool
from casework.actors.testing.crashes import crash_anywhere
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import decode_entry, digest
from casework.protocols.records import Call, Entry
from casework.protocols.wire import Checked, Completed, Failed, FailureKind, OnStop, RiskTier
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, Record
from casework.runtime.telemetry import Telemetry

LEDGER = dict[str, int]


class Posting(Struct, frozen=True):
    account: str
    amount: int


class Looked(Struct, frozen=True):
    account: str


def crew_of(ledger: LEDGER, criteria: dict[str, Criterion], *, lying: bool = False) -> Crew:
    """A crew whose agent posts an amount; a lying one says so without doing it."""

    @tool(tier=RiskTier.READ_ONLY)
    async def read_ledger(arguments: Looked, context: ToolContext) -> int:
        """Read what stands on an account."""
        return ledger.get(arguments.account, 0)

    async def is_posted(arguments: Posting, value: int, context: ToolContext) -> bool:
        return ledger.get(arguments.account) == value

    @tool(tier=RiskTier.IRREVERSIBLE, verify=is_posted)
    async def post(arguments: Posting, context: ToolContext) -> int:
        """Put an amount on an account."""
        ledger[arguments.account] = ledger.get(arguments.account, 0) + arguments.amount
        return ledger[arguments.account]

    @skill
    async def book(inputs: Posting, work: Work) -> int:
        """Post the amount."""
        return inputs.amount if lying else await work.call("post", inputs, returns=int)

    async def booking(case: Case, inputs: Posting) -> str:
        try:
            await case.delegate(
                "book",
                inputs,
                returns=int,
                goal="Have it posted.",
                tools=("post", "read_ledger"),
                tier=RiskTier.IRREVERSIBLE,
                criteria=tuple(criteria),
                attempts=1,
                on_stop=OnStop.FAIL,
            )
        except TaskFailed as error:
            return str(error.kind)
        return "done"

    may = Limits(tools=("post", "read_ledger"), tier_max=RiskTier.IRREVERSIBLE)
    agent = Agent("clerk", {"book": book}, tools=("post", "read_ledger"), tier_max=RiskTier.IRREVERSIBLE)
    return Crew(
        "books",
        flows=(Flow.of(booking, inputs=Posting),),
        agents=(agent,),
        tools=(read_ledger, post),
        criteria=criteria,
        policy=Policy(name="books", agents={"clerk": may}),
    )


async def log_of(crew: Crew) -> list[tuple[str, Entry]]:
    """Run one case to its end and give its records."""
    with anyio.fail_after(5):
        async with Runtime(crew, telemetry=Telemetry.off()) as runtime:
            await runtime.open("booking", "b-1", Posting("rent", 900))
            await runtime.wait("b-1")
            records: list[Record] = list(await runtime.store.records(CaseKey("default", "b-1")))
    return [(record.step_id, decode_entry(record.frame)) for record in records]


def ended(log: list[tuple[str, Entry]]) -> Completed | Failed:
    (outcome,) = (entry for _, entry in log if isinstance(entry, Completed | Failed))
    return outcome


async def posted(value: int, check: Check[Posting]) -> bool:
    """Look whether the ledger has what was to be posted."""
    return await check.read("read_ledger", Looked(check.inputs.account), returns=int) == check.inputs.amount


@pytest.mark.promise("AGENT-2")
async def test_a_criterion_reads_the_world_again_by_a_recorded_step_of_the_task() -> None:
    log = await log_of(crew_of({}, {"posted": posted}))
    step, call = next((step, entry) for step, entry in log if isinstance(entry, Call))
    assert (step, call.tool) == ("book:posted/read_ledger", "read_ledger")
    found = f"{step} {digest(call.value).hex()}"
    assert ended(log).checked == (Checked(name="posted", met=True, read=(found,)),)


@pytest.mark.promise("AGENT-2")
async def test_a_task_that_says_it_is_done_is_not_if_the_world_shows_otherwise() -> None:
    log = await log_of(crew_of({}, {"returned": lambda value: value is not None, "posted": posted}, lying=True))
    outcome = ended(log)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.message) == (FailureKind.CRITERION, "criterion 'posted' is not met")
    assert [(each.name, each.met, len(each.read)) for each in outcome.checked] == [
        ("returned", True, 0),
        ("posted", False, 1),
    ]


async def test_a_task_that_a_criterion_reads_for_ends_the_same_after_a_crash_anywhere() -> None:
    crew, tools = crew_of({}, {"posted": posted}, lying=True), {"read_ledger": FakeTool(900)}
    ending = await crash_anywhere(crew, "booking", Posting("rent", 900), tools=tools)
    assert ending.result == "completed"


async def test_a_criterion_may_not_write_even_where_the_task_may() -> None:
    async def post_it(value: int, check: Check[Posting]) -> bool:
        return await check.read("post", check.inputs, returns=int) == 1

    ledger: LEDGER = {}
    outcome = ended(await log_of(crew_of(ledger, {"posted": post_it}, lying=True)))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, ledger) == (FailureKind.REFUSED, {})
    assert outcome.message.startswith("criterion 'posted' cannot be told: ")
    assert outcome.checked == (Checked(name="posted", met=False),)


async def test_criteria_are_asked_in_order_up_to_the_first_that_is_missed() -> None:
    asked = list[str]()

    def noting(name: str, *, met: bool) -> Callable[..., bool]:
        def criterion(value: int) -> bool:
            asked.append(name)
            return met

        return criterion

    criteria: dict[str, Criterion] = {
        "a": noting("a", met=True),
        "b": noting("b", met=False),
        "c": noting("c", met=True),
    }
    outcome = ended(await log_of(crew_of({}, criteria)))
    assert asked == ["a", "b"]
    assert [(each.name, each.met) for each in outcome.checked] == [("a", True), ("b", False)]


async def breaks(value: int, check: Check[Posting]) -> bool:
    raise ValueError(check.inputs.account)


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (breaks, "criterion 'odd' cannot be told: ValueError at test_criteria.py"),
        (lambda value: 900, "criterion 'odd' cannot be told: it gave int instead of True or False"),
    ],
)
async def test_what_a_criterion_cannot_tell_is_not_done(criterion: Criterion, message: str) -> None:
    outcome = ended(await log_of(crew_of({}, {"odd": criterion}, lying=True)))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.checked) == (FailureKind.ERROR, (Checked(name="odd", met=False),))
    assert outcome.message.startswith(message)


@pytest.mark.promise("AGENT-2")
@pytest.mark.parametrize(
    "checked", [(), (Checked(name="posted", met=False),), (Checked(name="other", met=True),)], ids=repr
)
async def test_a_task_that_is_handed_in_as_done_without_being_shown_to_be_is_not_done(
    checked: tuple[Checked, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casework.actors.criteria.Examination.verdict", lambda self: checked)
    outcome = ended(await log_of(crew_of({}, {"posted": posted})))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.checked) == (FailureKind.CRITERION, checked)
    assert outcome.message == "handed in as done, but not shown to meet posted"
