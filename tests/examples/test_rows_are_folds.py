"""What a store keeps of a case beside its log is a read model: it can be made again from the log alone."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from casework.protocols.records import ReviewAction
from casework.runtime.fold import COLUMNS, fold
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.bookkeeping import LATE, working

#: Rounds of answers after which a quarter that is not done is given up.
ROUNDS_MAX = 40


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def done(tmp_path: Path) -> AsyncGenerator[MemoryStore, None]:
    """The sample quarter, with everything decided and delivered that it asked for."""
    store = MemoryStore()
    async with working(store, tmp_path / "out") as runtime:
        for _ in range(ROUNDS_MAX):
            if not await answered(runtime, store):
                break
        yield store


async def answered(runtime: Runtime, store: MemoryStore) -> bool:
    """Approve and deliver what cases ask for; say whether there was anything."""
    reviews = list(await store.reviews(state="open"))
    rows = await store.cases(status=CaseStatus.PARKED)
    waits = [wait for row in rows for wait in row.waits if wait.kind in {WaitKind.EVIDENCE, WaitKind.OPERATOR}]
    for review in reviews:
        await runtime.decide(review.id, ReviewAction.APPROVE, by="ann")
    for wait in waits:
        data = await anyio.Path(LATE).read_bytes() if wait.kind is WaitKind.EVIDENCE else None
        await runtime.deliver(wait.key, by="ann", data=data, label="late.pdf")
    await runtime.wait_idle()
    return bool(reviews or waits)


async def test_every_row_and_review_of_the_finished_sample_quarter_is_what_its_log_says(done: MemoryStore) -> None:
    rows = await done.cases()
    assert len(rows) > 200
    for row in rows:
        transfer = await done.transfer(row.key)
        assert transfer is not None
        folded = fold(row.key, transfer.records)
        assert [getattr(folded, name) for name in COLUMNS] == [getattr(row, name) for name in COLUMNS], row.key
        assert folded.closed is (row.status is CaseStatus.CLOSED)
        assert not row.waits or not folded.closed
        assert folded.epoch_min <= row.epoch
        assert folded.changed_at <= row.changed_at
        for made, kept in zip(folded.reviews, transfer.reviews, strict=True):
            assert made.opened_at <= kept.opened_at
            columns = ("id", "key", "step_id", "title", "expires", "proposal_hash", "frame")
            assert [getattr(made, name) for name in columns] == [getattr(kept, name) for name in columns]
            assert made.state == kept.state, row.key
            # A decision may reach the store while its case withdraws the question: then the log has no word of it.
            assert made.state == "withdrawn" or made.decision == kept.decision, row.key
