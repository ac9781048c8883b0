"""Stores that go wrong only where several appends share a commit: what the suite for stores must notice as well.

It does not know how a case is run.
"""

import anyio.lowlevel

from casework.runtime.store.base import Append, Appended, AppendResult
from casework.runtime.store.memory import MemoryStore
from tests.support.wrong_stores import Patch, Wrong, a_refused_append_sends_its_messages


def who_shares_a_commit_hears_what_a_neighbour_is_told(patch: Patch) -> None:
    append, answers, under_way = MemoryStore.append, list[AppendResult](), set[int]()

    async def other(self: MemoryStore, asked: Append) -> AppendResult:
        under_way.add(id(asked))
        answers.append(await append(self, asked))
        alone = len(under_way) == 1
        under_way.discard(id(asked))
        return answers[-1] if alone else answers[-2]

    patch.setattr(MemoryStore, "append", other)


def of_those_that_share_a_commit_only_the_last_is_done(patch: Patch) -> None:
    append, latest = MemoryStore.append, list[Append]()

    async def other(self: MemoryStore, asked: Append) -> AppendResult:
        latest[:] = [asked]
        await anyio.lowlevel.checkpoint()
        return await append(self, asked) if latest[0] is asked else Appended()

    patch.setattr(MemoryStore, "append", other)


WRONG_TOGETHER = tuple(
    Wrong(make, "test_of_changes_of_many_kinds_at_once_each_is_answered_for_itself")
    for make in (
        who_shares_a_commit_hears_what_a_neighbour_is_told,
        of_those_that_share_a_commit_only_the_last_is_done,
        a_refused_append_sends_its_messages,
    )
)
