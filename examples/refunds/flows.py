"""How a refund request is worked on: one case each, a flow of its own that runs four patterns.

Who reads the text hands it to a desk; five things are looked up side by side, and where shop and carrier tell
different stories the surer one is the truth; the policy is asked, and what it leaves open a person decides; then the
refund is made as one saga, the money last. Every request ends with one letter.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from casework.actors.conflicts import HIGHER_CONFIDENCE
from casework.actors.patterns import (
    Alternative,
    Assignment,
    Code,
    Combine,
    FanOut,
    Handoff,
    HumanGate,
    PatternFailed,
    Pipeline,
    Resolve,
    Router,
    Terms,
    Then,
    declaring,
)
from casework.actors.patterns.router import Choice
from casework.protocols.wire import FailureKind, OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import ReviewRejected, TaskFailed
from casework.runtime.seams import MICROS
from examples.refunds.messages import (
    Asked,
    Customer,
    CustomerRef,
    Delivery,
    Done,
    Facts,
    Found,
    Judged,
    Letter,
    Message,
    Order,
    OrderRef,
    Plan,
    Request,
    Resolved,
    Tickets,
    Understood,
    Wish,
)

#: Confidence below which a person says what a text asks for.
FLOOR: Final = 0.6
#: Seconds that the work on one request may take, people's included: four weeks.
SECONDS: Final = 28 * 86_400
CALLS: Final = 200
READS: Final = ("read_order", "read_shipment", "track_parcel", "read_customer", "read_tickets")
WRITES: Final = ("make_label", "set_status", "book_refund", "pay_back")
LETTERS: Final[Mapping[str, Literal["refunded", "refused", "passed_on", "sorry"]]] = {
    "refunded": "refunded",
    "refused": "refused",
    "passed_on": "passed_on",
    "failed": "sorry",
}


# What a text asks for.


async def nothing_sure(case: Case, given: Letter, terms: Terms) -> Understood:
    """Propose what a person will change."""
    return Understood(Wish.OTHER)


async def help_wanted(case: Case, given: Letter, terms: Terms) -> Understood:
    """Say that no money is asked for."""
    return Understood(Wish.HELP)


FRONT_DOOR: Final = Router(
    "front_door",
    takes=Letter,
    gives=Understood,
    chooser=Assignment("triage", Letter, Choice, "Say whose business the text is"),
    routes={
        "billing": Assignment("read_billing", Letter, Understood | Handoff, "Say what is asked of billing"),
        "shipping": Assignment("read_shipping", Letter, Understood | Handoff, "Say what is asked of shipping"),
        "technical": Code("help_wanted", Letter, Understood, help_wanted),
        "person": Pipeline(
            "unclear",
            (
                Code("nothing_sure", Letter, Understood, nothing_sure),
                HumanGate("say", Understood, Understood, title="What does this request ask for?", rule="unclear"),
            ),
        ),
    },
    default="person",
    floor=FLOOR,
)


# What the systems say.


async def the_order(case: Case, given: Asked, terms: Terms) -> OrderRef:
    """Name the order."""
    return OrderRef(given.order)


async def the_customer(case: Case, given: Asked, terms: Terms) -> CustomerRef:
    """Name the customer."""
    return CustomerRef(given.customer)


def _look(skill: str, gives: Any, tool: str, goal: str) -> Pipeline:
    """Make a branch that looks one thing up; nobody waits for what is not there."""
    of_order = tool in ("read_order", "read_shipment", "track_parcel")
    ref, name = (OrderRef, the_order) if of_order else (CustomerRef, the_customer)
    look = Assignment(skill, ref, gives, goal, tools=(tool,), on_stop=OnStop.FAIL)
    return Pipeline(f"{skill}_of", (Code(name.__name__, Asked, ref, name), look))


def together(found: Mapping[str, Any]) -> Found:
    """Put together what was found."""
    return Found(
        order=found["find_order_of"],
        customer=found["find_customer_of"],
        tickets=found["find_tickets_of"],
        delivery=found["parcel"],
    )


LOOK_UP: Final = FanOut(
    "look_up",
    (
        _look("find_order", Order, "read_order", "Look the order up"),
        FanOut(
            "parcel",
            (
                _look("find_shipment", Delivery, "read_shipment", "Look up where the shop believes the parcel to be"),
                _look("track", Delivery, "track_parcel", "Ask the carrier where the parcel is"),
            ),
            # Whole: where a parcel is and since when belong together.
            merge=Resolve(rules={"state": HIGHER_CONFIDENCE, "on": HIGHER_CONFIDENCE}),
        ),
        _look("find_customer", Customer, "read_customer", "Look the customer up"),
        _look("find_tickets", Tickets, "read_tickets", "Look up what the customer was refunded before"),
    ),
    merge=Combine(together, Found),
)
#: What is not there is no mistake of ours; where a system cannot be asked, the case waits for an operator.
FIND_OUT: Final = Alternative("find_out", LOOK_UP, {FailureKind.INVALID: (Then.COMPENSATE,)})

JUDGE: Final = Assignment("judge", Facts, Judged, "Hold the request against the policy")
EXCEPTION: Final = HumanGate("exception", Judged, Judged, title="Refund it all the same?", rule="exception")
#: Its time is the case's, for a person may have to approve the payment.
REFUND: Final = Assignment(
    "refund",
    Plan,
    Done,
    "Make the refund",
    tools=WRITES,
    tier=RiskTier.IRREVERSIBLE,
    seconds=SECONDS,
    on_stop=OnStop.FAIL,
)
TELL: Final = Assignment(
    "tell", Message, str, "Tell the customer how it ended", tools=("send_letter",), tier=RiskTier.IRREVERSIBLE
)


async def resolve_refund(case: Case, request: Request) -> Resolved:
    """Resolve one request."""
    terms = Terms(
        deadline=await case.now() + SECONDS * MICROS,
        calls=CALLS,
        tools=(*READS, *WRITES, "send_letter"),
        tier=RiskTier.IRREVERSIBLE,
    )
    resolved = await _resolved(case, request, terms)
    await TELL(case, Message(request.id, request.customer, LETTERS[resolved.outcome]), terms)
    return resolved


async def _resolved(case: Case, request: Request, terms: Terms) -> Resolved:
    try:
        understood: Understood = (await FRONT_DOOR(case, Letter(request.text), terms)).value
    except ReviewRejected as error:
        return Resolved(outcome="refused", rule="unclear", why=error.reason, by=error.by)
    if understood.wish is Wish.HELP:
        return Resolved(outcome="passed_on", rule="technical", why="no refund was asked for")
    try:
        found: Found = (await FIND_OUT(case, Asked(request.order, request.customer), terms)).value
    except PatternFailed as error:
        return Resolved(outcome="refused", rule="not_found", why=error.message)
    facts = Facts(
        wish=understood.wish,
        received=request.received,
        order=found.order,
        customer=found.customer,
        tickets=found.tickets,
        delivery=found.delivery,
    )
    return await _judged(case, request, facts, terms)


async def _judged(case: Case, request: Request, facts: Facts, terms: Terms) -> Resolved:
    judged: Judged = (await JUDGE(case, facts, terms)).value
    if judged.verdict == "refuse":
        return Resolved(outcome="refused", rule=judged.rule, why=judged.why)
    by = ""
    if judged.verdict == "exception":
        try:
            granted = await EXCEPTION(case, judged, terms)
        except ReviewRejected as error:
            return Resolved(outcome="refused", rule=judged.rule, why=error.reason or judged.why, by=error.by)
        judged, by = granted.value, granted.agent
    return await _made(case, request, facts, judged, by, terms)


async def _made(case: Case, request: Request, facts: Facts, judged: Judged, by: str, terms: Terms) -> Resolved:
    """Make the refund, or take back what was made of it."""
    plan = Plan(
        request=request.id,
        order=request.order,
        customer=request.customer,
        cents=judged.cents,
        was=facts.order.status,
        goods_come_back=judged.goods_come_back,
    )
    try:
        async with case.saga():
            await REFUND(case, plan, terms)
    except TaskFailed as error:
        return Resolved(outcome="failed", rule=error.kind, why=error.message, by=by)
    return Resolved(outcome="refunded", rule=judged.rule, why=judged.why, cents=judged.cents, by=by)


FLOW: Final = declaring(Flow.of(resolve_refund, inputs=Request), FRONT_DOOR, FIND_OUT, JUDGE, EXCEPTION, REFUND, TELL)
