"""The review queue as a person sees it, and the decisions that may be taken on it.

A decision names the hash of the proposal that was seen; an edit keeps the proposal's shape, so the flow that gets it
back can read it. It does not know who the person is, nor on which screen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from casework.protocols.codec import Plain, decode_entry, encode, pack, plain
from casework.protocols.errors import FrameInvalid, ProtocolError
from casework.protocols.records import EXPIRY, Decided, Review, ReviewAction
from casework.protocols.wire import NIL, Evidence
from casework.runtime.errors import DecisionInvalid, ReviewUnknown
from casework.runtime.store.base import ReviewRow, StoreReader

#: Characters of a review's id that name it, at least: a slip of the finger decides nothing.
PREFIX_MIN: Final = 6
#: A figure that travels as text, as Decimals do: an edit must leave it a figure.
_FIGURE: Final = re.compile(r"-?\d+\.\d+")
#: What kinds of plain data are called in messages.
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


@dataclass(slots=True, frozen=True)
class ReviewView:
    """One review, readable."""

    id: str
    tenant: str
    case_id: str
    step_id: str
    title: str
    summary: str
    rule: str
    """The rule that asked."""
    state: str
    """`open`, `decided` or `withdrawn`."""
    opened_at: int
    expires: int
    """Microseconds since the epoch, 0 for never."""
    proposal: Plain
    proposal_hash: str
    evidence: tuple[Evidence, ...]
    consequences: tuple[tuple[str, str], ...]
    """Pairs of (action, what it will do)."""
    decision: Decided | None = None


@dataclass(slots=True, frozen=True)
class DecisionFrame:
    """A decision, ready for a store's door."""

    review_id: str
    proposal_hash: str
    frame: bytes


async def open_reviews(reader: StoreReader) -> Sequence[ReviewView]:
    """Give the open reviews, oldest first."""
    return [_listed(row) for row in await reader.reviews(state="open")]


async def review_of(reader: StoreReader, review_id: str) -> ReviewView:
    """Give one review; the beginning of its id is enough if it is long enough and only one open review begins so.

    Raises:
        ReviewUnknown: there is none, several begin so, or fewer than PREFIX_MIN characters were given.
    """
    row = await reader.review(review_id)
    if row is not None:
        return view_of(row)
    if len(review_id) < PREFIX_MIN:
        raise ReviewUnknown(review_id)
    begins = [each for each in await reader.reviews(state="open") if each.id.startswith(review_id)]
    if len(begins) != 1:
        raise ReviewUnknown(review_id)
    return view_of(begins[0])


def view_of(row: ReviewRow) -> ReviewView:
    """Make a review readable.

    Raises:
        FrameInvalid: its row is damaged; `casework verify` says more.
    """
    review, decision = decode_entry(row.frame), decode_entry(row.decision) if row.decision else None
    if not isinstance(review, Review) or not isinstance(decision, Decided | None):
        raise FrameInvalid("review", f"the row of review {row.id} holds frames of other kinds")
    return ReviewView(
        id=row.id,
        tenant=row.key.tenant,
        case_id=row.key.case_id,
        step_id=row.step_id,
        title=row.title,
        summary=review.summary,
        rule=review.rule,
        state=row.state,
        opened_at=row.opened_at,
        expires=row.expires,
        proposal=plain(review.proposal),
        proposal_hash=row.proposal_hash,
        evidence=review.evidence,
        consequences=review.consequences,
        decision=decision,
    )


def _listed(row: ReviewRow) -> ReviewView:
    """Make a review readable, as far as it is: one that is damaged must not hide the others."""
    try:
        return view_of(row)
    except ProtocolError as error:
        return ReviewView(
            id=row.id,
            tenant=row.key.tenant,
            case_id=row.key.case_id,
            step_id=row.step_id,
            title=row.title,
            summary=f"its row in the store cannot be read ({error}); see `casework verify`",
            rule="",
            state=row.state,
            opened_at=row.opened_at,
            expires=row.expires,
            proposal=None,
            proposal_hash=row.proposal_hash,
            evidence=(),
            consequences=(),
        )


def decision_frame(
    view: ReviewView, action: ReviewAction, *, by: str, at: int, reason: str = "", edited: Plain = None
) -> DecisionFrame:
    """Make the decision on the proposal that `view` shows; `at` is in microseconds since the epoch.

    Raises:
        DecisionInvalid: it cannot be taken as it is; the text says why.
    """
    if view.state != "open":
        raise DecisionInvalid(view.id, f"is not open any more: it was {view.state}")
    check_person(view.id, by)
    if action is ReviewAction.EDIT:
        check_edit(view, edited)
    elif edited is not None:
        raise DecisionInvalid(view.id, f"to {action} takes no edited proposal; use edit")
    decided = Decided(
        review_id=view.id,
        action=action,
        by=by,
        proposal_hash=view.proposal_hash,
        reason=reason,
        edited=pack(edited) if action is ReviewAction.EDIT else NIL,
        at=at,
    )
    return DecisionFrame(view.id, view.proposal_hash, encode(decided))


def check_person(review_id: str, by: str) -> None:
    """Refuse who cannot decide: nobody, and whoever has the name under which a review expires; raises as above."""
    if not by:
        raise DecisionInvalid(review_id, "a decision needs a name: say who decides")
    if by == EXPIRY:
        raise DecisionInvalid(review_id, f"{EXPIRY!r} is the name of reviews that nobody decided: give another name")


def check_edit(view: ReviewView, edited: Plain) -> None:
    """Refuse an edit whose flow could not read it.

    Raises:
        DecisionInvalid: there is none, or it is not of the proposal's shape; the text names the place.
    """
    if edited is None:
        raise DecisionInvalid(view.id, "an edit needs the edited proposal")
    differs = shape_differs(view.proposal, edited)
    if differs:
        raise DecisionInvalid(view.id, f"the edited proposal does not have the proposal's shape: {differs}")


def shape_differs(proposal: Plain, edited: Plain, place: str = "") -> str:
    """Name the first place where an edit changes the proposal's shape, or give an empty text.

    Keys and types must be equal; lists may change their length if every element is like the first; what was empty
    may be filled.
    """
    here = place or "the proposal"
    if proposal is None:
        return ""
    if isinstance(proposal, dict):
        return _keys_differ(proposal, edited, place)
    if type(proposal) is not type(edited):
        return f"{here} must be {_KINDS[type(proposal)]}"
    if isinstance(proposal, str) and _FIGURE.fullmatch(proposal) and not _FIGURE.fullmatch(str(edited)):
        return f"{here} must be a figure like {proposal}"
    if isinstance(proposal, list) and isinstance(edited, list) and proposal:
        found = (shape_differs(proposal[0], each, f"{place}[{number}]") for number, each in enumerate(edited))
        return next(filter(None, found), "")
    return ""


def _keys_differ(proposal: dict[str, Plain], edited: Plain, place: str) -> str:
    if not isinstance(edited, dict):
        return f"{place or 'the proposal'} must have the fields {', '.join(proposal)}"
    missing = [key for key in proposal if key not in edited]
    extra = [key for key in edited if key not in proposal]
    if missing or extra:
        what, names = ("lacks", missing) if missing else ("has the unknown", extra)
        return f"{place or 'it'} {what} field {names[0]!r}"
    found = (shape_differs(proposal[key], edited[key], f"{place}.{key}".lstrip(".")) for key in proposal)
    return next(filter(None, found), "")
