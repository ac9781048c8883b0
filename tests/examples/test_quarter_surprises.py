"""What people and agents do wrong to a quarter: nothing of it reaches the totals, all of it stands in the log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, skill, tool
from casework.actors.errors import CallRefused
from casework.actors.policy import Limits
from casework.protocols.records import Call, Decided, Noted, Review, ReviewAction
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, Delivered, ReviewRow
from casework.runtime.store.memory import MemoryStore
from examples.bookkeeping.agents import AGENTS
from examples.bookkeeping.ledger import VatLine
from examples.bookkeeping.messages import BrokenDown, QuarterInputs, ToBreakDown
from examples.bookkeeping.vat import breakdown, treatment_of, vat_in_gross
from tests.support.bookkeeping import (
    CREW,
    QUARTER,
    Paid,
    Standing,
    make_quarter,
    overview,
    settled,
    standing,
    without_reader_of_photos,
    working,
)

pytestmark = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])

MIXED = Paid("BOEKHANDEL DOMPLEIN UTRECHT", "-54.30")
MIXED_BILL = "bon-051.pdf"
TRAVEL_BILL = "bon-014.pdf"
UNCLEAR_BILL = "bon-057.pdf"


def unclear_quarter(folder: Path) -> Path:
    """Make the quarter of one payment whose payee nobody knows."""
    make_quarter(folder, [Paid("VOF DE DRIEHOEK", "-96.80", day="20260529")], [UNCLEAR_BILL])
    return folder


def tx(day: str = "20260516", number: int = 1) -> str:
    return f"2026Q2/tx/ing-{day}-{number:02d}"


def wrong_in(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(flag["kind"], flag["status"]) for flag in page["exceptions"]]


async def asked(runtime: Runtime, case_id: str) -> ReviewRow:
    (review,) = [each for each in await runtime.store.reviews(state="open") if each.key.case_id == case_id]
    return review


async def answer(runtime: Runtime, case_id: str, action: ReviewAction, **edited: str) -> None:
    review = await asked(runtime, case_id)
    await runtime.decide(review.id, action, by="anna", edited=edited or None)
    await settled(runtime)


def content(path: Path) -> bytes:
    return path.read_bytes()


async def deliver(runtime: Runtime, number: int, path: Path, day: str = "20260516") -> None:
    key = f"receipt:ing-{day}-{number:02d}"
    data = content(path)
    assert isinstance(await runtime.deliver(key, by="anna", data=data, label=path.name), Delivered)
    await settled(runtime)


def notes(found: Standing, case_id: str) -> list[str]:
    """Give what a case noted, each a warning of one line."""
    noted = [entry for entry in found.entries(case_id) if isinstance(entry, Noted)]
    assert {entry.level for entry in noted} <= {"warning"}
    assert [entry.text for entry in noted if not entry.text.isprintable()] == []
    return [entry.text for entry in noted]


def with_vat_agent(function: Any) -> Crew:
    """Make the crew with another VAT agent."""
    others = [agent for agent in AGENTS if agent.name != "vat"]
    return another_crew([*others, Agent("vat", {"break_down": skill(function)})])


def another_crew(agents: Sequence[Agent], **more: Any) -> Crew:
    parts: dict[str, Any] = {
        "flows": tuple(CREW.flows.values()),
        "tools": tuple(CREW.tools),
        "policy": CREW.policy,
    } | more
    return Crew("bookkeeping", "1", agents=agents, **parts)


async def all_at_standard_rate(inputs: ToBreakDown, work: Work) -> BrokenDown:
    total = inputs.receipt.total
    vat = vat_in_gross(total, 21)
    line = VatLine(rate=21, net=total - vat, vat=vat, gross=total)
    return BrokenDown(treatment=treatment_of(inputs.receipt), lines=(line,), findings=())


async def right_sum_at_the_wrong_rate(inputs: ToBreakDown, work: Work) -> BrokenDown:
    first, *others = breakdown(inputs.receipt)
    lines = (msgspec.structs.replace(first, rate=21), *others)
    return BrokenDown(treatment=treatment_of(inputs.receipt), lines=lines, findings=())


@pytest.mark.parametrize(
    ("function", "kind", "told"),
    [
        (all_at_standard_rate, "single_rate_on_mixed_receipt", "9.42"),
        (right_sum_at_the_wrong_rate, "wrong_claim", "6.70"),
    ],
)
async def test_a_claim_that_is_not_the_receipts_own_is_stopped_before_the_books(
    tmp_path: Path, function: Any, kind: str, told: str
) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED], [MIXED_BILL])
    async with working("memory:", tmp_path / "out", folder=folder, crew=with_vat_agent(function)) as runtime:
        page = overview(tmp_path / "out")
        assert wrong_in(page) == [(kind, "review")]
        assert page["vat"]["5b"] == "0.00"
        assert told in str((await standing(runtime.store, tmp_path / "out")).logs[tx()])
        await answer(runtime, tx(), ReviewAction.APPROVE)
        assert overview(tmp_path / "out")["vat"]["5b"] == "6.70"


@pytest.mark.parametrize(("vat", "booked"), [("5.00", True), ("54.31", False), ("-1.00", False), ("999999.00", False)])
async def test_a_person_may_say_how_much_vat_but_not_more_than_was_paid(tmp_path: Path, vat: str, booked: bool) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED], [MIXED_BILL])
    crew = with_vat_agent(all_at_standard_rate)
    async with working("memory:", tmp_path / "out", folder=folder, crew=crew) as runtime:
        await answer(runtime, tx(), ReviewAction.EDIT, vat=vat)
        page = overview(tmp_path / "out")
        assert (page["counts"]["booked"], page["vat"]["5b"]) == ((1, vat) if booked else (0, "0.00"))
        told = notes(await standing(runtime.store, tmp_path / "out"), tx())
        again = f"{vat!r} is no amount of VAT on this receipt; asked again: give one like 6.70, no more than was paid"
        assert told == ([] if booked else [again])
        if not booked:
            assert (await asked(runtime, tx())).title.startswith("How much VAT")


async def test_what_a_person_rejects_waits_for_another_receipt(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED], [MIXED_BILL])
    crew = with_vat_agent(all_at_standard_rate)
    async with working("memory:", tmp_path / "out", folder=folder, crew=crew) as runtime:
        await answer(runtime, tx(), ReviewAction.REJECT)
        assert wrong_in(overview(tmp_path / "out")) == [("rejected", "parked")]
        await deliver(runtime, 1, QUARTER / "receipts" / MIXED_BILL)
        await answer(runtime, tx(), ReviewAction.APPROVE)
        assert overview(tmp_path / "out")["counts"]["booked"] == 1


async def test_a_receipt_of_another_amount_is_named_and_the_wait_goes_on(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED])
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        await deliver(runtime, 1, QUARTER / "receipts" / TRAVEL_BILL)
        (flag,) = overview(tmp_path / "out")["exceptions"]
        assert (flag["kind"], flag["status"]) == ("missing_receipt", "parked")
        told = f"{TRAVEL_BILL} is of -54.70, the payment of -54.30; deliver the receipt of this payment"
        assert flag["message"] == told
        assert notes(await standing(runtime.store, tmp_path / "out"), tx()) == [told]
        await deliver(runtime, 1, QUARTER / "receipts" / MIXED_BILL)
        page = overview(tmp_path / "out")
        assert (page["exceptions"], page["vat"]["5b"]) == ([], "6.70")


async def test_what_is_delivered_and_is_no_receipt_is_named_and_the_wait_goes_on(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED])
    nonsense = tmp_path / "nonsense.pdf"
    nonsense.write_text("to be or not to be", encoding="utf-8")
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        await deliver(runtime, 1, nonsense)
        await runtime.deliver("receipt:ing-20260516-01", by="anna", value={"not": "a receipt"})
        await settled(runtime)
        found = await standing(runtime.store, tmp_path / "out")
        assert wrong_in(found.overview) == [("missing_receipt", "parked")]
        told = notes(found, tx())
        assert told == [
            "nonsense.pdf cannot be used: file is not a PDF whatever its name says; deliver the original PDF",
            "what was delivered cannot be used: it is no receipt; deliver a PDF or a photo of one",
        ]
        await deliver(runtime, 1, QUARTER / "receipts" / MIXED_BILL)
        assert overview(tmp_path / "out")["counts"]["booked"] == 1


async def test_a_photo_delivered_before_it_can_be_read_waits_for_its_reader_or_for_another_receipt(
    tmp_path: Path,
) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED])
    with without_reader_of_photos():
        async with working("memory:", tmp_path / "out", folder=folder) as runtime:
            await deliver(runtime, 1, QUARTER / "receipts/photo-1.jpg")
            row = await runtime.store.case(CaseKey("default", tx()))
            assert row is not None
            assert {wait.key for wait in row.waits} == {"receipt:ing-20260516-01", "extra:ocr"}
            assert wrong_in(overview(tmp_path / "out")) == [("needs_ocr", "parked")]
            await runtime.deliver("extra:ocr", by="intake", value="installed")
            await settled(runtime)
            assert wrong_in(overview(tmp_path / "out")) == [("needs_ocr", "parked")]
            await deliver(runtime, 1, QUARTER / "receipts" / MIXED_BILL)
            assert overview(tmp_path / "out")["counts"]["booked"] == 1


async def test_one_receipt_delivered_for_two_payments_is_booked_once(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED, MIXED])
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        for number in (1, 2):
            await deliver(runtime, number, QUARTER / "receipts" / MIXED_BILL)
        page = overview(tmp_path / "out")
        assert wrong_in(page) == [("receipt_used_twice", "excluded")]
        assert (page["vat"]["5b"], page["counts"]["booked"], page["counts"]["left_out"]) == ("6.70", 1, 1)


async def test_a_receipt_chosen_that_does_not_fit_is_noted_and_asked_again(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED, MIXED], [MIXED_BILL])
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        await answer(runtime, tx(), ReviewAction.EDIT, receipt="receipts/\x1bother.pdf\n")
        told = notes(await standing(runtime.store, tmp_path / "out"), tx())
        why = "is none of the receipts that fit; asked again: choose one of"
        assert told == [rf"'receipts/\x1bother.pdf\n' {why} receipts/{MIXED_BILL}"]
        assert (await asked(runtime, tx())).title.startswith("Which receipt")


async def test_one_receipt_approved_for_two_payments_is_booked_once(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [MIXED, MIXED], [MIXED_BILL])
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        assert wrong_in(overview(tmp_path / "out")) == [("ambiguous_receipt", "review")] * 2
        for number in (1, 2):
            await answer(runtime, tx(number=number), ReviewAction.APPROVE)
        page = overview(tmp_path / "out")
        assert wrong_in(page) == [("receipt_used_twice", "excluded")]
        assert page["vat"]["5b"] == "6.70"


@pytest.mark.parametrize("category", ["sales", "unknown", "yachts", ""])
async def test_a_category_that_cannot_be_is_asked_for_again(tmp_path: Path, category: str) -> None:
    folder = unclear_quarter(tmp_path / "in")
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        assert wrong_in(overview(tmp_path / "out")) == [("low_confidence", "review")]
        await answer(runtime, tx("20260529"), ReviewAction.EDIT, category=category)
        found = await standing(runtime.store, tmp_path / "out")
        assert wrong_in(found.overview) == [("low_confidence", "review")]
        (told,) = notes(found, tx("20260529"))
        assert told.startswith(f"{category!r} cannot be booked for this; asked again: choose one of bank_fees, ")
        assert "sales" not in told.partition(";")[2]


async def test_what_a_person_calls_private_claims_no_vat(tmp_path: Path) -> None:
    folder = unclear_quarter(tmp_path / "in")
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        await answer(runtime, tx("20260529"), ReviewAction.EDIT, category="private")
        found = await standing(runtime.store, tmp_path / "out")
        assert (found.overview["counts"]["booked"], found.overview["vat"]["5b"]) == (1, "0.00")
        (row,) = found.overview["categories"]
        assert (row["category"], row["gross"], row["vat"]) == ("private", "96.80", "0.00")
        (decided,) = [entry for entry in found.entries(tx("20260529")) if isinstance(entry, Decided)]
        assert (decided.by, decided.action) == ("anna", ReviewAction.EDIT)


class Return(Struct, frozen=True, kw_only=True):
    """A VAT return that somebody wants to file."""

    to_pay: str


FILED: list[str] = []


async def filed(arguments: Return, result: bool, context: ToolContext) -> bool:
    return result


@tool(tier=RiskTier.IRREVERSIBLE, verify=filed)
async def submit_vat_return(arguments: Return, context: ToolContext) -> bool:
    FILED.append(arguments.to_pay)
    return True


async def file_return(inputs: QuarterInputs, work: Work) -> str:
    try:
        await work.call("submit_vat_return", Return(to_pay="0.00"), returns=bool)
    except CallRefused as refused:
        return refused.kind.value
    return "filed"


async def filing(case: Case, inputs: QuarterInputs) -> str:
    result = await case.delegate(
        "file_return", inputs, returns=str, goal="File it", tools=("submit_vat_return",), tier=RiskTier.IRREVERSIBLE
    )
    return result.value


async def test_a_return_cannot_be_filed_even_by_a_crew_that_has_a_tool_for_it(tmp_path: Path) -> None:
    allowed = Limits(tier_max=RiskTier.IRREVERSIBLE)
    filer = Agent(
        "filer", {"file_return": skill(file_return)}, tools=("submit_vat_return",), tier_max=RiskTier.IRREVERSIBLE
    )
    crew = another_crew(
        [*AGENTS, filer],
        tools=(*CREW.tools, submit_vat_return),
        flows=(*CREW.flows.values(), Flow.of(filing, inputs=QuarterInputs)),
        policy=msgspec.structs.replace(CREW.policy, agents={**CREW.policy.agents, "filer": allowed}),
    )
    FILED.clear()
    store = MemoryStore()
    async with working(store, tmp_path / "out", folder=make_quarter(tmp_path / "in", []), crew=crew) as runtime:
        await runtime.open("filing", "filing", QuarterInputs(quarter="2026Q2"))
        await settled(runtime)
        found = await standing(store, tmp_path / "out")
    (refusal,) = [entry for entry in found.entries("filing") if isinstance(entry, Call)]
    assert (refusal.tool, refusal.failure) == ("submit_vat_return", FailureKind.REFUSED)
    assert not refusal.verdict.allowed
    assert refusal.verdict.policy_hash
    assert "stays with a person" in refusal.message
    assert FILED == []


def test_the_crew_has_no_tool_that_could_file_anything(anyio_backend: object) -> None:
    assert [each.name for each in CREW.tools if each.tier is RiskTier.IRREVERSIBLE] == []
    assert [name for name in CREW.tools.names if "submit" in name or "file" in name] == []
    assert "submit_vat_return" in CREW.policy.denied


async def test_a_review_shows_what_it_is_about(tmp_path: Path) -> None:
    folder = unclear_quarter(tmp_path / "in")
    async with working("memory:", tmp_path / "out", folder=folder) as runtime:
        found = await standing(runtime.store, tmp_path / "out")
    (review,) = [entry for entry in found.entries(tx("20260529")) if isinstance(entry, Review)]
    assert [each.label for each in review.evidence] == [UNCLEAR_BILL]
    assert [action for action, _ in review.consequences] == ["approve", "edit", "reject"]
    assert "Categories: " in review.summary
    assert "sales" not in review.summary


async def test_levels_of_the_small_business_threshold_are_those_of_the_policy(tmp_path: Path) -> None:
    levels = {"ok": 0.0, "notice": 0.01, "exceeded": 1.0}
    crew = another_crew(AGENTS, policy=msgspec.structs.replace(CREW.policy, settings={"kor_levels": levels}))
    folder = make_quarter(tmp_path / "in", [])
    async with working("memory:", tmp_path / "out", folder=folder, crew=crew):
        assert overview(tmp_path / "out")["kor"]["level"] == "notice"
