"""A crew whose cases pay people without knowing them: the book of people is outside, and cases only point into it."""

from collections.abc import Callable

from msgspec import Struct

from casework.actors import Agent, Crew, SourceContext, ToolContext, Work, skill, source, tool
from casework.actors.policy import Limits, Policy
from casework.protocols import OnStop, Pointer, RiskTier
from casework.runtime import CallFailed, Case, Flow, TaskFailed

MAIL = "anna.devries@example.org"


class Payee(Struct, frozen=True):
    """A person, as the book has it: nothing of this may be in a log."""

    name: str
    iban: str
    email: str


ANNA = Payee("Anna de Vries", "NL91ABNA0417164300", MAIL)
MOVED = Payee("Anna de Vries", "BE71096123456769", MAIL)
#: What no byte that is kept may hold.
PERSONAL = tuple(word.encode() for word in ("Anna", "Vries", "NL91ABNA", "BE710961", "anna.devries", "example.org"))
TO_ANNA = Pointer.to("p-17", ANNA)


class Payout(Struct, frozen=True):
    payee: Pointer[Payee]
    cents: int


class Known(Struct, frozen=True):
    """Whom a question is about."""

    payee: Pointer[Payee]


class Outside:
    """The world: a book of people, and a bank."""

    def __init__(self) -> None:
        self.book: dict[str, Payee | Callable[[], object]] = {"p-17": ANNA}
        self.asked: list[str] = []
        self.paid: dict[str, tuple[str, int]] = {}
        """Account and cents by idempotency key."""


def crew(outside: Outside) -> Crew:
    """Make the crew in such a world."""

    @source
    async def people(number: str, context: SourceContext) -> Payee | None:
        outside.asked.append(f"{context.tenant}:{number}")
        found = outside.book.get(number)
        return found() if callable(found) else found  # type: ignore[return-value]  # some tests lie

    async def paid(arguments: Payout, value: str, context: ToolContext) -> bool:
        return outside.paid[context.idempotency_key][1] == arguments.cents

    async def look(arguments: Payout, context: ToolContext) -> str | None:
        return "t-1" if context.idempotency_key in outside.paid else None

    @tool(tier=RiskTier.IRREVERSIBLE, verify=paid, lookup=look, keyed=True)
    async def pay(arguments: Payout, context: ToolContext) -> str:
        payee = await context.fetch(arguments.payee, returns=Payee)
        outside.paid[context.idempotency_key] = (payee.iban, arguments.cents)
        return "t-1"

    @tool(tier=RiskTier.READ_ONLY)
    async def country(arguments: Known, context: ToolContext) -> str:
        return (await context.fetch(arguments.payee, returns=Payee)).iban[:2]

    @tool(tier=RiskTier.READ_ONLY)
    async def find(arguments: Known, context: ToolContext) -> Known:
        return Known(Pointer.to(arguments.payee.id, await context.fetch(arguments.payee, returns=Payee)))

    @skill
    async def screen(inputs: Known, work: Work) -> Known:
        payee = await work.fetch(inputs.payee, returns=Payee)
        assert payee.email.endswith(".org")
        return await work.call("find", inputs, returns=Known)

    tools = (pay, country, find)
    names = tuple(each.name for each in tools)
    limits = Limits(tools=names, tier_max=RiskTier.IRREVERSIBLE)
    flows = [
        Flow.of(payout, inputs=Payout, tools=names),
        Flow.of(child, inputs=Known),
        Flow.of(pays, inputs=Payout, tools=names),
        Flow.of(peeks, inputs=Payout),
        Flow.of(hands_on, inputs=Payout, tools=names),
    ]
    return Crew(
        "payouts",
        flows=flows,
        agents=[Agent("clerk", {"screen": screen}, tools=names)],
        tools=tools,
        sources=[people],
        policy=Policy(name="payouts", agents={"clerk": limits}, flows={each.name: limits for each in flows}),
    )


async def payout(case: Case, inputs: Payout) -> str:
    """Take a pointer along every way on which a case hands things on."""
    screened = await case.delegate(
        "screen", Known(inputs.payee), returns=Known, goal="See who it is", tools=["find"], on_stop=OnStop.FAIL
    )
    where = await case.call("country", screened.value, returns=str)
    await case.open("child", f"{case.id}/kid", Known(inputs.payee))
    await case.send(f"{case.id}/kid", "whom", Known(inputs.payee))
    await case.next_report()
    await case.decide("pay", ("yes", "no"), "yes", rule="known", why=where, inputs=inputs)
    await case.review("Pay it?", inputs, rule="look")
    return await case.call("pay", inputs, returns=str)


async def child(case: Case, inputs: Known) -> Known:
    """Wait for a message with the pointer in it."""
    arrived = await case.park("whom", reason="to know who it is")
    await case.note("it came", data=arrived.value)
    return inputs


async def pays(case: Case, inputs: Payout) -> str:
    """Have somebody look first; then tell what became of it."""
    try:
        await case.delegate("screen", Known(inputs.payee), returns=Known, goal="See", on_stop=OnStop.FAIL)
    except TaskFailed as failed:
        await case.note(f"{failed.kind}: {failed.message}")
    try:
        return await case.call("pay", inputs, returns=str)
    except CallFailed as failed:
        return f"{failed.kind}: {failed.message}"


async def peeks(case: Case, inputs: Payout) -> str:
    """Do what no flow can."""
    case.fetch(inputs.payee, returns=Payee)  # type: ignore[arg-type]  # this is what the checker is to say


async def hands_on(case: Case, inputs: Payout) -> str:
    """Hand on more than a pointer."""
    try:
        payee = {"id": "p-17", "sha256": TO_ANNA.sha256, "email": MAIL}
        return await case.call("country", {"payee": payee}, returns=str)
    except CallFailed as failed:
        return f"{failed.kind}: {failed.message}"
