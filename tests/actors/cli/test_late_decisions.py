"""A decision that crosses the end of its case: whoever took it is told that nobody heard it."""

import anyio
import anyio.to_thread
import pytest
from msgspec import Struct

from casework.actors import Crew, Policy
from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseStatus, DecideResult
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.urls import open_store
from tests.support.command_desk import Desk


class Nothing(Struct, frozen=True):
    """Inputs of a case that needs none."""


async def flow(case: Case, inputs: Nothing) -> None:
    await case.first(case.review("Shall I?", inputs, rule="may"), case.park("go", reason="or this"))


crew = Crew("late", flows=(Flow.of(flow, inputs=Nothing),), policy=Policy(name="late"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_decision_that_crosses_the_end_of_its_case_ends_with_1_and_shows_as_too_late(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = anyio.Event()
    append, decide = SqliteStore.append, SqliteStore.decide

    async def held(self: SqliteStore, change: Append) -> AppendResult:
        if change.status is CaseStatus.CLOSED:
            await decided.wait()
        return await append(self, change)

    async def tells(self: SqliteStore, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        result = await decide(self, review_id, proposal_hash, frame, now)
        decided.set()
        return result

    monkeypatch.setattr(SqliteStore, "append", held)
    monkeypatch.setattr(SqliteStore, "decide", tells)
    store = await open_store(desk.store, World())
    with anyio.fail_after(60):
        async with Runtime(crew, store) as runtime:
            await runtime.open("flow", "c", Nothing())
            await runtime.wait("c")
            (review,) = await store.reviews()
            await runtime.deliver("go", by="test")
            done = await anyio.to_thread.run_sync(lambda: desk("review", "approve", review.id, "--by", "ann"))
    await store.aclose()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"casework: error: review {review.id} was not decided: it came too late, the case does not ask any more\n"
    )
    shown = desk("review", "show", review.id).stdout
    assert f"review {review.id}, withdrawn, of case c" in shown
    assert "ann decided to approve (too late: the case does not ask any more)" in shown
    again = desk("review", "reject", review.id)
    assert (again.returncode, "the case does not ask any more" in again.stderr) == (1, True)
