"""Waiting for a case: who waits is given its end as the store has it, and reads only what he was not told."""

import anyio
import anyio.lowlevel

from casework.runtime.flow.case import Case
from casework.runtime.store.base import Append, Appended, AppendResult, CaseKey, CaseRow, CaseStatus
from tests.support.flow_scene import KEY, Ask, crew, runtime
from tests.support.odd_stores import OddStore


async def simple(case: Case, inputs: Ask) -> int:
    return inputs.n


async def resting(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


class Counting(OddStore):
    """Counts how often a case's row is read, and forgets to tell a closed case's last hash if it is to."""

    def __init__(self, *, telling: bool = True) -> None:
        super().__init__()
        self.telling = telling
        self.reads = 0

    async def case(self, key: CaseKey) -> CaseRow | None:
        self.reads += 1
        return await self.inner.case(key)

    async def append(self, append: Append) -> AppendResult:
        result = await super().append(append)
        return result if self.telling or not isinstance(result, Appended) else Appended()


async def waited_for(store: Counting) -> CaseRow:
    """Have a case be waited for while it works, and give what was said of it at its end."""
    store.hold()
    rows: list[CaseRow] = []
    with anyio.fail_after(5):
        async with runtime(crew(simple), store) as machine, anyio.create_task_group() as group:

            async def wait() -> None:
                rows.append(await machine.wait("c1"))

            # Once the node has looked at what there is, it takes what is opened at once.
            await anyio.wait_all_tasks_blocked()
            await machine.open("simple", "c1", Ask(3))
            group.start_soon(wait)
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert store.reads == 0
            store.let_go()
    assert rows[0] == rows[1] == await store.inner.case(KEY)
    return rows[0]


async def test_who_waits_for_a_case_that_closes_is_told_what_the_store_has_without_a_read() -> None:
    store = Counting()
    row = await waited_for(store)
    assert (row.status, row.result, row.node) == (CaseStatus.CLOSED, "completed", "")
    assert store.reads == 0


async def test_who_waits_for_a_case_of_a_store_that_tells_less_reads_it() -> None:
    store = Counting(telling=False)
    assert (await waited_for(store)).status is CaseStatus.CLOSED
    assert store.reads == 2


async def test_who_waits_for_a_case_that_parks_reads_it_and_is_told_of_its_end_after_that() -> None:
    store = Counting()
    with anyio.fail_after(5):
        async with runtime(crew(resting), store) as machine:
            await machine.open("resting", "c1", Ask(3))
            assert (await machine.wait("c1")).status is CaseStatus.PARKED
            read = store.reads
            assert read > 0
            await machine.deliver("go", by="test")
            row = await machine.wait("c1")
    assert row == await store.inner.case(KEY)
    assert row.status is CaseStatus.CLOSED


async def test_who_gives_up_waiting_leaves_nothing_behind_and_disturbs_nobody() -> None:
    store = Counting()
    store.hold()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store) as machine:
            await anyio.wait_all_tasks_blocked()
            await machine.open("simple", "c1", Ask(3))
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(machine.wait, "c1")
                    await anyio.wait_all_tasks_blocked()
                    assert list(machine.node.watchers.keys) == [KEY]
                    scope.cancel()
            assert list(machine.node.watchers.keys) == []
            async with anyio.create_task_group() as group:
                group.start_soon(machine.wait, "c1")
                await anyio.wait_all_tasks_blocked()
                store.let_go()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
