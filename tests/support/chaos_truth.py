"""The person who is asked whether a wire happened, and calls the bank: cases come to their end and say the truth.

It does not know why nobody else could tell.
"""

import anyio

from casework.protocols.codec import encode
from casework.protocols.records import Decided, ReviewAction
from casework.runtime.seams import World
from casework.runtime.store.base import (
    CaseStatus,
    DecideResult,
    DecisionTaken,
    ReviewRow,
    StoreDoor,
    StoreReader,
    Unavailable,
    Unknown,
)
from casework.runtime.store.urls import open_door
from tests.support.chaos_bank import report
from tests.support.chaos_findings import rests
from tests.support.chaos_look import LOOK_SECONDS, PATIENCE_SECONDS, patiently, until


async def answer_all(store: StoreReader, url: str, bank: str) -> None:
    """Wait until nothing goes on by itself, answer every open question by what the bank says, and wait again."""

    async def at_rest() -> bool:
        return all(rests(row) for row in await store.cases())

    async def answered() -> bool:
        rows = [await store.case(question.key) for question in questions]
        return all(row is not None and row.status is CaseStatus.CLOSED for row in rows)

    await until(at_rest)
    questions = await patiently(lambda: store.reviews(state="open"))
    if not questions:
        return
    wired = (await report(bank)).wired
    door = await patiently(lambda: open_door(url, World()))
    for question in questions:
        happened = question.key.case_id in wired
        decided = _decided(question, ReviewAction.APPROVE if happened else ReviewAction.REJECT)
        result = await _told(door, question, decided)
        assert isinstance(result, DecisionTaken), f"{question.key.case_id}: {result}"
    await until(answered)


async def _told(door: StoreDoor, question: ReviewRow, decided: Decided) -> DecideResult:
    """Decide, again while the store cannot say that it was: the same decision twice is one."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            result = await patiently(
                lambda: door.decide(question.id, question.proposal_hash, encode(decided), decided.at)
            )
            if not isinstance(result, Unavailable | Unknown):
                return result
            await anyio.sleep(LOOK_SECONDS)


def _decided(question: ReviewRow, action: ReviewAction) -> Decided:
    return Decided(
        review_id=question.id,
        action=action,
        by="the bank",
        proposal_hash=question.proposal_hash,
        at=World().clock.wall_micros(),
    )
