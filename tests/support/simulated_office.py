"""An office outside of every simulated process, and the crew that books, pays and drafts by it.

Beside the bank's, it shows sagas that fail or are cancelled, two people who disagree, a policy that denies, budgets,
agents that fail in between, children that write home, and code that misbehaves. What was done outlives every crash.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import anyio
from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, WorkFailed, skill, tool
from casework.actors.budgets import Budgets
from casework.actors.errors import CallRefused
from casework.actors.policy import Approval, Bounds, Limits, Policy, Retries, RetryTable, Timeouts
from casework.actors.tools import Tool
from casework.protocols.codec import unpack
from casework.protocols.records import ReviewAction
from casework.protocols.wire import FailureKind, OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed, ReviewRejected, TaskFailed
from casework.runtime.simulation import Simulation
from casework.runtime.simulation.process import PROCESS

T = TypeVar("T")

IRREVERSIBLE, REVERSIBLE = RiskTier.IRREVERSIBLE, RiskTier.REVERSIBLE
#: Stamps that a task may have made, and what each of them costs.
STAMPS = 2
STAMP_MICROS = 10
#: Stamps that all cases together have money for.
STAMPS_OF_ALL = 3
#: Seconds that an attempt at a draft may take: fewer than a slow model does.
DRAFT_SECONDS = 5.0
#: Seconds that the task of a ticket may take: fewer than people need to say what became of a purchase.
TICKET_SECONDS = 40
#: Times that a flow asks again after a call that is known not to have happened.
TRIES = 40


class Errand(Struct, frozen=True):
    name: str
    fails: bool = False


@dataclass
class Office:
    """What happened in the world, in its order."""

    done: list[tuple[str, str, str]] = field(default_factory=list)
    """Tool, case and key of everything that was done."""
    whims: int = 0
    """How often the careless flow was begun."""

    def do(self, tool_name: str, context: ToolContext, *, honours_key: bool) -> str:
        one = (tool_name, context.case_id, context.idempotency_key)
        if not (honours_key and one in self.done):
            self.done.append(one)
        return tool_name

    def find(self, tool_name: str, key: str) -> str | None:
        return next((name for name, _, had in self.done if (name, had) == (tool_name, key)), None)

    def of(self, case_id: str) -> list[str]:
        """Give the tools by which something was done for a case, in order."""
        return [name for name, case, _ in self.done if case == case_id]


def office_tools(office: Office, simulation: Simulation) -> tuple[Tool, ...]:
    """Make the tools by which a run's office is reached, as badly as its plan says."""

    async def reach(name: str, effect: Callable[[], T]) -> T:
        return await simulation.outside.reach(name, effect)

    def write(name: str, *, undo: str = "", keyed: bool = True, asked: bool = True, micros_max: int = 0) -> Tool:
        async def verify(arguments: Errand, value: object, context: ToolContext) -> bool:
            return await reach("office.read", lambda: office.find(name, context.idempotency_key)) is not None

        async def lookup(arguments: Errand, context: ToolContext) -> str | None:
            return await reach("office.read", lambda: office.find(name, context.idempotency_key))

        async def run(arguments: Errand, context: ToolContext) -> str:
            return await reach(name, lambda: office.do(name, context, honours_key=keyed))

        options: dict[str, Any] = {"undo": undo, "keyed": keyed, "micros_max": micros_max, "timeout_seconds": 8}
        if asked and not keyed:
            options["lookup"] = lookup
        return tool(name=name, tier=REVERSIBLE if undo else IRREVERSIBLE, verify=verify, **options)(run)

    @tool(name="model.draft", tier=RiskTier.READ_ONLY, timeout_seconds=30)
    async def model(arguments: Errand, context: ToolContext) -> str:
        return await reach("model.draft", lambda: simulation.mischief.answered("Dear customer"))

    return (
        write("flight.book", undo="flight.cancel"),
        write("flight.cancel"),
        write("hotel.book", undo="hotel.cancel"),
        write("hotel.cancel"),
        write("card.pay", keyed=False),
        write("card.large", keyed=False),
        write("seat.book", undo="flight.cancel", keyed=False),
        write("ticket.buy", keyed=False, asked=False),
        write("stamp", micros_max=STAMP_MICROS),
        write("wire"),
        model,
    )


@skill
async def stamp(inputs: Errand, work: Work) -> int:
    """Have three stamps made at once, whatever the budget says; gives how many were."""
    made: list[object] = []

    async def one() -> None:
        try:
            made.append(await work.call("stamp", inputs, returns=object))
        except CallRefused as refused:
            if refused.kind is not FailureKind.REFUSED:
                raise WorkFailed("no stamp", kind=refused.kind) from refused

    async with anyio.create_task_group() as group:
        for _ in range(STAMPS + 1):
            group.start_soon(one)
    return len(made)


@skill
async def draft(inputs: Errand, work: Work) -> str:
    """Have a model write; a new attempt may help where it is slow or writes nonsense."""
    answer = await work.call("model.draft", inputs, returns=str)
    if answer != "Dear customer":
        raise WorkFailed("nonsense", kind=FailureKind.UNAVAILABLE, retryable=True)
    return f"{answer} {work.attempt}"


@skill
async def seat(inputs: Errand, work: Work) -> object:
    """Book a seat, another one in each attempt, then have a model write, and fail if that is of no use."""
    row = Errand(f"{inputs.name}, row {work.attempt}")
    booked = await work.call("seat.book", row, returns=object)
    if await work.call("model.draft", inputs, returns=str) != "Dear customer":
        raise WorkFailed("nonsense", kind=FailureKind.UNAVAILABLE, retryable=True)
    return booked


@skill
async def ticket(inputs: Errand, work: Work) -> str:
    """Buy a ticket, of which only a person can say whether it was, then have a model write."""
    await work.call("ticket.buy", inputs, returns=object)
    answer = await work.call("model.draft", inputs, returns=str)
    if answer != "Dear customer":
        raise WorkFailed("nonsense", kind=FailureKind.UNAVAILABLE, retryable=True)
    return answer


async def trip(case: Case, inputs: Errand) -> str:
    """Book all of it, or nothing."""
    async with case.saga():
        await again(case, lambda: case.call("flight.book", inputs, returns=object))
        await again(case, lambda: case.call("hotel.book", inputs, returns=object))
        await case.sleep(5)
        if inputs.fails:
            await case.call("wire", inputs, returns=object)
    return "booked"


async def errand(case: Case, inputs: Errand) -> str:
    """Write home, after a while."""
    await case.sleep(3)
    await case.send(inputs.name, "postcard", case.id)
    return "done"


async def tour(case: Case, inputs: Errand) -> int:
    """Send two out, wait for their postcards and for their return; gives how many cards came."""
    for number in range(2):
        await case.open("errand", f"{case.id}/{number}", Errand(case.id))
    cards = {unpack((await case.park("postcard", reason="they write")).value, str) for _ in range(2)}
    back = 0
    while back < 2:
        back += (await case.next_report()).status == "closed"
    return len(cards)


async def hasty(case: Case, inputs: Errand) -> str:
    """Pay, and wait no longer than a moment for it."""

    async def pay() -> object:
        try:
            return await case.call("card.pay", inputs, returns=object)
        except CallFailed:
            return "not paid"

    await case.first(pay(), case.sleep(2))
    return "enough"


async def pay(case: Case, inputs: Errand) -> str:
    """Pay, whatever it takes."""
    return str(await again(case, lambda: case.call("card.pay", inputs, returns=object)))


async def ask(case: Case, inputs: Errand) -> str:
    """Ask people, and pay if they say so."""
    decided = await case.review(f"Pay {inputs.name}", inputs, rule="ask")
    if decided.action is ReviewAction.REJECT:
        return "rejected"
    return str(await again(case, lambda: case.call("card.pay", inputs, returns=object)))


async def large(case: Case, inputs: Errand) -> str:
    """Pay what the policy has a person approve."""
    for _ in range(TRIES):
        try:
            return str(await case.call("card.large", inputs, returns=object))
        except (CallFailed, ReviewRejected) as error:
            if isinstance(error, ReviewRejected) or error.kind is FailureKind.REFUSED:
                return "rejected"
            await case.sleep(20)
    return "given up"


async def stamps(case: Case, inputs: Errand) -> object:
    """Have an agent make stamps within a budget: of calls, or of money where it is to fail."""
    calls, micros = (99, STAMPS * STAMP_MICROS) if inputs.fails else (STAMPS, 1_000)
    return await task(case, "stamp", inputs, int, tools=["stamp"], tier=IRREVERSIBLE, calls=calls, micros=micros)


async def letters(case: Case, inputs: Errand) -> object:
    """Have an agent draft something, in as many attempts as it takes."""
    return await task(case, "draft", inputs, str, tools=["model.draft"], attempts=9)


async def seats(case: Case, inputs: Errand) -> object:
    """Have an agent book a seat, which must not be tried again once it has."""
    return await task(case, "seat", inputs, object, tools=["seat.book", "model.draft"], tier=REVERSIBLE, attempts=3)


async def tickets(case: Case, inputs: Errand) -> str:
    """Have an agent buy a ticket; where its task is stopped, an operator has it tried again."""
    tools, seconds = ["ticket.buy", "model.draft"], TICKET_SECONDS
    given = await case.delegate(
        "ticket", inputs, returns=str, goal="Buy", tools=tools, tier=IRREVERSIBLE, deadline_seconds=seconds
    )
    return given.value


async def bomb(case: Case, inputs: Errand) -> str:
    """End the process that works on it."""
    process = PROCESS.get()
    assert process is not None
    process.kill()
    await case.sleep(1)
    return "harmless"


async def task(case: Case, name: str, inputs: Errand, returns: type[object], **terms: Any) -> object:
    """Delegate a task; gives what came of it, or that it was given up."""
    terms = {"goal": name, "deadline_seconds": 3_600, "on_stop": OnStop.FAIL, **terms}
    try:
        return (await case.delegate(name, inputs, returns=returns, **terms)).value
    except TaskFailed:
        return "given up"


async def again(case: Case, ask_for: Callable[[], Awaitable[T]]) -> T:
    """Ask again after a failure that is known to have left nothing, with pauses."""
    for _ in range(TRIES):
        try:
            return await ask_for()
        except CallFailed as error:
            if error.kind is FailureKind.REFUSED:
                raise
            await case.sleep(20)
    return await ask_for()


def office_crew(office: Office, simulation: Simulation) -> Crew:
    """Make the crew that works with a run's office."""
    tools = office_tools(office, simulation)
    names = tuple(each.name for each in tools)

    async def careless(case: Case, inputs: Errand) -> int:
        """Do something else each time."""
        office.whims += 1
        whim = office.whims
        await case.note(f"whim {whim}")
        await case.sleep(20)
        return whim

    functions = (trip, errand, tour, hasty, pay, ask, large, stamps, letters, seats, tickets, bomb, careless)
    flows = [Flow.of(each, inputs=Errand, tools=names) for each in functions]
    skills = {"stamp": stamp, "draft": draft, "seat": seat, "ticket": ticket}
    agents = [Agent(name, {name: known}, tools=names, tier_max=IRREVERSIBLE) for name, known in skills.items()]
    everything = Limits(tools=tuple(name for name in names if name != "wire"), tier_max=IRREVERSIBLE)
    policy = Policy(
        name="office",
        agents={each.name: everything for each in agents},
        flows={each.name: everything for each in flows},
        denied={"wire": "nobody wires money"},
        approvals=(Approval(rule="large", title="Pay a large sum", tool="card.large"),),
        retry=RetryTable(reversible=Retries(attempts=3)),
        timeouts=Timeouts(tasks={"draft": DRAFT_SECONDS}),
        bounds=Bounds(repeats_max=1_000),
        budgets=Budgets(agent=Decimal(STAMPS_OF_ALL * STAMP_MICROS) / 1_000_000, on_overdrawn=OnStop.FAIL),
    )
    return Crew("office", flows=flows, agents=agents, tools=tools, policy=policy)
