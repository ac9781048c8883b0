"""The six agents of the crew: import, categorise, receipts, VAT, anomalies, report.

Each is a handful of small skills over the pure modules beside this one; none can do more than its tools allow, and
none has a tool that files anything. They do not know in which order they are asked.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from casework.actors import Agent, Answer, Work, WorkFailed, skill
from casework.actors.policy import SettingValue
from casework.protocols.wire import Evidence, RiskTier
from examples.bookkeeping.anomalies import find_duplicates, find_unusual
from examples.bookkeeping.categories import Proposal, propose_by_name, propose_by_receipt, read_rules
from examples.bookkeeping.errors import ReceiptUnclear
from examples.bookkeeping.kor import LEVELS
from examples.bookkeeping.ledger import Status
from examples.bookkeeping.matching import match_all, unused
from examples.bookkeeping.messages import (
    BrokenDown,
    Folder,
    Imported,
    Matched,
    OverviewFiles,
    Read,
    Reading,
    Scan,
    ToBreakDown,
    ToCategorise,
    ToMatch,
    ToNameReceipt,
    ToRead,
    ToReport,
    ToScan,
    Trails,
    Transcript,
    Wanted,
    Written,
)
from examples.bookkeeping.overview import build_overview
from examples.bookkeeping.receipts import parse_receipt
from examples.bookkeeping.vat import breakdown, check, treatment_of

RULES = read_rules()


async def import_input(inputs: Folder, work: Work) -> Imported:
    """Read everything in the input folder; what is refused is named, the rest goes on."""
    return await work.call("read_input", inputs, returns=Imported)


async def categorise(inputs: ToCategorise, work: Work) -> Answer[Proposal]:
    """Propose a category from the bank line alone."""
    proposal = propose_by_name(inputs.transaction, RULES, inputs.own_accounts)
    return Answer(proposal, proposal.confidence)


async def read_receipt(inputs: ToRead, work: Work) -> Answer[Read]:
    """Read one receipt and pick the facts out of its text."""
    transcript = await work.call("read_receipt", inputs, returns=Transcript)
    evidence = (Evidence(ref=inputs.ref, sha256=transcript.sha256, label=inputs.label),)
    if transcript.outcome is not Reading.READ:
        return Answer(Read(outcome=transcript.outcome, reason=transcript.reason), evidence=evidence)
    source = inputs.ref.removeprefix("input:")
    try:
        facts = parse_receipt(transcript.text, own_name=inputs.own_name, source=source)
    except ReceiptUnclear as unclear:
        return Answer(Read(outcome=Reading.UNREADABLE, reason=str(unclear)), evidence=evidence)
    facts = msgspec.structs.replace(facts, sha256=transcript.sha256)
    return Answer(Read(outcome=Reading.READ, facts=facts), evidence=evidence)


async def name_receipt(inputs: ToNameReceipt, work: Work) -> Answer[Proposal]:
    """Propose a category from what was bought."""
    proposal = propose_by_receipt(inputs.receipt, RULES)
    return Answer(proposal, proposal.confidence)


async def match_receipts(inputs: ToMatch, work: Work) -> Matched:
    """Bring payments and receipts together."""
    matches = match_all(inputs.transactions, inputs.receipts)
    return Matched(matches=matches, unused=tuple(unused(matches.values(), inputs.receipts)))


async def break_down(inputs: ToBreakDown, work: Work) -> BrokenDown:
    """Work out the VAT per rate and check what the receipt states."""
    receipt = inputs.receipt
    return BrokenDown(treatment=treatment_of(receipt), lines=breakdown(receipt), findings=check(receipt))


async def scan(inputs: ToScan, work: Work) -> Scan:
    """Look through the quarter for payments that stand there twice, and for unusual ones."""
    categories = {each.id: propose_by_name(each, RULES).category for each in inputs.transactions}
    return Scan(
        duplicates=tuple(find_duplicates(inputs.transactions)),
        unusual=tuple(find_unusual(inputs.transactions, categories)),
    )


def kor_levels(settings: Mapping[str, SettingValue]) -> Mapping[str, Decimal]:
    """Give the levels of the small-business threshold that the policy sets, else the usual ones.

    Raises:
        WorkFailed: the policy sets something that is no share.
    """
    levels = settings.get("kor_levels")
    if levels is None:
        return LEVELS
    if not isinstance(levels, dict) or not levels:
        raise WorkFailed("policy: settings.kor_levels must be a table of shares by level, such as warning = 0.90")
    try:
        return {name: Decimal(str(least)) for name, least in levels.items()}
    except ArithmeticError:
        raise WorkFailed("policy: settings.kor_levels holds a share that is no number; write it like 0.90") from None


async def report(inputs: ToReport, work: Work) -> Written:
    """Write the overview and the exceptions with their trails; filing it is for a person."""
    cases = {flag.transaction or flag.receipt: flag.trail for flag in inputs.flags if flag.trail}
    told = await work.call("read_trails", Wanted(cases=cases), returns=Trails)
    overview = build_overview(
        inputs.business,
        inputs.bookings,
        inputs.flags,
        receipts=inputs.receipts,
        receipts_unused=inputs.receipts_unused,
        revision=inputs.revision,
        closed=inputs.closed,
        problems=inputs.problems,
        trails=told.trails,
        kor_levels=kor_levels(work.policy),
    )
    sha256 = await work.call("write_overview", OverviewFiles(overview=overview), returns=str)
    waiting = [flag for flag in inputs.flags if flag.status in (Status.PARKED, Status.REVIEW)]
    return Written(
        revision=inputs.revision,
        sha256=sha256,
        to_pay=overview.vat.to_pay,
        open=len(waiting),
        kor_level=overview.kor.level,
    )


AGENTS = (
    Agent("importer", {"import_input": skill(import_input)}, tools=("read_input",)),
    Agent("categoriser", {"categorise": skill(categorise)}),
    Agent(
        "receipts",
        {
            "read_receipt": skill(read_receipt),
            "name_receipt": skill(name_receipt),
            "match_receipts": skill(match_receipts),
        },
        tools=("read_receipt",),
    ),
    Agent("vat", {"break_down": skill(break_down)}),
    Agent("anomalies", {"scan": skill(scan)}),
    Agent(
        "reporter",
        {"report": skill(report)},
        tools=("read_trails", "write_overview"),
        tier_max=RiskTier.REVERSIBLE,
        workers=1,
    ),
)
