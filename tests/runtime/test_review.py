"""The review queue: readable proposals, and decisions that fit them."""

from typing import Any

import pytest

from casework.protocols.codec import Plain, decode_entry, digest, encode, pack, unpack
from casework.protocols.records import Decided, Review, ReviewAction
from casework.protocols.wire import Evidence
from casework.runtime.errors import DecisionInvalid, ReviewUnknown
from casework.runtime.review import decision_frame, open_reviews, review_of, shape_differs, view_of
from casework.runtime.store.base import Append, Appended, CaseKey, Opening, Record, ReviewRow
from casework.runtime.store.memory import MemoryStore

PROPOSAL: dict[str, Plain] = {
    "category": "travel",
    "vat": "4.22",
    "lines": [{"rate": 21, "net": "20.08"}],
    "note": None,
    "paid": True,
}


def row(state: str = "open", id_: str = "r1abc") -> ReviewRow:
    raw = pack(PROPOSAL)
    review = Review(
        id=id_,
        title="Book it?",
        proposal=raw,
        proposal_hash=digest(raw).hex(),
        rule="low_confidence",
        evidence=(Evidence(ref="input:a.pdf"),),
        consequences=(("approve", "books it"),),
    )
    return ReviewRow(
        id_, CaseKey("default", "c1"), "review", "Book it?", state, 1, 0, review.proposal_hash, encode(review)
    )


async def store_of(*rows: ReviewRow) -> MemoryStore:
    """Give a store in which one case has asked for these reviews."""
    store, key = MemoryStore(), CaseKey("default", "c1")
    opened = Record(0, 0, "opened", "", 1, b"opened", b"")
    await store.open_case(Opening(key, opened, flow="run", version="1", source_hash="abc", crew="books"))
    (case,) = (await store.claim("node", limit=1, now=1)).cases
    append = Append(key, case.row.epoch, case.row.next_seq, records=(), reviews_opened=rows)
    assert isinstance(await store.append(append), Appended)
    return store


async def test_the_queue_shows_the_proposal_its_evidence_and_what_would_follow() -> None:
    (view,) = await open_reviews(await store_of(row(), row("decided", "r2")))
    assert view.proposal == PROPOSAL
    assert (view.evidence[0].ref, view.consequences, view.rule) == (
        "input:a.pdf",
        (("approve", "books it"),),
        "low_confidence",
    )


async def test_a_review_is_found_by_the_beginning_of_its_id_if_only_one_begins_so() -> None:
    reader = await store_of(row(id_="r1abc"), row(id_="review1"), row(id_="reviewxyz"))
    assert (await review_of(reader, "r1abc")).id == "r1abc"
    assert (await review_of(reader, "reviewx")).id == "reviewxyz"
    for unknown in ("review", "", "zzzzzz"):
        with pytest.raises(ReviewUnknown):
            await review_of(reader, unknown)


async def test_a_beginning_of_few_characters_names_no_review() -> None:
    reader = await store_of(row(id_="2f81c9aa"))
    with pytest.raises(ReviewUnknown):
        await review_of(reader, "2f81c")
    assert (await review_of(reader, "2f81c9")).id == "2f81c9aa"


@pytest.mark.promise("REVIEW-1")
def test_a_decision_names_the_proposal_that_was_seen() -> None:
    view = view_of(row())
    made = decision_frame(view, ReviewAction.APPROVE, by="ann", at=5, reason="fits")
    decided = decode_entry(made.frame)
    assert isinstance(decided, Decided)
    assert (decided.review_id, decided.action, decided.by, decided.reason) == ("r1abc", "approve", "ann", "fits")
    assert decided.proposal_hash == view.proposal_hash == made.proposal_hash


def test_an_edit_of_the_same_shape_is_taken() -> None:
    edited: dict[str, Plain] = {**PROPOSAL, "category": "office", "vat": "9.42", "note": "checked", "lines": []}
    decided = decode_entry(decision_frame(view_of(row()), ReviewAction.EDIT, by="ann", at=5, edited=edited).frame)
    assert isinstance(decided, Decided)
    assert unpack(decided.edited, dict) == edited


@pytest.mark.promise("REVIEW-1")
@pytest.mark.parametrize(
    ("edited", "why"),
    [
        ("text", "must have the fields category"),
        ({"category": "x"}, "lacks field 'lines'"),
        ({**PROPOSAL, "more": 1}, "has the unknown field 'more'"),
        ({**PROPOSAL, "category": 7}, "category must be text"),
        ({**PROPOSAL, "vat": "much"}, "vat must be a figure like 4.22"),
        ({**PROPOSAL, "vat": 4.22}, "vat must be text"),
        ({**PROPOSAL, "paid": 1}, "paid must be true or false"),
        ({**PROPOSAL, "lines": [{"rate": "21", "net": "1.00"}]}, r"lines\[0\].rate must be a whole number"),
        ({**PROPOSAL, "lines": [{"rate": 21}]}, r"lines\[0\] lacks field 'net'"),
    ],
)
def test_an_edit_of_another_shape_is_refused_by_the_place(edited: Any, why: str) -> None:
    with pytest.raises(DecisionInvalid, match=why):
        decision_frame(view_of(row()), ReviewAction.EDIT, by="ann", at=5, edited=edited)


def test_decisions_that_cannot_be_taken_are_refused() -> None:
    view = view_of(row())
    for changed, action, more, why in (
        (view_of(row("withdrawn")), ReviewAction.APPROVE, {"by": "ann"}, "not open any more: it was withdrawn"),
        (view, ReviewAction.APPROVE, {"by": ""}, "say who decides"),
        (view, ReviewAction.REJECT, {"by": "expiry"}, "give another name"),
        (view, ReviewAction.EDIT, {"by": "ann"}, "needs the edited proposal"),
        (view, ReviewAction.REJECT, {"by": "ann", "edited": PROPOSAL}, "takes no edited proposal"),
    ):
        with pytest.raises(DecisionInvalid, match=why):
            decision_frame(changed, action, at=5, **more)


def test_equal_shapes_do_not_differ() -> None:
    assert shape_differs(PROPOSAL, PROPOSAL) == ""
    assert shape_differs([], [1, 2]) == ""
    assert shape_differs(1.5, 2.5) == ""
