"""The sample quarter, run whole in process: to the cent what was worked out apart from the code, and traceable."""

import hashlib
import importlib.util
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from casework.actors.policy import policy_hash
from casework.protocols.codec import unpack
from casework.protocols.records import Call, Closed, Decision, Intent, Noted, Opened, Review, ReviewAction
from casework.protocols.wire import Completed
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus, Delivered, Duplicate, Nobody
from casework.runtime.store.memory import MemoryStore
from examples.bookkeeping.categories import Proposal
from examples.bookkeeping.ledger import Booking
from examples.bookkeeping.messages import Settled
from tests.support.bookkeeping import (
    CREW,
    EXPECTED,
    LATE,
    QUARTER,
    Standing,
    comparable,
    expected_overview,
    overview,
    settled,
    standing,
    without_reader_of_photos,
    working,
)

MIXED = "2026Q2/tx/ing-20260516-01"
RULED = "2026Q2/tx/ing-20260414-02"
DISPUTED = "2026Q2/tx/rabo-4245"
LATE_KEY = "receipt:rabo-4269"
WAITING = sorted(
    flag["transaction"]
    for flag in EXPECTED["overview_without_ocr"]["exceptions"]
    if flag["status"] in ("parked", "review") and "transaction" in flag
)
ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
NEEDS_OCR = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None, reason="needs the extra casework[ocr]"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    """The sample as it stands after the first run, without the reader of photos; its store lies beside `out`."""
    folder = tmp_path_factory.mktemp("finished")

    async def run() -> Standing:
        async with working(f"sqlite:///{folder}/cases.db", folder / "out") as runtime:
            return await standing(runtime.store, folder / "out")

    with without_reader_of_photos():
        return anyio.run(run)


@pytest.fixture
def copied(finished: Standing, tmp_path: Path) -> Path:
    """A folder of one's own with the store and the overview of the first run."""
    shutil.copytree(finished.out.parent, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def reader_of_photos() -> None:
    """Asked for by tests that read photos."""


@pytest.fixture(autouse=True)
def no_reader_of_photos(request: pytest.FixtureRequest) -> Iterator[None]:
    if "reader_of_photos" in request.fixturenames:
        yield
        return
    with without_reader_of_photos():
        yield


def bookings(found: Standing) -> dict[str, Booking]:
    """Give the bookings by case, from the logs alone."""
    closed = {case_id: entries[-1][1] for case_id, entries in found.logs.items() if "/tx/" in case_id}
    ended = {case_id: unpack(last.value, Settled) for case_id, last in closed.items() if isinstance(last, Closed)}
    return {case_id: each.booking for case_id, each in ended.items() if each.booking is not None}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_sample_gives_what_was_worked_out_apart_from_the_code(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else f"sqlite:///{tmp_path}/cases.db"
    async with working(store, tmp_path / "out") as runtime:
        expected = expected_overview("overview_without_ocr")
        assert comparable(overview(tmp_path / "out"), expected) == expected
        await standing(runtime.store, tmp_path / "out")


@NEEDS_OCR
@ON_ASYNCIO
@pytest.mark.usefixtures("reader_of_photos")
async def test_with_photos_read_the_sample_gives_what_was_worked_out_for_that(tmp_path: Path) -> None:
    async with working("memory:", tmp_path / "out"):
        expected = expected_overview("overview_with_ocr")
        assert comparable(overview(tmp_path / "out"), expected) == expected


@NEEDS_OCR
@ON_ASYNCIO
@pytest.mark.usefixtures("reader_of_photos")
async def test_with_photos_readable_at_last_their_payments_are_booked_by_themselves(copied: Path) -> None:
    async with working(f"sqlite:///{copied}/cases.db", copied / "out"):
        expected = expected_overview("overview_with_ocr")
        assert comparable(overview(copied / "out"), expected) == expected


async def test_the_late_receipt_resumes_its_payment_and_changes_the_totals_as_expected(copied: Path) -> None:
    async with working(f"sqlite:///{copied}/cases.db", copied / "out") as runtime:
        assert overview(copied / "out")["revision"] == 1
        first = await runtime.deliver(LATE_KEY, by="anna", data=LATE.read_bytes(), label=LATE.name)
        again = await runtime.deliver(LATE_KEY, by="anna", data=LATE.read_bytes(), label=LATE.name)
        assert (type(first), type(again)) == (Delivered, Duplicate)
        await settled(runtime)
        expected = expected_overview("after_late_receipt_without_ocr")
        assert comparable(overview(copied / "out"), expected) == expected
        assert overview(copied / "out")["revision"] == 2
        after = await standing(runtime.store, copied / "out")
        assert bookings(after)["2026Q2/tx/rabo-4269"].receipt_sha256 == hashlib.sha256(LATE.read_bytes()).hexdigest()


async def test_starting_again_changes_nothing(copied: Path, finished: Standing) -> None:
    async with working(f"sqlite:///{copied}/cases.db", copied / "out") as runtime:
        after = await standing(runtime.store, copied / "out")
    assert after.overview == finished.overview
    assert {case_id: row.head for case_id, row in after.cases.items()} == {
        case_id: row.head for case_id, row in finished.cases.items()
    }


async def decide_all(runtime: Runtime, out: Path) -> int:
    """Approve everything but the closing, one by one; each makes the next revision. Gives the last revision."""
    for review in await runtime.store.reviews(state="open"):
        if review.title.startswith("Close"):
            continue
        before = overview(out)["revision"]
        await runtime.decide(review.id, ReviewAction.APPROVE, by="anna")
        await settled(runtime)
        assert overview(out)["revision"] == before + 1
        assert overview(out)["status"] == "provisional"
    revision: int = overview(out)["revision"]
    return revision


@ON_ASYNCIO
async def test_each_decision_makes_a_revision_until_a_person_closes_the_quarter(copied: Path) -> None:
    async with working(f"sqlite:///{copied}/cases.db", copied / "out") as runtime:
        revision = await decide_all(runtime, copied / "out")
        assert revision == 7
        (closing,) = await runtime.store.reviews(state="open")
        assert closing.title == "Close 2026Q2 with revision 7?"
        open_before = overview(copied / "out")
        assert (await runtime.wait("2026Q2")).status is CaseStatus.PARKED
        await runtime.decide(closing.id, ReviewAction.APPROVE, by="anna")
        await settled(runtime)
        after = await standing(runtime.store, copied / "out")
        assert (after.overview["status"], after.overview["revision"]) == ("closed", 8)
        assert after.overview["vat"] == open_before["vat"]
        counts = after.overview["counts"]
        assert (counts["booked"], counts["parked"], counts["review"], counts["duplicate"]) == (141, 0, 0, 2)
        assert counts["left_out"] == 7
        assert {row.status for row in after.cases.values()} == {CaseStatus.CLOSED}
        late = await runtime.deliver(LATE_KEY, by="anna", data=LATE.read_bytes(), label=LATE.name)
        assert isinstance(late, Nobody)
    kept = sorted(path.name for path in (copied / "out/revisions").iterdir())
    assert kept == [f"2026Q2-{number:04d}.json" for number in range(1, 9)]
    assert "CLOSED" in (copied / "out/overview.html").read_text(encoding="utf-8")


@ON_ASYNCIO
@pytest.mark.parametrize("action", [ReviewAction.REJECT, ReviewAction.EDIT])
async def test_only_an_approval_closes_a_quarter(copied: Path, action: ReviewAction) -> None:
    async with working(f"sqlite:///{copied}/cases.db", copied / "out") as runtime:
        (closing,) = [each for each in await runtime.store.reviews(state="open") if each.title.startswith("Close")]
        edited = {
            "quarter": "2026Q2",
            "revision": 1,
            "to_pay": "0.00",
            "open_exceptions": 0,
            "overview_sha256": "",
        }
        await runtime.decide(closing.id, action, by="anna", edited=edited if action is ReviewAction.EDIT else None)
        await settled(runtime)
        assert overview(copied / "out")["status"] == "provisional"
        assert (await runtime.wait("2026Q2")).status is CaseStatus.PARKED
        found = await standing(runtime.store, copied / "out")
        *_, noted = [entry for entry in found.entries("2026Q2") if isinstance(entry, Noted)]
        assert "the quarter stays open" in noted.text
        assert (noted.level, "cannot be edited" in noted.text) == (
            ("warning", True) if action is ReviewAction.EDIT else ("info", False)
        )


@pytest.mark.parametrize("transaction", WAITING)
def test_a_payment_that_waits_is_in_no_total(finished: Standing, transaction: str) -> None:
    row = finished.cases[f"2026Q2/tx/{transaction}"]
    assert row.status is CaseStatus.PARKED
    assert all(wait.reason for wait in row.waits)
    assert row.key.case_id not in bookings(finished)


def test_the_totals_are_those_of_the_booked_payments_and_nothing_else(finished: Standing) -> None:
    booked = bookings(finished)
    assert len(booked) == finished.overview["counts"]["booked"]
    gross = sum((abs(each.amount) for each in booked.values() if each.category == "sales"), Decimal(0))
    (sales,) = [row for row in finished.overview["categories"] if row["category"] == "sales"]
    assert Decimal(sales["gross"]) == gross
    vat = [line.vat for each in booked.values() if each.category != "sales" for line in each.vat_lines]
    assert str(sum(vat, Decimal(0))) == finished.overview["vat"]["5b"]


def test_every_cent_of_vat_has_its_receipt_with_the_content_that_was_read(finished: Standing) -> None:
    for case_id, booking in bookings(finished).items():
        if booking.vat_lines:
            content = (QUARTER / booking.receipt).read_bytes()
            assert hashlib.sha256(content).hexdigest() == booking.receipt_sha256, case_id


def test_no_receipt_is_booked_twice(finished: Standing) -> None:
    used = [booking.receipt for booking in bookings(finished).values() if booking.receipt]
    assert len(used) == len(set(used))


def test_mixed_rates_give_six_seventy(finished: Standing) -> None:
    lines = bookings(finished)[MIXED].vat_lines
    assert {line.rate: line.vat for line in lines} == {9: Decimal("2.48"), 21: Decimal("4.22")}
    total = sum((line.vat for line in lines), Decimal(0))
    assert total == Decimal("6.70")
    assert total not in (Decimal("6.69"), Decimal("9.42"))


def proposals(found: Standing, case_id: str) -> dict[str, tuple[str, float]]:
    """Give category and confidence by the step that proposed it."""
    told = [(record, entry) for record, entry in found.logs[case_id] if isinstance(entry, Completed)]
    named = [(record, unpack(entry.value, Proposal)) for record, entry in told if "name" in record.step_id
             or "categorise" in record.step_id]  # fmt: skip
    return {record.step_id: (each.category, each.confidence) for record, each in named}


def category_decision(found: Standing, case_id: str) -> Decision:
    decisions = [entry for entry in found.entries(case_id) if isinstance(entry, Decision)]
    (decision,) = [entry for entry in decisions if entry.subject == "category"]
    return decision


def test_of_two_agents_that_disagree_the_surer_wins_and_the_other_stays_in_the_log(finished: Standing) -> None:
    decision = category_decision(finished, RULED)
    assert (decision.options, decision.chosen, decision.rule) == (("office", "travel"), "travel", "higher_confidence")
    assert "0.95 against 0.80" in decision.why
    assert "dropped office (0.80, name holds" in decision.why
    assert bookings(finished)[RULED].category == "travel"
    assert sorted(proposals(finished, RULED).values()) == [("office", 0.80), ("travel", 0.95)]


def test_two_agents_nearly_as_sure_as_each_other_leave_it_to_a_person(finished: Standing) -> None:
    decision = category_decision(finished, DISPUTED)
    assert decision.rule == "person_disagreement"
    assert "too close" in decision.why
    assert f"dropped {next(each for each in decision.options if each != decision.chosen)}" in decision.why
    (review,) = [entry for entry in finished.entries(DISPUTED) if isinstance(entry, Review)]
    assert review.rule == "disagreement"
    assert DISPUTED not in bookings(finished)


def test_every_decision_names_the_policy_that_was_active(finished: Standing) -> None:
    active = policy_hash(CREW.policy)
    hashes = set()
    for entries in finished.logs.values():
        for _, entry in entries:
            if isinstance(entry, Decision | Opened):
                hashes.add(entry.policy_hash)
            if isinstance(entry, Call | Intent):
                hashes.add(entry.verdict.policy_hash)
    assert hashes == {active}


def test_every_link_of_the_page_leads_somewhere(finished: Standing) -> None:
    page = (finished.out / "overview.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) > len(finished.overview["exceptions"])
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (finished.out / link).resolve().is_file(), link


def test_every_exception_has_its_trail(finished: Standing) -> None:
    for flag in finished.overview["exceptions"]:
        assert finished.overview["trails"][flag.get("transaction") or flag["receipt"]], flag


def test_turnover_near_the_threshold_is_warned_of_once(finished: Standing) -> None:
    told = [entry for entry in finished.entries("2026Q2") if getattr(entry, "level", "") == "warning"]
    assert len(told) == 1
    assert "'warning' of the small-business threshold of 20000.00" in getattr(told[0], "text", "")
