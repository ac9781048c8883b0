"""Two stores that are asked the same: memory, which says what is right, and PostgreSQL behind a cable that may be cut.

Where the cable is not cut both must answer alike. Where it is, the answer may be that nobody knows: then both stores
are read, and the call must have happened exactly once or not at all; memory follows, the case is claimed again, and
from then on both agree. An answer that says that nothing happened must be true.
It does not know what is asked next.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
from msgspec.structs import replace

from casework.runtime.errors import StoreUnavailable
from casework.runtime.store.base import Append, Appended, CaseKey, CaseRow, Store, Unavailable, Unknown
from casework.runtime.store.claims import Claimed
from tests.support.chaos_proxy import Cable, Cut

#: A call, to be made on either store; gives something that can be compared.
Call: TypeAlias = Callable[[Store], Awaitable[object]]

#: Instead of an answer: it was not given.
UNANSWERED = "unanswered"
#: A case that nobody has, to see whether a store answers.
NOWHERE = CaseKey("nobody", "nowhere")
#: Seconds until a store that does not find its way again is given up.
PATIENCE_SECONDS = 10.0


def alike(answer: object, expected: object) -> bool:
    """Tell whether two stores said the same, but for what only some look for: whether a case given back rests."""
    if isinstance(answer, Appended) and isinstance(expected, Appended):
        answer, expected = replace(answer, rests=False), replace(expected, rests=False)
    return answer == expected


class Twins:
    """The stores, what was cut, and what came of it."""

    def __init__(self, memory: Store, postgres: Store, witness: Store, cable: Cable) -> None:
        """Prepare; `witness` is the same database by a cable that is never cut."""
        self.memory = memory
        self._postgres = postgres
        self._witness = witness
        self._cable = cable
        self.calls = 0
        self.happened = 0  #: calls whose answer was lost, and that had changed something
        self.absent = 0  #: calls that were lost on their way, and had changed nothing

    async def ask(self, call: Call, cut: Cut | None = None, *, after: int = 0) -> object:
        """Make a call on both and compare; gives what memory answers, or UNANSWERED where the call is not there."""
        self.calls += 1
        answer = await self._asked(call, cut, after)
        if not isinstance(answer, Unknown | Unavailable | StoreUnavailable):
            expected = await call(self.memory)
            assert alike(answer, expected), f"{answer} instead of {expected}"
            return expected
        assert cut is not None, f"nothing was cut: {answer}"
        before = await snapshot(self.memory)
        found = await snapshot(self._witness)
        if found == before:
            self.absent += cut is Cut.REQUEST
            return UNANSWERED
        assert cut is Cut.ANSWER, "what never left has happened"
        assert not isinstance(answer, Unavailable), f"it said that nothing happened: {answer}"
        expected = await call(self.memory)
        assert found == await snapshot(self.memory), "it happened in part, or twice"
        self.happened += 1
        return expected

    async def append_all(self, appends: Sequence[Append], cut: Cut | None) -> None:
        """Append to several cases at once, so that they share a commit; each is answered for itself."""
        self.calls += len(appends)
        answers: dict[CaseKey, object] = {}

        async def one(append: Append) -> None:
            answers[append.key] = await self._postgres.append(append)

        self._arm(cut, 0)
        async with anyio.create_task_group() as group:
            for append in appends:
                group.start_soon(one, append)
        await self._mended(cut)
        for append in appends:
            answer = answers[append.key]
            row = await self._witness.case(append.key)
            there = row is not None and row.next_seq == append.next_seq + len(append.records)
            if isinstance(answer, Unknown | Unavailable):
                assert cut is not None, f"nothing was cut: {answer}"
                assert not (there and isinstance(answer, Unavailable)), f"it said that nothing happened: {answer}"
                self.happened += there
                self.absent += not there
            else:
                assert (answer == Appended()) is there
            if there:
                assert await self.memory.append(append) == Appended()
        await self.compare()

    async def compare(self) -> None:
        """See that both hold the same."""
        assert await snapshot(self._witness) == await snapshot(self.memory)

    async def _asked(self, call: Call, cut: Cut | None, after: int) -> object:
        self._arm(cut, after)
        try:
            return await call(self._postgres)
        except StoreUnavailable as error:
            return error
        finally:
            await self._mended(cut)

    async def _mended(self, cut: Cut | None) -> None:
        """Cut nothing any more, and wait until the store has found its way again."""
        self._cable.spare()
        if cut is None:
            return
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    await self._postgres.reclaim("nobody", NOWHERE)
                    return
                except StoreUnavailable:
                    await anyio.sleep(0.01)

    def _arm(self, cut: Cut | None, after: int) -> None:
        if cut is not None:
            self._cable.cut(cut, after=after)


async def snapshot(store: Store) -> list[object]:
    """Give everything that a store holds of cases, as it can be compared."""
    rows = await store.cases()
    logs = [list(await store.records(row.key)) for row in rows]
    inboxes = [[(item.id, item.kind, item.frame) for item in await store.inbox(row.key)] for row in rows]
    return [list(rows), logs, inboxes, list(await store.reviews())]


def comparable(claimed: Claimed | None) -> tuple[object, ...]:
    """Give what a claim gave of one case as it can be compared: positions in the inbox are each store's own."""
    if claimed is None:
        return ()
    items = [(item.id, item.kind, item.frame) for item in claimed.inbox]
    return claimed.row, list(claimed.records), items, claimed.broken


async def as_seen(store: Store, append: Append) -> Append:
    """Say for a store what a release has seen of the inbox: all of it."""
    if not append.release:
        return append
    positions = [item.position for item in await store.inbox(append.key)]
    return replace(append, inbox_seen=max(positions, default=0))


async def row_of(store: Store, key: CaseKey) -> CaseRow:
    """Give a case that is there."""
    row = await store.case(key)
    assert row is not None, "it was opened"
    return row
